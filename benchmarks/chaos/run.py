"""Running cells and controls, and what came of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.chaos.cells import Cell
from benchmarks.chaos.controls import Control
from benchmarks.chaos.expectations import Expectation, expect
from benchmarks.chaos.judge import Drift, Miss, drifts, judge
from benchmarks.chaos.known_misses import KnownMiss, known_miss
from benchmarks.chaos.stage import AT_ONCE, Sabotage, staged

_GROUP = 120
# A pause of the whole process that may be what a cell's timeouts saw, in seconds; and many short ones, as a share.
_DISTURBING = 0.1
_OFTEN_LATE = 0.25
# What was disturbed is run again with timeouts that are so many times as long, and only a few cells at once.
_PATIENCE = (1, 2, 3, 3, 3)
_FEW = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One cell's outcome. `attempts` is how many upstream calls its receipt has. `disturbed` says that the process
    stood still meanwhile, so that timeouts mean nothing."""

    cell: Cell
    expected: Expectation
    misses: Sequence[Miss]
    drifts: Sequence[Drift]
    attempts: int
    seconds: float
    disturbed: bool

    @property
    def excuse(self) -> KnownMiss | None:
        """Why its misses are known, where they are, or why it should have missed."""
        return known_miss(self.cell, self.misses)

    @property
    def verdict(self) -> str:
        """ "ok", "known" (a known miss), "MISS", or "HEALED": a known miss that passed, whose entry must go."""
        if self.misses:
            return "known" if self.excuse else "MISS"
        return "HEALED" if self.excuse and not self.excuse.sometimes else "ok"

    @property
    def fails(self) -> bool:
        """Whether it fails the run."""
        return self.verdict in {"MISS", "HEALED"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlResult:
    """What the harness made of a broken router: `unseen` are the cells in which it noticed nothing of it."""

    control: Control
    unseen: Sequence[Cell]

    @property
    def fails(self) -> bool:
        """Whether the harness was blind."""
        return bool(self.unseen) or not self.control.cells


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Everything. `repeated` are cells that missed while the process stood still, and were run again."""

    results: Sequence[Result]
    controls: Sequence[ControlResult]
    repeated: Sequence[Cell]
    seconds: float

    @property
    def fails(self) -> bool:
        """Whether anything at all is not as it should be."""
        return any(one.fails for one in self.results) or any(one.fails for one in self.controls)


async def run(cells: Sequence[Cell], controls: Sequence[Control]) -> Run:
    """All cells, a group of them at a time, then all controls."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    results: list[Result] = []
    repeated: list[Cell] = []
    for start in range(0, len(cells), _GROUP):
        performed, again = await _undisturbed(cells[start : start + _GROUP], lambda result: bool(result.misses))
        results += performed
        repeated += again
    judged = [await check(control) for control in controls]
    return Run(results=results, controls=judged, repeated=repeated, seconds=loop.time() - began)


async def _undisturbed(
    cells: Sequence[Cell], doubtful: Callable[[Result], bool], sabotage: Sabotage | None = None
) -> tuple[list[Result], list[Cell]]:
    """These cells, and which of them were run again: those whose result is doubtful where they were disturbed."""
    performed = await perform(cells, sabotage)
    repeated: list[Cell] = []
    for patience in _PATIENCE:
        again = [number for number, result in enumerate(performed) if result.disturbed and doubtful(result)]
        if not again:
            break
        chosen = [performed[number].cell for number in again]
        repeated += chosen
        results = await perform(chosen, sabotage, patience=patience, at_once=_FEW)
        for number, result in zip(again, results, strict=True):
            performed[number] = result
    return performed, repeated


async def perform(
    cells: Sequence[Cell], sabotage: Sabotage | None = None, *, patience: int = 1, at_once: int = AT_ONCE
) -> list[Result]:
    """These cells, so many at once before one router whose timeouts are `patience` times as long as ever."""
    pauses = _Pauses()
    async with staged(cells, sabotage, patience=patience, at_once=at_once) as stage:
        watching = asyncio.create_task(pauses.watch())
        observations = await stage.perform_all()
        watching.cancel()
    return [
        Result(
            cell=cell,
            expected=(expected := expect(cell)),
            misses=judge(cell, expected, seen),
            drifts=drifts(seen),
            attempts=len(seen.receipt.attempts) if seen.receipt is not None else 0,
            seconds=seen.seconds,
            disturbed=pauses.between(seen.began, seen.ended),
        )
        for cell, seen in zip(cells, observations, strict=True)
    ]


async def check(control: Control) -> ControlResult:
    """Whether the harness sees what the control breaks."""

    def unseen(result: Result) -> bool:
        return control.claims.isdisjoint(miss.claim for miss in result.misses)

    results, _ = await _undisturbed(control.cells, unseen, control.sabotage)
    return ControlResult(control=control, unseen=[result.cell for result in results if unseen(result)])


class _Pauses:
    """Notices when the event loop stands still, as it does on a machine that is busy with something else."""

    _PERIOD = 0.01
    _ON_TIME = 1.1

    def __init__(self) -> None:
        self._pauses: list[tuple[float, float]] = []

    async def watch(self) -> None:
        """Look at the clock again and again."""
        loop = asyncio.get_running_loop()
        before = loop.time()
        while True:
            await asyncio.sleep(self._PERIOD)
            now = loop.time()
            if now - before > self._ON_TIME * self._PERIOD:
                self._pauses.append((before + self._PERIOD, now))
            before = now

    def between(self, began: float, ended: float) -> bool:
        """Whether there was a long pause between these times of the event loop, or much of it was short ones."""
        pauses = [end - start for start, end in self._pauses if start < ended and end > began]
        return sum(pauses) > (ended - began) * _OFTEN_LATE or any(pause > _DISTURBING for pause in pauses)
