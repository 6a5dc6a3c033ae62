"""Mixed load: what a day brings, over and over, and whether anything grows."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from random import Random

from benchmarks.soak.calls import Caller, Leaving
from benchmarks.soak.report import Row
from benchmarks.soak.stage import Stage, staged
from benchmarks.soak.storm import LEAST_FOR_SLOPE, MOST_BYTES_PER_CALL
from benchmarks.soak.watch import bytes_per_call, mebibytes, percentile

CALLERS = 48

_WARM_UP_SECONDS = 1.0
_SETTLE = 60.0
_READING_PAUSE = 0.1


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of call: how many of a hundred are such, and how it may end."""

    name: str
    share: int
    codes: frozenset[str]
    call: Callable[[Caller, int, Random], Awaitable[str]]


def _plain(feature: str, *, stream: bool) -> Callable[[Caller, int, Random], Awaitable[str]]:
    return lambda caller, number, _: caller.code(feature, number, stream=stream)


async def _left(caller: Caller, number: int, random: Random) -> str:
    return (await caller.leave(number, random.choice(tuple(Leaving)), stream=random.random() < 0.5)).code


async def _slow(caller: Caller, number: int, _: Random) -> str:
    return await caller.read_slowly("wide", number, pause=_READING_PAUSE)


_OK = frozenset({"OK"})
KINDS = (
    Kind("unary", 38, _OK, _plain("quick", stream=False)),
    Kind("stream", 25, _OK, _plain("quick", stream=True)),
    Kind("503, healed", 5, _OK, _plain("down", stream=False)),
    Kind("429 with a hint, healed", 4, _OK, _plain("hinted", stream=True)),
    Kind("web page, healed", 3, _OK, _plain("html", stream=False)),
    Kind("cut, healed", 3, _OK, _plain("cut", stream=False)),
    # Once the breaker is open, the stream is healed before its first token.
    Kind("cut stream", 3, frozenset({"OK", "UNAVAILABLE"}), _plain("cut", stream=True)),
    Kind("400", 3, frozenset({"INVALID_ARGUMENT"}), _plain("invalid", stream=False)),
    Kind("503, nobody else", 3, frozenset({"UNAVAILABLE"}), _plain("down.one", stream=True)),
    Kind("left", 11, frozenset({"OK", "CANCELLED", "DEADLINE_EXCEEDED"}), _left),
    Kind("slow reader", 2, _OK, _slow),
)
"""A hundred calls."""


async def mixed_load(seconds: float) -> list[Row]:
    """Callers of all kinds for so many seconds."""
    row = Row(f"mixed load, {seconds:g} s, {CALLERS} at a time, {len(KINDS)} kinds of call")
    async with staged(max_connections=200, max_calls=400) as stage:
        await _load(stage, _WARM_UP_SECONDS, Random(2), defaultdict(Counter), [], 10**9)
        await stage.provider.ended(_SETTLE)
        files, before = await stage.files_in_use(), await stage.exported()
        codes: defaultdict[str, Counter[str]] = defaultdict(Counter)
        took: list[float] = []
        began = time.monotonic()
        async with stage.watch.looking(lambda: len(took)) as looks:
            await _load(stage, seconds, Random(1), codes, took, 0)
        seconds = time.monotonic() - began
        after = await stage.exported()
        still_open = await stage.provider.ended(_SETTLE)
        lag, slope = after.lag.since(before.lag), bytes_per_call(looks)
        row.figures |= {
            "calls": len(took),
            "calls a second": round(len(took) / seconds),
            "call ms, p50 and p99": [round(percentile(took, share) * 1000, 1) for share in (0.5, 0.99)],
            **{f"codes of: {kind.name}": dict(codes[kind.name]) for kind in KINDS},
            "router's loop lag ms, p50 and p99 below": [lag.at_most(share) * 1000 for share in (0.5, 0.99)],
            "RSS MiB, at every tenth": mebibytes(looks),
            "bytes a call, second half": round(slope, 1),
            "threads, first and last": [looks[0].threads, looks[-1].threads],
        }
        for kind in KINDS:
            unexpected = codes[kind.name].keys() - kind.codes
            row.claim(not unexpected, f"{kind.name}: {dict(codes[kind.name])}, expected {sorted(kind.codes)}")
        if len(took) >= LEAST_FOR_SLOPE:
            row.claim(slope <= MOST_BYTES_PER_CALL, f"each call leaves {slope:.0f} B (at most {MOST_BYTES_PER_CALL:g})")
        row.claim(not still_open, f"{still_open} upstream calls are still open after {_SETTLE:g} s")
        await stage.released(row, files)
    return [row]


async def _load(
    stage: Stage,
    seconds: float,
    random: Random,
    codes: defaultdict[str, Counter[str]],
    took: list[float],
    number: int,
) -> None:
    """Call for so long; numbers count from `number`."""
    caller = Caller(stage.stub, random)
    ends = time.monotonic() + seconds
    shares = [kind.share for kind in KINDS]

    async def call_again_and_again() -> None:
        nonlocal number
        while (began := time.monotonic()) < ends:
            (kind,) = random.choices(KINDS, shares)
            number += 1
            codes[kind.name][await kind.call(caller, number, random)] += 1
            took.append(time.monotonic() - began)

    async with asyncio.TaskGroup() as callers:
        for _ in range(CALLERS):
            callers.create_task(call_again_and_again())
