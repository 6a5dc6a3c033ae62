"""Circuit breakers: what opens them, for how long, and what closes them."""

import pytest

from router_service.domain.error import UpstreamError, UpstreamFault
from router_service.engine.health import HealthBook


class ManualClock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def book(clock):
    return HealthBook(clock)


def fail(book, error, times=1, deployment="a"):
    for _ in range(times):
        book.failed(book.dispatched(deployment), error)


def fault(kind, **details):
    return UpstreamError(kind, "it failed", **details)


def test_a_single_server_error_does_not_open_the_breaker(book):
    fail(book, fault(UpstreamFault.SERVER, status=503))
    assert not book.is_open("a")


def test_five_failures_in_a_row_open_it_and_name_the_error(book):
    fail(book, fault(UpstreamFault.SERVER, status=503), times=5)
    assert book.cooling()["a"].reason == "503"
    assert book.cooling()["a"].seconds == pytest.approx(10)


def test_a_success_in_between_starts_the_count_anew(book):
    fail(book, fault(UpstreamFault.SERVER, status=503), times=4)
    book.succeeded(book.dispatched("a"))
    fail(book, fault(UpstreamFault.SERVER, status=503))
    assert not book.is_open("a")


def test_a_rate_limit_cools_at_once_for_as_long_as_the_provider_says(book, clock):
    fail(book, fault(UpstreamFault.RATE_LIMITED, status=429, retry_after=42.0))
    assert book.cooling()["a"].seconds == pytest.approx(42)
    clock.now += 42.1
    assert not book.is_open("a")


def test_a_new_cooldown_never_shortens_the_one_in_force(book):
    fail(book, fault(UpstreamFault.RATE_LIMITED, status=429, retry_after=100.0))
    fail(book, fault(UpstreamFault.RATE_LIMITED, status=429, retry_after=1.0))
    assert book.cooling()["a"].seconds == pytest.approx(100)


@pytest.mark.parametrize(
    ("kind", "at_least"), [(UpstreamFault.QUOTA, 600), (UpstreamFault.AUTH, 300), (UpstreamFault.MODEL_NOT_FOUND, 300)]
)
def test_faults_that_do_not_pass_by_themselves_cool_for_long(book, kind, at_least):
    fail(book, fault(kind))
    assert book.cooling()["a"].seconds >= at_least


@pytest.mark.parametrize(
    "kind", [UpstreamFault.BAD_REQUEST, UpstreamFault.CONTEXT_LENGTH, UpstreamFault.CONTENT_FILTER]
)
def test_a_fault_of_the_request_is_not_held_against_the_deployment(book, kind):
    fail(book, fault(kind), times=20)
    assert not book.is_open("a")


def test_after_the_cooldown_one_probe_goes_and_others_wait_for_it(book, clock):
    fail(book, fault(UpstreamFault.RATE_LIMITED, retry_after=1.0))
    clock.now += 2
    assert not book.is_open("a")
    probe = book.dispatched("a")
    assert book.is_open("a")
    book.succeeded(probe)
    assert not book.is_open("a")


def test_a_failed_probe_opens_it_again_for_longer(book, clock):
    fail(book, fault(UpstreamFault.SERVER, status=500), times=5)
    clock.now += 11
    fail(book, fault(UpstreamFault.SERVER, status=500))
    assert book.cooling()["a"].seconds == pytest.approx(20)


def test_a_crowd_that_fails_together_does_not_lengthen_the_cooldown(book):
    fail(book, fault(UpstreamFault.CONNECT), times=50)
    assert book.cooling()["a"].seconds == pytest.approx(10)


def test_a_cancelled_probe_leaves_room_for_the_next(book, clock):
    fail(book, fault(UpstreamFault.RATE_LIMITED, retry_after=1.0))
    clock.now += 2
    book.abandoned(book.dispatched("a"))
    assert not book.is_open("a")


def test_a_reload_forgets_deployments_that_are_gone(book):
    fail(book, fault(UpstreamFault.AUTH))
    book.forget_except(frozenset({"b"}))
    assert not book.cooling()


def test_failures_during_a_cooldown_do_not_lengthen_it(book, clock):
    fail(book, fault(UpstreamFault.SERVER, status=503), times=5)
    clock.now += 3
    fail(book, fault(UpstreamFault.SERVER, status=503), times=12)
    assert book.cooling()["a"].seconds == pytest.approx(7)


def test_a_call_that_began_before_the_cooldown_does_not_end_it(book, clock):
    earlier = book.dispatched("a")
    clock.now += 1
    fail(book, fault(UpstreamFault.RATE_LIMITED, status=429, retry_after=60.0))
    book.succeeded(earlier)
    assert book.cooling()["a"].seconds == pytest.approx(60)


def test_only_the_probe_itself_makes_room_for_the_next(book, clock):
    earlier = book.dispatched("a")
    fail(book, fault(UpstreamFault.RATE_LIMITED, retry_after=1.0))
    clock.now += 2
    book.dispatched("a")
    book.abandoned(earlier)
    assert book.is_open("a")


def test_while_a_probe_runs_others_are_told_to_come_back_soon(book, clock):
    fail(book, fault(UpstreamFault.RATE_LIMITED, retry_after=1.0))
    clock.now += 2
    book.dispatched("a")
    assert book.cooling()["a"].seconds <= 1.0


def test_a_blameless_failure_is_not_held_against_the_deployment(book):
    fail(book, fault(UpstreamFault.FIRST_TOKEN_TIMEOUT, blameless=True), times=20)
    assert not book.is_open("a")


def test_new_credentials_end_the_cooldowns_of_refused_ones(book):
    fail(book, fault(UpstreamFault.AUTH, status=401))
    fail(book, fault(UpstreamFault.SERVER, status=503), times=5, deployment="b")
    book.forgive_credentials(frozenset({"a", "b"}))
    assert set(book.cooling()) == {"b"}


def test_a_conclusion_from_failures_is_a_guess_and_the_providers_word_is_none(book):
    fail(book, fault(UpstreamFault.SERVER, status=503), times=5, deployment="failing")
    fail(book, fault(UpstreamFault.RATE_LIMITED, status=429), deployment="limited")
    fail(book, fault(UpstreamFault.RATE_LIMITED, status=429, retry_after=30.0), deployment="told")
    fail(book, fault(UpstreamFault.AUTH, status=401), deployment="keyless")
    fail(book, fault(UpstreamFault.QUOTA, status=429), deployment="used-up")
    guesses = {name for name, cooling in book.cooling().items() if cooling.is_guess}
    assert guesses == {"failing", "limited"}


def test_a_hint_is_obeyed_whatever_it_comes_with(book, clock):
    fail(book, fault(UpstreamFault.SERVER, status=503, retry_after=30.0))
    assert book.cooling()["a"].seconds == pytest.approx(30)
    assert not book.cooling()["a"].is_guess
    clock.now += 31
    assert not book.is_open("a")
    fail(book, fault(UpstreamFault.SERVER, status=503))
    assert not book.is_open("a")  # one failure is none to conclude from


def test_short_hints_do_not_keep_failures_from_opening_the_breaker(book):
    fail(book, fault(UpstreamFault.SERVER, status=503, retry_after=0.05), times=5)
    assert book.cooling()["a"].seconds == pytest.approx(10)
    assert book.cooling()["a"].is_guess


def test_a_quota_rests_for_as_long_as_the_provider_says_if_that_is_longer(book):
    fail(book, fault(UpstreamFault.QUOTA, status=429, retry_after=800.0))
    assert book.cooling()["a"].seconds == pytest.approx(800)
