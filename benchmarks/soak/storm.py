"""The cancel storm: calls left at every moment, and whether anything of them stays behind."""

from __future__ import annotations

import asyncio
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from random import Random

import grpc

from benchmarks.bench import process
from benchmarks.soak.calls import DEADLINE, Caller, Leaving, Left, request_id
from benchmarks.soak.metrics import Exported
from benchmarks.soak.provider import Seen
from benchmarks.soak.report import Row
from benchmarks.soak.stage import Stage, staged
from benchmarks.soak.watch import Watch, bytes_per_call, mebibytes, percentile
from llmrouter.v1 import router_service_pb2
from llmrouter.v1.router_service_pb2_grpc import RouterServiceStub

CALLERS = 64
CONNECTIONS = 100
"""The pool's size; all of it must be usable afterwards."""

LEAST_FOR_SLOPE = 50_000
"""Fewer calls do not tell a leak from an interpreter that warms up."""

MOST_BYTES_PER_CALL = 100.0
"""A leak of one small object a call is more. What the same storm leaves in a server of bare gRPC is not ours."""

_SETTLE = 60.0
_EXPECTED = frozenset({"OK", "CANCELLED", "DEADLINE_EXCEEDED"})
# Well within those that are kept.
_RECEIPTS_ASKED = 1000
_WARM_UP = 300
# How long the provider keeps each of the calls that are to use the whole pool, in seconds.
_HOLDS = (2.0, 8.0, 20.0)
_ABORT_MS = 50.0


async def cancel_storm(calls: int) -> list[Row]:
    """Make and leave so many calls, then look for what they left behind."""
    row = Row(f"cancel storm, {calls:,} calls, half of them streams, {CALLERS} at a time")
    async with staged(max_connections=CONNECTIONS, max_calls=20 * CONNECTIONS) as stage:
        await _storm(stage.stub, range(calls, calls + _WARM_UP), Random(2), [])
        await stage.provider.ended(_SETTLE)
        files, before = await stage.files_in_use(), await stage.exported()
        left: list[Left] = []
        began = time.monotonic()
        async with stage.watch.looking(lambda: len(left)) as looks:
            await _storm(stage.stub, range(calls), Random(1), left)
        seconds = time.monotonic() - began
        still_open = await stage.provider.ended(_SETTLE)
        after = await stage.exported()
        seen = {one.number: one for one in await stage.provider.seen() if one.number < calls}

        codes = Counter(one.code for one in left)
        row.figures |= {
            "calls a second": round(calls / seconds),
            "callers left": dict(Counter(str(one.leaving) for one in left)),
            "codes": dict(codes),
            "at the provider": dict(_phases(seen.values())),
            "never reached the provider": calls - len(seen),
        }
        row.claim(codes.keys() <= _EXPECTED, f"unexpected codes: {dict(codes)}")
        row.claim(not still_open, f"{still_open} upstream calls are still open after {_SETTLE:g} s")
        _tell_aborts(row, left, seen, before, after)
        slope = bytes_per_call(looks)
        row.figures |= {
            "RSS MiB, at every tenth": mebibytes(looks),
            "bytes a call, second half": round(slope, 1),
            "threads, first and last": [looks[0].threads, looks[-1].threads],
        }
        bare = await bare_slope(calls)
        row.figures["bytes a call in bare gRPC, second half"] = round(bare, 1)
        if calls >= LEAST_FOR_SLOPE:
            ours = slope - max(0.0, bare)
            row.claim(
                ours <= MOST_BYTES_PER_CALL,
                f"each call leaves {slope:.0f} B, {ours:.0f} more than in bare gRPC (at most {MOST_BYTES_PER_CALL:g})",
            )
        await stage.released(row, files)
        await _accounted(row, stage, [one for one in left if one.number in seen][-_RECEIPTS_ASKED:])
        await _usable(row, stage)
    return [row]


