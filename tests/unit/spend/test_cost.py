from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router_service.domain.deployment import Deployment, Price, Rate
from router_service.domain.money import Billed, Cost, CostStatus, Usage
from router_service.domain.receipt import Attempt, AttemptOutcome, AttemptReason
from router_service.spend.cost import attempt_cost, baseline_cost, cost, total_cost

PRICE = Price(
    input=Rate(2_500_000_000),
    output=Rate(10_000_000_000),
    cached_input=Rate(1_250_000_000),
    cache_write=Rate(3_000_000_000),
    version="configuration",
)
REPORTED = Usage(input_tokens=1000, output_tokens=100)
COUNTED = replace(REPORTED, estimated=True)
DEPLOYMENT = Deployment(id="gpt-4o", model="gpt-4o", provider="openai", upstream_name="gpt-4o", price=PRICE)

tokens = st.integers(min_value=0, max_value=10_000_000)
nanos = st.integers(min_value=0, max_value=1_000_000_000_000)


@st.composite
def rates(draw: st.DrawFn) -> Rate:
    starts = draw(st.lists(st.integers(min_value=0, max_value=2_000_000), max_size=3, unique=True))
    return Rate(draw(nanos), tuple((start, draw(nanos)) for start in sorted(starts)))


prices = st.builds(
    Price, input=rates(), output=rates(), cached_input=rates(), cache_write=rates(), version=st.just("v")
)
usages = st.builds(
    Usage, input_tokens=tokens, output_tokens=tokens, cached_input_tokens=tokens, cache_write_tokens=tokens
)


def exact_parts(usage: Usage, price: Price) -> list[Fraction]:
    """Input, output, cache read and cache write in exact nano-USD."""

    def at(rate: Rate) -> int:
        passed = [nano for start, nano in rate.tiers if usage.input_tokens > start]
        return passed[-1] if passed else rate.base

    uncached = max(0, usage.input_tokens - usage.cached_input_tokens - usage.cache_write_tokens)
    return [
        Fraction(uncached * at(price.input), 1_000_000),
        Fraction(usage.output_tokens * at(price.output), 1_000_000),
        Fraction(usage.cached_input_tokens * at(price.cached_input), 1_000_000),
        Fraction(usage.cache_write_tokens * at(price.cache_write), 1_000_000),
    ]


@given(usage=usages, price=prices)
def test_cost_is_the_exact_sum_rounded_once(usage: Usage, price: Price) -> None:
    parts = exact_parts(usage, price)
    spent = cost(usage, price)
    assert spent.total == round(sum(parts))
    assert [spent.input, spent.output, spent.cache_read, spent.cache_write] == [round(part) for part in parts]


@given(usage=usages, price=prices, more=tokens)
def test_more_output_never_costs_less(usage: Usage, price: Price, more: int) -> None:
    assert cost(replace(usage, output_tokens=usage.output_tokens + more), price).total >= cost(usage, price).total


@pytest.mark.parametrize(("rate", "rounded"), [(500_000, 0), (500_001, 1), (1_500_000, 2), (2_500_000, 2)])
def test_half_a_nano_is_rounded_to_even(rate: int, rounded: int) -> None:
    price = replace(PRICE, output=Rate(rate))
    assert cost(Usage(output_tokens=1), price).total == rounded


def test_parts_are_summed_before_rounding() -> None:
    price = replace(PRICE, input=Rate(400_000), output=Rate(400_000))
    spent = cost(Usage(input_tokens=1, output_tokens=1), price)
    assert (spent.total, spent.input, spent.output) == (1, 0, 0)


def test_cached_and_written_tokens_have_their_own_rates() -> None:
    usage = Usage(input_tokens=1000, cached_input_tokens=600, cache_write_tokens=100)
    assert cost(usage, PRICE) == Cost(
        total=750_000 + 750_000 + 300_000,
        input=750_000,
        cache_read=750_000,
        cache_write=300_000,
        price_version="configuration",
    )


def test_more_cached_tokens_than_prompt_never_give_money_back() -> None:
    assert cost(Usage(input_tokens=10, cached_input_tokens=1000), PRICE).input == 0


def test_whole_prompt_chooses_the_tier_and_the_tier_applies_to_the_whole_call() -> None:
    tiered = Rate(1_000_000, ((200_000, 2_000_000),))
    price = replace(PRICE, input=tiered, output=tiered, cached_input=tiered)
    at_the_border = Usage(input_tokens=200_000, output_tokens=10, cached_input_tokens=150_000)
    beyond = replace(at_the_border, input_tokens=200_001)
    assert cost(at_the_border, price).total == 200_010
    assert cost(beyond, price).total == 400_022


