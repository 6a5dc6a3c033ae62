"""Amplification: a provider that always fails, and how often the router asks it for each call it was asked."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from random import Random

from benchmarks.soak.calls import Caller
from benchmarks.soak.report import Row
from benchmarks.soak.stage import DEPLOYMENTS_OF_MANY, Stage, staged

CALLERS = 50

_PAUSE = 0.1
_DEADLINE = 5.0
_RATIO = 1.2
_A_SECOND = 10.0
_FAULTS = {
    "down": "503",
    "limited": "429 without a hint",
    "refused": "refused connection",
    "cut": "cut after output",
}
_ENDS = frozenset({"UNAVAILABLE", "RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED"})


async def amplification(seconds: float) -> list[Row]:
    """A row for each fault, against one provider and against two of which both fail, each for so many seconds."""
    settings = [
        *(
            (f"{what}, {count} provider{'s' * (count > 1)}", f"{fault}.{'one' if count == 1 else 'two'}")
            for fault, what in _FAULTS.items()
            for count in (1, 2)
        ),
        (f"503, {DEPLOYMENTS_OF_MANY} deployments at one provider", "down.many"),
    ]
    return [await _amplified(what, feature, seconds) for what, feature in settings]


async def _amplified(what: str, feature: str, seconds: float) -> Row:
    row = Row(f"amplification, {what}, {CALLERS} callers for {seconds:g} s")
    async with staged(max_connections=200, max_calls=400) as stage:
        began = time.monotonic()
        codes = await _call(stage, feature, seconds)
        took = time.monotonic() - began
        await stage.provider.ended(_DEADLINE)
        attempts = (await stage.exported()).attempts
        requests = await stage.provider.requests()
    asking = sum(count for (_, reason), count in attempts.items() if reason == "primary")
    most = _RATIO * asking + _A_SECOND * took
    row.figures |= {
        "calls": sum(codes.values()),
        "codes": dict(codes),
        "calls that asked any provider": asking,
        "attempts by reason": dict(_by_reason(attempts)),
        "requests at most, by provider": round(most),
    }
    row.claim(codes.keys() <= _ENDS, f"unexpected codes: {dict(codes)}")
    for provider, count in sorted(_by_provider(requests, attempts).items()):
        row.figures[f"requests at {provider}"] = count
        row.figures[f"requests at {provider} for each call that asked"] = round(count / max(asking, 1), 2)
        row.claim(count <= most, f"{provider} got {count} requests for {asking} calls, more than {most:.0f}")
    return row


async def _call(stage: Stage, feature: str, seconds: float) -> Counter[str]:
    caller = Caller(stage.stub, Random(1))
    codes: Counter[str] = Counter()
    ends = time.monotonic() + seconds

    async def call_again_and_again(number: int) -> None:
        while time.monotonic() < ends:
            which = f"{feature}.{codes.total() % DEPLOYMENTS_OF_MANY}" if feature.endswith(".many") else feature
            # A stream that was cut after output is not repeated: half of the calls could show nothing.
            codes[await caller.code(which, number, stream=number % 4 == 0, within=_DEADLINE)] += 1
            await asyncio.sleep(_PAUSE)

    async with asyncio.TaskGroup() as callers:
        for number in range(CALLERS):
            callers.create_task(call_again_and_again(number))
    return codes


def _by_reason(attempts: Counter[tuple[str, str]]) -> Counter[str]:
    reasons: Counter[str] = Counter()
    for (_, reason), count in attempts.items():
        reasons[reason] += count
    return reasons


def _by_provider(requests: Counter[str], attempts: Counter[tuple[str, str]]) -> Counter[str]:
    """Requests in the provider's own journal; connections that were refused are in nobody's but the router's."""
    counts: Counter[str] = Counter()
    for path, count in requests.items():
        counts[path.partition("/")[0]] += count
    for (deployment, _), count in attempts.items():
        if deployment.startswith("refused-"):
            counts[deployment] += count
    return counts
