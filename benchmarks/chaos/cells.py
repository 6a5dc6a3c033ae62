"""The cells of the matrix, and what each one stages: which attempt meets which fault."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import product
from typing import Final

from benchmarks.chaos import taxonomy
from benchmarks.chaos.faults import FAULTS, Address, ChaosFault, Phase, Strike
from router_service.simulator import Fault, FaultKind


class Way(StrEnum):
    """What the caller and the router ask for."""

    UNARY = "unary"
    """The caller wants one message; the router asks for a stream, as it does by default."""
    STREAM = "stream"
    WHOLE = "whole"
    """The caller wants one message, and the router asks for one (`stream_upstream: false`)."""


class Position(StrEnum):
    """Which attempt is struck."""

    FIRST = "first"
    RETRY = "retry"
    FALLBACK = "fallback"


class Lasting(StrEnum):
    """How long the fault lasts."""

    PASSES = "passes"
    """It strikes one attempt; an address that cannot be reached stays so, the others can be reached."""
    LASTS = "lasts"
    """From the struck attempt on, nothing works anywhere."""


class Recovery(StrEnum):
    """What the policy does about a stream that breaks after the caller has seen output."""

    FAIL = "fail"
    RESTART = "restart"
    """The caller accepts discards: it is told what to forget, and another attempt answers anew."""
    CONTINUE = "continue"
    """Every candidate's provider takes a prefill: another attempt goes on from what the caller was shown."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One combination that can occur."""

    fault: ChaosFault
    way: Way
    position: Position
    phase: Phase
    lasting: Lasting
    recovery: Recovery

    @property
    def strike(self) -> Strike:
        """What the struck attempts meet."""
        return strikes(self.fault, self.way)[self.phase]

    @property
    def name(self) -> str:
        """Such as "stall/stream/fallback/mid/passes/fail"."""
        return "/".join((self.fault.name, self.way, self.position, self.phase, self.lasting, self.recovery))

    @property
    def breaks_a_stream(self) -> bool:
        """Whether the caller has seen output when the fault strikes."""
        return self.way is Way.STREAM and self.strike.output


CANDIDATES: Final = ("a", "b", "c")
"""The deployments of every cell, in the policy's order."""

CONTEXT_WINDOWS: Final = {"a": 16_000, "b": 16_000, "c": 64_000}

RETRIES: Final = 2
"""Retries at one deployment that the policy allows."""

STAGED_RETRY: Final = Strike(cause=Fault(kind=FaultKind.UNAVAILABLE), row=taxonomy.SERVER, error_type="503")
"""What the first attempt meets where the retry is to be struck."""

STAGED_FALLBACK: Final = Strike(cause=Fault(kind=FaultKind.UNAUTHORIZED), row=taxonomy.AUTH, error_type="401")
"""What the first candidate meets where the fallback is to be struck."""


def strikes(fault: ChaosFault, way: Way) -> dict[Phase, Strike]:
    """The phases in which `fault` can strike, by what is asked of the provider."""
    return dict(fault.whole if way is Way.WHOLE else fault.streamed)


def met(cell: Cell, candidate: str, tries: int) -> Strike | None:
    """What the `tries`-th attempt at `candidate` meets, `None` where nothing happens to it. The whole staging:

    first      a: strike                 (b, c: strike, if it lasts)
    retry      a: 503, strike            (b, c: strike, if it lasts)
    fallback   a: 401      b: strike     (c: strike, if it lasts)
    """
    struck = "b" if cell.position is Position.FALLBACK else "a"
    if candidate < struck:
        return STAGED_FALLBACK
    first_struck = 1
    if candidate == struck and cell.position is Position.RETRY:
        if tries == 1:
            return STAGED_RETRY
        first_struck = 2
    if cell.lasting is Lasting.LASTS:
        return cell.strike
    if candidate == struck and (tries == first_struck or isinstance(cell.strike.cause, Address)):
        return cell.strike
    return None


def possible(cell: Cell) -> bool:
    """Whether the cell can occur and is not another one in disguise."""
    if isinstance(cell.strike.cause, Address) and cell.position is Position.RETRY:
        return False  # what cannot be reached at the retry could not be reached before: that is "first"
    if cell.recovery is not Recovery.FAIL and not cell.breaks_a_stream:
        return False  # there is nothing to recover: that is "fail"
    if cell.lasting is Lasting.PASSES:
        return True
    row = cell.strike.row
    ends_the_call = (
        row is None or row.next is taxonomy.Next.NO or (cell.breaks_a_stream and cell.recovery is Recovery.FAIL)
    )
    return not ends_the_call  # otherwise nobody learns whether it would have lasted


def cells() -> Iterator[Cell]:
    """All cells of the matrix."""
    for fault in FAULTS:
        for way in Way:
            for phase in strikes(fault, way):
                for position in Position:
                    for lasting, recovery in product(Lasting, Recovery):
                        cell = Cell(fault, way, position, phase, lasting, recovery)
                        if possible(cell):
                            yield cell


def covering_sample() -> list[Cell]:
    """Every fault in every phase and way, with positions and durations in turn."""
    groups: dict[tuple[str, Way, Phase], list[Cell]] = {}
    for cell in cells():
        groups.setdefault((cell.fault.name, cell.way, cell.phase), []).append(cell)
    chosen: list[Cell] = []
    for number, group in enumerate(groups.values()):
        picks = {number % len(group), (number * 5 + 2) % len(group)}
        chosen += [group[pick] for pick in sorted(picks)]
    return sorted(chosen, key=lambda cell: cell.name)