async def bare_slope(calls: int) -> float:
    """Bytes that each call of the same storm leaves in a server of bare gRPC."""
    command = (sys.executable, "-m", "benchmarks.soak.bare")
    with process(*command, ready=lambda line: line or None) as (pid, address):
        async with grpc.aio.insecure_channel(address) as channel:
            left: list[Left] = []
            async with Watch(pid).looking(lambda: len(left)) as looks:
                await _storm(RouterServiceStub(channel), range(calls), Random(1), left)
    return bytes_per_call(looks)


async def _storm(stub: RouterServiceStub, numbers: range, random: Random, left: list[Left]) -> None:
    caller = Caller(stub, random)
    waiting = iter(numbers)
    ways = tuple(Leaving)

    async def leave_again_and_again() -> None:
        for number in waiting:
            one = await caller.leave(number, random.choice(ways), stream=number % 2 == 0)
            left.append(one)

    async with asyncio.TaskGroup() as callers:
        for _ in range(CALLERS):
            callers.create_task(leave_again_and_again())


def _phases(seen: Iterable[Seen]) -> Counter[str]:
    phases: Counter[str] = Counter()
    for one in seen:
        if one.outcome != "aborted":
            phases[one.outcome] += 1
        elif one.headers_sent_at is None:
            phases["aborted before headers"] += 1
        else:
            phases["aborted before the first token" if one.first_token_at is None else "aborted amid the answer"] += 1
    return phases


def _tell_aborts(row: Row, left: Sequence[Left], seen: dict[int, Seen], before: Exported, after: Exported) -> None:
    """How long the provider went on after the caller had left."""
    waits = [
        (ended - one.at) * 1000
        for one in left
        if one.number in seen and (ended := seen[one.number].disconnected_at) is not None
    ]
    lag = after.lag.since(before.lag)
    row.figures["aborts timed"] = len(waits)
    row.figures["upstream abort ms, p50"] = round(percentile(waits, 0.5), 2)
    row.aim("upstream abort ms, p99", percentile(waits, 0.99), _ABORT_MS)
    row.figures["upstream abort ms, largest"] = round(max(waits, default=0.0), 2)
    row.figures["router's loop lag ms, p50 and p99 below"] = [lag.at_most(share) * 1000 for share in (0.5, 0.99)]


async def _accounted(row: Row, stage: Stage, left: Sequence[Left]) -> None:
    """Whether calls that reached the provider have receipts, however they were left."""

    async def status(number: int) -> str:
        request = router_service_pb2.GetReceiptRequest(request_id=request_id(number))
        try:
            return str((await stage.stub.GetReceipt(request, timeout=DEADLINE)).receipt.status)
        except grpc.aio.AioRpcError as error:
            return f"no receipt: {error.code().name}"

    statuses = Counter(await asyncio.gather(*(status(one.number) for one in left)))
    missing = sum(count for status, count in statuses.items() if status.startswith("no receipt"))
    row.figures[f"receipts of the last {len(left)} calls"] = dict(statuses)
    row.claim(not missing, f"{missing} of {len(left)} calls have no receipt")


async def _usable(row: Row, stage: Stage) -> None:
    """Whether as many calls as the pool has connections are at the provider at once, and all answered."""
    caller = Caller(stage.stub, Random(3))
    codes: Counter[str] = Counter()
    most = 0
    # On a busy machine the first answers would come before the last calls had arrived: then answers take longer.
    for seconds in _HOLDS:
        await stage.provider.hold(seconds)
        held = [
            asyncio.create_task(caller.code("hold", number, stream=number % 2 == 0))
            for number in range(10**9, 10**9 + CONNECTIONS)
        ]
        ends = time.monotonic() + seconds
        while most < CONNECTIONS and time.monotonic() < ends:
            most = max(most, await stage.provider.open())
            await asyncio.sleep(0.05)
        codes.update(await asyncio.gather(*held))
        if most == CONNECTIONS:
            break
    row.figures["pool: calls at once, codes"] = [most, dict(codes)]
    row.claim(most == CONNECTIONS, f"only {most} of the pool's {CONNECTIONS} connections can be used at once")
    row.claim(set(codes) == {"OK"}, f"calls that used the whole pool ended with {dict(codes)}")
