"""What the router is known to get wrong: the one table of excuses. An entry that has become untrue fails the run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.chaos.cells import Cell, Way
from benchmarks.chaos.faults import Phase
from benchmarks.chaos.judge import Miss


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownMiss:
    """Cells of these faults, asked in these ways, miss in this phase, because of the code at `place`.

    `shows` is what the miss says; any other miss in these cells is a new one. `sometimes` means that it depends on how
    reads and timers fall: then a pass does not prove that the entry is untrue.
    """

    faults: frozenset[str]
    ways: frozenset[Way]
    phase: Phase
    shows: str
    place: str
    why: str
    sometimes: bool = False

    def covers(self, cell: Cell) -> bool:
        """Whether the cell is one of those."""
        return cell.fault.name in self.faults and cell.way in self.ways and cell.phase is self.phase

    def excuses(self, misses: Sequence[Miss]) -> bool:
        """Whether this is what went wrong."""
        return any(self.shows in miss.detail for miss in misses)


KNOWN_MISSES: tuple[KnownMiss, ...] = ()


def known_miss(cell: Cell, misses: Sequence[Miss]) -> KnownMiss | None:
    """The excuse for what went wrong in a cell, or for a cell in which nothing did but should have, if there is one."""
    about = [entry for entry in KNOWN_MISSES if entry.covers(cell)]
    return next((entry for entry in about if not misses or entry.excuses(misses)), None)