@pytest.mark.parametrize(
    ("usage", "outcome", "billed", "has_output", "status"),
    [
        (REPORTED, AttemptOutcome.SUCCESS, Billed.LIKELY, True, CostStatus.ACTUAL),
        (REPORTED, AttemptOutcome.SUCCESS, Billed.LIKELY, False, CostStatus.ACTUAL),
        (COUNTED, AttemptOutcome.SUCCESS, Billed.LIKELY, True, CostStatus.ESTIMATED),
        (REPORTED, AttemptOutcome.ERROR, Billed.LIKELY, True, CostStatus.PARTIAL),
        (COUNTED, AttemptOutcome.ERROR, Billed.LIKELY, True, CostStatus.PARTIAL),
        (COUNTED, AttemptOutcome.CANCELLED, Billed.LIKELY, True, CostStatus.PARTIAL),
        (REPORTED, AttemptOutcome.ERROR, Billed.NO, False, CostStatus.PARTIAL),
    ],
)
def test_known_usage_is_priced_with_its_certainty(
    usage: Usage, outcome: AttemptOutcome, billed: Billed, has_output: bool, status: CostStatus
) -> None:
    assert attempt_cost(usage=usage, price=PRICE, outcome=outcome, billed=billed, has_output=has_output) == (
        cost(usage, PRICE),
        status,
    )


@pytest.mark.parametrize("billed", [Billed.MAYBE, Billed.LIKELY])
@pytest.mark.parametrize("outcome", [AttemptOutcome.ERROR, AttemptOutcome.CANCELLED])
@pytest.mark.parametrize("usage", [COUNTED, None])
def test_silence_after_dispatch_is_indeterminate(usage: Usage | None, outcome: AttemptOutcome, billed: Billed) -> None:
    assert attempt_cost(usage=usage, price=PRICE, outcome=outcome, billed=billed, has_output=False) == (
        None,
        CostStatus.INDETERMINATE,
    )


@pytest.mark.parametrize("price", [PRICE, None])
def test_what_was_not_billed_costs_nothing_at_any_price(price: Price | None) -> None:
    spent, status = attempt_cost(
        usage=None, price=price, outcome=AttemptOutcome.ERROR, billed=Billed.NO, has_output=False
    )
    assert (spent, status) == (Cost(total=0), CostStatus.UNBILLED)


@pytest.mark.parametrize("usage", [REPORTED, COUNTED, None])
@pytest.mark.parametrize("billed", [Billed.MAYBE, Billed.LIKELY])
def test_without_a_price_there_is_no_cost_never_zero(usage: Usage | None, billed: Billed) -> None:
    spent, status = attempt_cost(
        usage=usage, price=None, outcome=AttemptOutcome.SUCCESS, billed=billed, has_output=True
    )
    assert (spent, status) == (None, CostStatus.UNPRICED)


def attempt(status: CostStatus, nano: int | None) -> Attempt:
    return Attempt(
        number=1,
        attempt_id="a-1",
        deployment=DEPLOYMENT,
        reason=AttemptReason.PRIMARY,
        outcome=AttemptOutcome.SUCCESS,
        started_at=0.0,
        duration=1.0,
        time_to_first_output=None,
        usage=None,
        cost=None if nano is None else Cost(total=nano),
        cost_status=status,
    )


@pytest.mark.parametrize(
    ("attempts", "total"),
    [
        ([], (0, CostStatus.UNBILLED)),
        ([(CostStatus.UNBILLED, 0)], (0, CostStatus.UNBILLED)),
        ([(CostStatus.ACTUAL, 5), (CostStatus.ACTUAL, 7)], (12, CostStatus.ACTUAL)),
        ([(CostStatus.UNBILLED, 0), (CostStatus.ACTUAL, 7)], (7, CostStatus.ACTUAL)),
        ([(CostStatus.PARTIAL, 5), (CostStatus.ACTUAL, 7)], (12, CostStatus.PARTIAL)),
        ([(CostStatus.INDETERMINATE, None), (CostStatus.ACTUAL, 7)], (7, CostStatus.INDETERMINATE)),
        ([(CostStatus.UNPRICED, None), (CostStatus.ESTIMATED, 7)], (7, CostStatus.UNPRICED)),
        ([(CostStatus.UNBILLED, 0), (CostStatus.UNPRICED, None)], (None, CostStatus.UNPRICED)),
        ([(CostStatus.INDETERMINATE, None)], (None, CostStatus.INDETERMINATE)),
    ],
)
def test_total_is_as_certain_as_its_least_certain_part(
    attempts: list[tuple[CostStatus, int | None]], total: tuple[int | None, CostStatus]
) -> None:
    assert total_cost([attempt(status, nano) for status, nano in attempts]) == total


def test_baseline_is_the_same_usage_at_its_price() -> None:
    assert baseline_cost(REPORTED, DEPLOYMENT) == 3_500_000


def test_no_baseline_and_an_unpriced_baseline_have_no_cost() -> None:
    assert baseline_cost(REPORTED, None) is None
    assert baseline_cost(REPORTED, replace(DEPLOYMENT, price=None)) is None
