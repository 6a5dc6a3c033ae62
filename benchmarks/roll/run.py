"""One roll: replicas are restarted one after another while callers loop."""

from __future__ import annotations

import asyncio
import signal
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.roll.fleet import fleet


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """Who calls, how many replicas there are, and what ends them.

    A stream lasts `story` seconds. A replica is ended `settle` seconds after all of them have answered a call since
    they were started: so does a deployment wait for a new one to prove itself. `must_pass` says that no call may fail.
    """

    name: str
    client: str
    replicas: int = 2
    restarts: int = 20
    callers: int = 200
    streams: int = 50
    ends_by: signal.Signals = signal.SIGTERM
    lame_duck: float = 1.0
    story: float = 2.0
    settle: float = 1.0
    must_pass: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of it. `failed` counts failures by kind, status and text; latencies are seconds of unary calls."""

    scenario: Scenario
    calls: int
    streams: int
    failed: Mapping[str, int]
    latencies: Mapping[str, float]
    seconds: float

    @property
    def failures(self) -> int:
        """Calls and streams that their caller saw fail."""
        return sum(self.failed.values())

    @property
    def missed(self) -> bool:
        """Whether it did not come out as it must."""
        return self.scenario.must_pass and (self.failures > 0 or not self.calls or not self.streams)


async def roll(scenario: Scenario) -> Outcome:
    """Carry it out. Raises `Broken` where a process fails of itself."""
    began = asyncio.get_running_loop().time()
    with tempfile.TemporaryDirectory() as directory:
        async with (
            fleet(scenario.replicas, Path(directory), lame_duck=scenario.lame_duck, story=scenario.story) as running,
            running.called(scenario.client, scenario.callers, scenario.streams) as callers,
        ):
            for number in range(scenario.restarts):
                await asyncio.gather(*(replica.called() for replica in running.replicas))
                await asyncio.sleep(scenario.settle)
                replica = running.replicas[number % scenario.replicas]
                await replica.stop(scenario.ends_by)
                await replica.start()
            await running.replicas[(scenario.restarts - 1) % scenario.replicas].called()
            result = await callers.result()
    return Outcome(scenario=scenario, seconds=asyncio.get_running_loop().time() - began, **result)
