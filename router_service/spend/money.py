"""Money as people read it. Amounts inside the router stay integer nano-USD."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Context, Decimal

_CENT = Decimal("0.01")
_THREE_DIGITS = Context(prec=3, rounding=ROUND_HALF_EVEN)


def usd(nano: int) -> str:
    """`nano` (1e-9 USD) in dollars: cents from a dollar up, three significant digits below, such as "$0.000123"."""
    sign = "-" if nano < 0 else ""
    dollars = Decimal(abs(nano)).scaleb(-9)
    if dollars < 1:
        dollars = _THREE_DIGITS.plus(dollars)
    if dollars >= 1 or dollars == dollars.quantize(_CENT):
        return f"{sign}${dollars.quantize(_CENT, ROUND_HALF_EVEN):,f}"
    return f"{sign}${dollars.normalize():f}"
