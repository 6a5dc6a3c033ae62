"""How much of the time that a caller waits is planned with."""

from __future__ import annotations

# Our own answer should arrive before the caller stops waiting for it. On gRPC's wire a timeout is rounded up to at most
# three digits, so that we see up to a hundredth more time than the caller has. Of a long deadline that hundredth would
# cost more answers than it saves.
_RESERVE = 0.05
_ROUNDING = 0.01
_LARGEST_RESERVE = 0.25
_LEAST_FOR_RESERVE = 0.2


def planned(remaining: float) -> float:
    """Of the seconds that a caller still waits, those in which the answer should be made."""
    if remaining <= _LEAST_FOR_RESERVE:
        return remaining
    return remaining - min(remaining * _ROUNDING + _RESERVE, _LARGEST_RESERVE)
