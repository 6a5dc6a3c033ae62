"""Idle streams: providers that think for minutes, and whether others notice."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from random import Random
from typing import Any

from benchmarks.soak.calls import Caller, Probe, events
from benchmarks.soak.report import Row
from benchmarks.soak.stage import Stage, staged
from benchmarks.soak.watch import percentile

CHANNELS = 8

_AT_ONCE = 64
_SPARE = 100
_OPENING = 600.0
_RELEASE = 60.0
_SETTLE = 3.0
_PROBES = 1000
_PAUSE = 0.01
_MEMORY_MIB = 1024.0
_PROBE_MS = 10.0
_GROWTH_MIB = 8.0
_GROWTH_SHARE = 0.05


async def idle_streams(streams: int, probes: int = _PROBES) -> list[Row]:
    """Hold so many streams that have said one token, call beside them, then leave them all."""
    row = Row(f"idle streams, {streams:,} over {CHANNELS} connections")
    async with staged(max_connections=streams + _SPARE, max_calls=streams + _SPARE, channels=CHANNELS) as stage:
        row.figures |= {"unary ms without streams, p50 and p99": _ms(await _probed(stage, probes))}
        files, alone = await stage.files_in_use(), stage.watch.look()
        began = time.monotonic()
        calls = await _open(stage, streams)
        row.figures["seconds to open"] = round(time.monotonic() - began, 1)
        held = await stage.provider.open()
        row.claim(len(calls) == streams, f"only {len(calls)} of {streams} streams said their first token")
        row.claim(held == streams, f"the provider holds {held} of {streams} streams")
        await asyncio.sleep(_SETTLE if streams > _PROBES else 0)

        full = stage.watch.look()
        before = await stage.exported()
        probe = await _probed(stage, probes)
        after = await stage.exported()
        row.aim("RSS MiB with all streams", full.rss / 2**20, _MEMORY_MIB)
        row.figures |= {
            "RSS MiB without": round(alone.rss / 2**20, 1),
            "KiB a stream": round((full.rss - alone.rss) / 1024 / streams, 1),
            "files in use with all streams": await stage.files_in_use(),
            "unary ms beside them, p50": _ms(probe)[0],
        }
        row.aim("unary ms beside them, p99", _ms(probe)[1], _PROBE_MS)
        lag = after.lag.since(before.lag)
        row.figures["router's loop lag ms, p50 and p99 below"] = [lag.at_most(share) * 1000 for share in (0.5, 0.99)]
        row.claim(not probe.failed, f"{probe.failed} of {probes} unary calls beside the streams failed")

        began = time.monotonic()
        await _leave(row, stage, calls)
        row.figures["seconds to release"] = round(time.monotonic() - began, 1)
        await stage.released(row, files)

        # What Python keeps for later is no leak: the same streams once more must fit into it.
        released = stage.watch.look()
        calls = await _open(stage, streams)
        again = stage.watch.look()
        await _leave(row, stage, calls)
        await stage.released(row, files)
        row.figures["RSS MiB once left, and with all streams again"] = [
            round(look.rss / 2**20, 1) for look in (released, again)
        ]
        grown = (again.rss - full.rss) / 2**20
        row.claim(
            grown <= _GROWTH_MIB + full.rss / 2**20 * _GROWTH_SHARE, f"the second time took {grown:.0f} MiB more memory"
        )
    return [row]


async def _open(stage: Stage, streams: int) -> list[Any]:
    """Open the streams, a crowd at a time; returns those that have said a token."""
    callers = [Caller(stub, Random(number)) for number, stub in enumerate(stage.stubs)]
    waiting = iter(range(streams))
    calls: list[Any] = []

    async def open_more() -> None:
        for number in waiting:
            call = callers[number % CHANNELS].start("mute", number, stream=True, within=_OPENING + 3600)
            async for event in events(call):
                if event.WhichOneof("event") == "text_delta":
                    calls.append(call)
                    break

    async with asyncio.timeout(_OPENING), asyncio.TaskGroup() as opening:
        for _ in range(_AT_ONCE):
            opening.create_task(open_more())
    return calls


async def _leave(row: Row, stage: Stage, calls: list[Any]) -> None:
    for call in calls:
        call.cancel()
    codes = Counter([(await call.code()).name for call in calls])
    left_open = await stage.provider.ended(_RELEASE)
    row.claim(codes.keys() == {"CANCELLED"}, f"streams that were left ended with {dict(codes)}")
    row.claim(not left_open, f"{left_open} upstream calls are still open after {_RELEASE:g} s")


async def _probed(stage: Stage, calls: int) -> Probe:
    probe = Probe()
    for stub in stage.stubs:
        await Probe().run(stub, 5, 0)
    await probe.run(stage.stub, calls, _PAUSE)
    return probe


def _ms(probe: Probe) -> list[float]:
    return [round(percentile(probe.seconds, share) * 1000, 2) for share in (0.5, 0.99)]
