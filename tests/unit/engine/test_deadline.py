"""A silent provider costs at most its share of the deadline."""

from hypothesis import given
from hypothesis import strategies as st

from router_service.domain.policy import Timeouts
from router_service.engine.deadline import plan_attempt


def test_silence_may_use_only_its_share_while_fallbacks_are_left():
    budget = plan_attempt(now=100, deadline=130, timeouts=Timeouts(first_token=60), fallbacks_left=1, streamed=True)
    assert budget.first_output_at == 115
    assert budget.ends_at == 130


def test_the_last_candidate_may_use_all_that_is_left():
    budget = plan_attempt(now=100, deadline=130, timeouts=Timeouts(first_token=60), fallbacks_left=0, streamed=True)
    assert budget.first_output_at == 130


def test_the_policy_bounds_what_a_long_deadline_would_allow():
    timeouts = Timeouts(first_token=8, stall=15, total=60, connect=2)
    budget = plan_attempt(now=0, deadline=600, timeouts=timeouts, fallbacks_left=0, streamed=True)
    assert (budget.connect, budget.first_output_at, budget.stall, budget.ends_at) == (2, 8, 15, 60)


def test_an_answer_that_is_not_streamed_is_bounded_as_a_whole():
    budget = plan_attempt(now=0, deadline=30, timeouts=Timeouts(first_token=1), fallbacks_left=2, streamed=False)
    assert budget.first_output_at == budget.ends_at == 10


@given(
    left=st.floats(min_value=-5, max_value=1e4),
    fallbacks=st.integers(min_value=0, max_value=50),
    streamed=st.booleans(),
)
def test_no_bound_lies_before_now_or_beyond_the_deadline(left, fallbacks, streamed):
    now = 50.0
    budget = plan_attempt(
        now=now, deadline=now + left, timeouts=Timeouts(), fallbacks_left=fallbacks, streamed=streamed
    )
    latest = now + max(left, 0.0) + 1e-9
    assert now <= budget.first_output_at <= latest
    assert now <= budget.ends_at <= latest
    assert budget.first_output_at <= budget.ends_at


def test_silence_after_output_costs_no_more_than_the_share_either():
    budget = plan_attempt(now=0, deadline=10, timeouts=Timeouts(stall=30), fallbacks_left=1, streamed=True)
    assert budget.stall == 5


def test_where_nothing_could_follow_a_pause_is_waited_out():
    budget = plan_attempt(
        now=0, deadline=10, timeouts=Timeouts(stall=30), fallbacks_left=1, streamed=True, recovers=False
    )
    assert budget.stall == 30
