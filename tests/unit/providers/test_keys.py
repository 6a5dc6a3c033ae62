from dataclasses import dataclass, field

import pytest

from router_service.domain.error import UpstreamError, UpstreamFault
from router_service.providers.keys import KeyPool


@dataclass
class Key:
    value: str

    def reveal(self) -> str:
        return self.value


@dataclass
class Pool:
    """A pool of the keys a, b and c, with a clock that stands at `now`."""

    now: float = 0.0
    secrets: list[Key] = field(default_factory=lambda: [Key("a"), Key("b"), Key("c")])

    def __post_init__(self) -> None:
        self.keys = KeyPool(self.secrets, lambda: self.now)

    def taken(self, count: int = 6) -> str:
        return "".join(self.keys.take() or "-" for _ in range(count))

    def fail(self, key: str, fault: UpstreamFault, retry_after: float | None = None) -> None:
        self.keys.failed(key, UpstreamError(fault, "x", retry_after=retry_after))


def test_keys_are_used_in_turn() -> None:
    assert Pool().taken(7) == "abcabca"


def test_no_key_and_an_empty_key_are_none() -> None:
    assert Pool(secrets=[]).taken(1) == "-"
    assert Pool(secrets=[Key("")]).taken(1) == "-"


@pytest.mark.parametrize("fault", [UpstreamFault.AUTH, UpstreamFault.QUOTA, UpstreamFault.RATE_LIMITED])
def test_a_refused_key_rests_and_comes_back(fault: UpstreamFault) -> None:
    pool = Pool()
    pool.fail("b", fault)
    assert pool.taken() == "acacac"
    pool.now = 1000.0
    assert "b" in pool.taken()


def test_a_rate_limited_key_rests_as_long_as_the_provider_says() -> None:
    pool = Pool()
    pool.fail("a", UpstreamFault.RATE_LIMITED, retry_after=30.0)
    pool.now = 29.9
    assert "a" not in pool.taken()
    pool.now = 30.0
    assert "a" in pool.taken()


def test_a_shorter_rest_never_ends_a_longer_one() -> None:
    pool = Pool()
    pool.fail("a", UpstreamFault.RATE_LIMITED, retry_after=60.0)
    pool.fail("a", UpstreamFault.RATE_LIMITED, retry_after=1.0)
    pool.now = 2.0
    assert "a" not in pool.taken()


def test_other_failures_are_not_the_keys_fault() -> None:
    pool = Pool()
    pool.fail("a", UpstreamFault.SERVER)
    assert pool.taken() == "abcabc"


def test_when_all_rest_the_first_to_be_back_is_tried() -> None:
    pool = Pool()
    for key, rest in (("a", 30.0), ("b", 10.0), ("c", 20.0)):
        pool.fail(key, UpstreamFault.RATE_LIMITED, retry_after=rest)
    assert pool.taken(3) == "bbb"


def test_a_rotated_key_is_used_at_once() -> None:
    pool = Pool()
    pool.fail("a", UpstreamFault.AUTH)
    pool.secrets[0].value = "A"
    pool.fail("b", UpstreamFault.AUTH)
    pool.fail("c", UpstreamFault.AUTH)
    pool.now = 1.0
    assert "A" in pool.taken(3)


def test_new_keys_are_used_and_a_known_one_rests_on() -> None:
    pool = Pool()
    pool.fail("a", UpstreamFault.AUTH)
    pool.keys.use([Key("a"), Key("d")])
    assert pool.taken(3) == "ddd"


def test_another_key_is_one_that_was_not_tried_and_does_not_rest() -> None:
    pool = Pool()
    assert pool.taken(1) == "a"
    pool.fail("b", UpstreamFault.QUOTA)
    assert pool.keys.another(["a"]) == "c"
    assert pool.keys.another(["a", "c"]) is None


def overall(pool: Pool, last: UpstreamError) -> tuple[UpstreamFault, float | None]:
    error = pool.keys.overall(last, "all of them")
    return error.fault, error.retry_after


def test_keys_that_are_all_rate_limited_are_so_until_the_first_is_back() -> None:
    pool = Pool()
    for key, rest in (("a", 300.0), ("b", 7.0), ("c", 20.0)):
        pool.fail(key, UpstreamFault.RATE_LIMITED, retry_after=rest)
    pool.now = 2.0
    last = UpstreamError(UpstreamFault.RATE_LIMITED, "x", retry_after=20.0, retryable=False)
    assert overall(pool, last) == (UpstreamFault.RATE_LIMITED, 5.0)
    assert pool.keys.overall(last, "all of them").retryable is None


def test_a_refused_key_does_not_hide_that_another_is_back_soon() -> None:
    pool = Pool(secrets=[Key("a"), Key("b")])
    pool.fail("a", UpstreamFault.RATE_LIMITED)
    pool.fail("b", UpstreamFault.AUTH)
    assert overall(pool, UpstreamError(UpstreamFault.AUTH, "x")) == (UpstreamFault.RATE_LIMITED, None)


def test_keys_that_are_all_refused_mean_what_the_last_refusal_says() -> None:
    pool = Pool(secrets=[Key("a"), Key("b")])
    pool.fail("a", UpstreamFault.QUOTA)
    pool.fail("b", UpstreamFault.AUTH)
    last = UpstreamError(UpstreamFault.AUTH, "x")
    assert pool.keys.overall(last, "all of them") is last


def test_the_failure_of_an_only_key_stays_as_it_is() -> None:
    pool = Pool(secrets=[Key("a")])
    pool.fail("a", UpstreamFault.RATE_LIMITED, retry_after=30.0)
    last = UpstreamError(UpstreamFault.RATE_LIMITED, "x", retry_after=30.0)
    assert pool.keys.overall(last, "all of them") is last
