"""What may be spent: never more than the cap, by what is held, and nothing is left unused for no reason."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from router_service.lab.asking import Purse


async def test_a_call_waits_for_those_in_flight_before_there_is_no_room() -> None:
    purse = Purse(100, spent=0)
    first = await purse.hold("a", 80)
    second = asyncio.create_task(purse.hold("b", 50))
    await asyncio.sleep(0)
    assert not second.done()
    assert first == 80
    purse.settle("a", first, 20)
    assert await second == 50
    purse.settle("b", 50, 50)
    assert await purse.hold("b", 40) is None
    assert purse.spent == 70


async def test_what_nobody_knows_the_cost_of_cost_what_was_held() -> None:
    purse = Purse(100, spent=10)
    assert await purse.hold("a", 60) == 60
    purse.settle("a", 60, None)
    assert purse.spent == 70


async def test_a_dear_call_makes_the_next_one_of_its_subject_as_dear() -> None:
    purse = Purse(1_000, spent=0)
    assert await purse.hold("a", 5) == 5
    purse.settle("a", 5, 90)
    assert await purse.hold("a", 5) == 90
    assert await purse.hold("b", 5) == 5


@given(
    cap=st.integers(0, 500),
    calls=st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 200), st.floats(0, 1)), max_size=20),
)
def test_estimates_that_hold_keep_the_cap(cap: int, calls: list[tuple[str, int, float]]) -> None:
    async def run() -> int:
        purse = Purse(cap, spent=0)

        async def call(subject: str, estimate: int, share: float) -> None:
            held = await purse.hold(subject, estimate)
            if held is not None:
                await asyncio.sleep(0)
                purse.settle(subject, held, int(estimate * share))

        await asyncio.gather(*(call(*one) for one in calls))
        return purse.spent

    assert asyncio.run(run()) <= cap
