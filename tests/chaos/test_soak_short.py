"""Short runs of `make soak`: counts, leaks and releases, nothing that depends on how fast this machine is."""

import pytest

from benchmarks.soak.idle import idle_streams
from benchmarks.soak.metrics import Lag
from benchmarks.soak.mixed import mixed_load
from benchmarks.soak.report import Row, table
from benchmarks.soak.storm import cancel_storm
from benchmarks.soak.watch import Look, bytes_per_call, percentile


def held(rows: list[Row]) -> None:
    assert not any(row.misses for row in rows), "\n".join(table(rows))


async def test_calls_left_at_every_moment_leave_nothing_behind() -> None:
    held(await cancel_storm(2000))


async def test_calls_of_all_kinds_end_as_they_may_and_leave_nothing_behind() -> None:
    held(await mixed_load(3.0))


async def test_idle_streams_are_held_served_beside_and_released() -> None:
    held(await idle_streams(300, probes=50))


def test_a_leak_shows_as_bytes_per_call_once_the_first_half_is_over() -> None:
    warm_up = [Look(rss=1_000_000 + 900 * done, files=9, threads=9, done=done) for done in range(0, 500, 100)]
    leaking = [Look(rss=1_450_000 + 240 * done, files=9, threads=9, done=done) for done in range(500, 1001, 100)]
    assert bytes_per_call([*warm_up, *leaking]) == pytest.approx(240)


def test_garbage_that_comes_and_goes_is_no_leak() -> None:
    looks = [
        Look(rss=2_000_000 + 5000 * (done % 40) * (done < 950), files=9, threads=9, done=done) for done in range(1001)
    ]
    assert bytes_per_call(looks) == pytest.approx(0, abs=1)


def test_the_share_of_lags_below_a_bound_is_that_of_the_time_since() -> None:
    earlier, now = Lag((0.001, 0.01), (100, 0, 0)), Lag((0.001, 0.01), (150, 49, 1))
    assert now.since(earlier).at_most(0.5) == 0.001
    assert now.since(earlier).at_most(0.99) == 0.01
    assert now.since(earlier).at_most(1) == float("inf")


def test_a_percentile_of_nothing_is_nothing() -> None:
    assert percentile([], 0.99) == 0
    assert percentile([3.0, 1.0, 2.0], 0.5) == 2.0
