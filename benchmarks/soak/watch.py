"""The router's process seen from outside: memory, open files, threads."""

from __future__ import annotations

import asyncio
import os
import statistics
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

_PERIOD = 0.25
_STRETCHES = 10
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Look:
    """One look at a process; `rss` is in bytes, `done` counts the calls that had ended by then."""

    rss: int
    files: int
    threads: int
    done: int = 0


class Watch:
    """Looks at the process with this id."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._folder = Path(f"/proc/{pid}")

    def look(self, done: int = 0) -> Look:
        """How it is now."""
        return Look(
            rss=int((self._folder / "statm").read_text().split()[1]) * _PAGE,
            files=len(os.listdir(self._folder / "fd")),  # noqa: PTH208 - names are enough
            threads=len(os.listdir(self._folder / "task")),  # noqa: PTH208
            done=done,
        )

    @asynccontextmanager
    async def looking(self, done: Callable[[], int]) -> AsyncIterator[list[Look]]:
        """The looks taken during the block, four a second."""
        looks = [self.look(done())]

        async def go_on() -> None:
            while True:
                await asyncio.sleep(_PERIOD)
                looks.append(self.look(done()))

        watching = asyncio.create_task(go_on())
        try:
            yield looks
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
            looks.append(self.look(done()))


def bytes_per_call(looks: Sequence[Look]) -> float:
    """By how much each call let the process grow: least squares over the second half of the calls.

    Garbage comes and goes in between, so what counts is the least memory of each stretch of calls.
    """
    first, last = looks[-1].done // 2, looks[-1].done
    least: dict[int, Look] = {}
    for look in looks:
        if look.done >= first:
            stretch = (look.done - first) * _STRETCHES // (last - first + 1)
            least[stretch] = min(least.get(stretch, look), look, key=lambda one: one.rss)
    if len(least) < 2:
        return 0.0
    found = list(least.values())
    return statistics.linear_regression([one.done for one in found], [one.rss for one in found]).slope


def mebibytes(looks: Sequence[Look]) -> list[float]:
    """Memory in MiB at every tenth of the calls."""
    last = looks[-1].done
    tenths = [next(look for look in looks if look.done * 10 >= last * tenth) for tenth in range(11)]
    return [round(look.rss / 2**20, 1) for look in tenths]


def percentile(values: Sequence[float], share: float) -> float:
    """The value that this share of all stays at or below; 0 of none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0
