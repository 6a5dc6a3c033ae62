"""What usage costs, in exact integer arithmetic, and how certain that is."""

from __future__ import annotations

from collections.abc import Sequence

from router_service.domain.deployment import Deployment, Price
from router_service.domain.money import Billed, Cost, CostStatus, Usage
from router_service.domain.receipt import Attempt, AttemptOutcome

_PRICED_TOKENS = 1_000_000


def cost(usage: Usage, price: Price) -> Cost:
    """What `usage` costs at `price`, in nano-USD.

    The whole prompt chooses the tier of every rate. The parts are summed before the one rounding (half to even), so
    the total may differ by a nano-USD or two from the sum of the rounded parts.
    """
    cached, written = usage.cached_input_tokens, usage.cache_write_tokens
    prompt = usage.input_tokens
    # Some providers report cached tokens beside the prompt's rather than within them.
    uncached = max(0, prompt - cached - written)
    input_part = uncached * price.input.at(prompt)
    output_part = usage.output_tokens * price.output.at(prompt)
    read_part = cached * price.cached_input.at(prompt)
    write_part = written * price.cache_write.at(prompt)
    return Cost(
        total=_per_million(input_part + output_part + read_part + write_part),
        input=_per_million(input_part),
        output=_per_million(output_part),
        cache_read=_per_million(read_part),
        cache_write=_per_million(write_part),
        price_version=price.version,
    )


def attempt_cost(
    *, usage: Usage | None, price: Price | None, outcome: AttemptOutcome, billed: Billed, has_output: bool
) -> tuple[Cost | None, CostStatus]:
    """What one attempt cost, and how certain that is.

    `usage` is the provider's report, or the router's own count (`usage.estimated`). An attempt that was certainly not
    billed costs 0, whatever the price. The cost is `None` where no price is known, and where nothing at all came back
    from a provider that may have billed.
    """
    reported = usage is not None and not usage.estimated
    if billed is Billed.NO and not reported:
        return Cost(total=0), CostStatus.UNBILLED
    if price is None:
        return None, CostStatus.UNPRICED
    if usage is None or not (reported or has_output or outcome is AttemptOutcome.SUCCESS):
        return None, CostStatus.INDETERMINATE
    return cost(usage, price), _status(reported=reported, outcome=outcome)


def total_cost(attempts: Sequence[Attempt]) -> tuple[int | None, CostStatus]:
    """The known costs of a call's attempts in nano-USD, and the status of the least certain one.

    Attempts that were not billed add nothing and say nothing about the others. The total is `None` where attempts
    may have been billed and none of them could be priced; a call without attempts costs 0.
    """
    parts = [attempt for attempt in attempts if attempt.cost_status is not CostStatus.UNBILLED]
    if not parts:
        return 0, CostStatus.UNBILLED
    known = [attempt.cost.total for attempt in parts if attempt.cost is not None]
    status = max((attempt.cost_status for attempt in parts), key=lambda status: status.uncertainty)
    return (sum(known) if known else None), status


def baseline_cost(usage: Usage, baseline: Deployment | None) -> int | None:
    """What `usage` would have cost at the baseline, in nano-USD; `None` without a baseline or its price."""
    if baseline is None or baseline.price is None:
        return None
    return cost(usage, baseline.price).total


def _status(*, reported: bool, outcome: AttemptOutcome) -> CostStatus:
    if outcome is not AttemptOutcome.SUCCESS:
        # Usage is cumulative: what a provider reported before the cut may not be its last word.
        return CostStatus.PARTIAL
    return CostStatus.ACTUAL if reported else CostStatus.ESTIMATED


def _per_million(amount: int) -> int:
    """`amount` divided by a million, rounded half to even."""
    quotient, remainder = divmod(amount, _PRICED_TOKENS)
    twice = 2 * remainder
    if twice > _PRICED_TOKENS or (twice == _PRICED_TOKENS and quotient % 2):
        return quotient + 1
    return quotient
