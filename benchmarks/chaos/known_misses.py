"""What the router is known to get wrong: the one table of excuses. An entry that has become untrue fails the run."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.chaos.cells import Cell, Way
from benchmarks.chaos.faults import Phase


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownMiss:
    """Cells of `fault` in these ways and phases miss, because of the code at `place`.

    `sometimes` says that it depends on how reads fall: then a pass does not prove that the entry is untrue.
    """

    fault: str
    ways: frozenset[Way]
    phases: frozenset[Phase]
    place: str
    why: str
    sometimes: bool = False

    def covers(self, cell: Cell) -> bool:
        """Whether the cell is one of those."""
        return cell.fault.name == self.fault and cell.way in self.ways and cell.phase in self.phases


KNOWN_MISSES: tuple[KnownMiss, ...] = (
    KnownMiss(
        fault="huge line",
        ways=frozenset({Way.UNARY, Way.STREAM}),
        phases=frozenset({Phase.MID, Phase.POST_FINISH}),
        place="providers/sse.py, EventDecoder.feed",
        why="events that arrive in one read with a line that is too long are dropped with it: output, and even the"
        " finish, which makes a whole answer a truncated one",
        sometimes=True,
    ),
    *(
        KnownMiss(
            fault=fault,
            ways=frozenset({Way.STREAM}),
            phases=frozenset({Phase.MID, Phase.POST_FINISH}),
            place="providers/transport.py, Incoming.read",
            why="what has arrived while the caller was reading is dropped once the connection is lost: aiohttp raises"
            " before it gives out its buffer, so that even a whole answer becomes a truncated one",
            sometimes=True,
        )
        for fault in ("FIN", "FIN at once")
    ),
)


def known_miss(cell: Cell) -> KnownMiss | None:
    """The excuse for a cell, if it has one."""
    return next((entry for entry in KNOWN_MISSES if entry.covers(cell)), None)
