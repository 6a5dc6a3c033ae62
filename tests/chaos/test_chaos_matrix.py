"""A covering sample of the chaos matrix, and proof that the harness can fail. `make chaos` runs the whole of it."""

import pytest

from benchmarks.chaos import report
from benchmarks.chaos.cells import covering_sample
from benchmarks.chaos.controls import CONTROLS, Control
from benchmarks.chaos.run import check, run


async def test_every_fault_in_every_phase_ends_as_the_rules_say() -> None:
    outcome = await run(covering_sample(), ())
    assert not outcome.fails, "\n".join(report.summary(outcome))


@pytest.mark.parametrize("control", CONTROLS, ids=lambda control: control.name)
async def test_a_router_broken_on_purpose_is_noticed(control: Control) -> None:
    result = await check(control)
    assert not result.fails, [cell.name for cell in result.unseen]
