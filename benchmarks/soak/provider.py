"""The simulated provider as a process of its own, which tells its journal over a loopback connection.

It ends when that connection does, so that it never outlives whoever started it.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import re
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import uvloop

from router_service.simulator import Fault, SimulatedModel, Simulator
from router_service.simulator.journal import Entry, Outcome
from router_service.simulator.script import Rule, Script

ANSWER_TOKENS = 8
"""Every answer is longer than this and cut to it."""

HOLD_SECONDS = 2.0
"""How long the model "hold" thinks, unless it is told to take longer."""

FAULTS: dict[str, Fault] = {
    "down": Fault.of("503"),
    "limited": Fault.of("429"),
    "hinted": Fault.of("rate_limited_ms", seconds=0.05),
    "invalid": Fault.of("400"),
    "cut": Fault.of("cut", after_tokens=3, seconds=0.0),
    "html": Fault.of("html"),
    "mute": Fault.of("stall", after_tokens=1),
    "wide": Fault.of("huge_line", after_tokens=2, size=900_000),
    "reset": Fault.of("reset_before_headers"),
    "unfinished": Fault.of("end_without_finish", after_tokens=3),
    "in-band": Fault.of("in_band_error", after_tokens=2),
}
"""What always goes wrong, by model. "mute" says one token and then nothing; "wide" says 900 kB at once."""

_JOURNAL_SIZE = 2_000_000
_LONGEST_LINE = 1 << 30
_NUMBER = re.compile(r"call (\d+)\b")


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One upstream call as the provider saw it; times are the machine's monotonic clock in seconds."""

    number: int
    outcome: str
    received_at: float
    headers_sent_at: float | None
    first_token_at: float | None
    disconnected_at: float | None
    ended_at: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    """What the provider charges for one upstream call; `reported` says whether it told the client."""

    attempt_id: str
    model: str
    outcome: str
    reported: bool
    input_tokens: int
    cached_input_tokens: int
    output_tokens: int


class Provider:
    """The process seen from outside. `origin` is such as "http://127.0.0.1:18401"."""

    def __init__(self, origin: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.origin = origin
        self._reader = reader
        self._writer = writer

    async def open(self) -> int:
        """Upstream calls in progress."""
        return int((await self._ask("outcomes")).get(Outcome.OPEN, 0))

    async def outcomes(self) -> dict[str, int]:
        """Upstream calls so far, by outcome."""
        return dict(await self._ask("outcomes"))

    async def requests(self) -> Counter[str]:
        """Upstream calls so far by "provider/model"."""
        return Counter(await self._ask("requests"))

    async def seen(self) -> list[Seen]:
        """Every upstream call of a numbered prompt."""
        names = list(Seen.__dataclass_fields__)
        return [Seen(**dict(zip(names, row, strict=True))) for row in await self._ask("seen")]

    async def hold(self, seconds: float) -> None:
        """Have calls of the model "hold" wait for so long before it thinks."""
        await self._ask(f"hold {seconds}")

    async def bills(self) -> list[Bill]:
        """Every upstream call that carried an attempt's id."""
        names = list(Bill.__dataclass_fields__)
        return [Bill(**dict(zip(names, row, strict=True))) for row in await self._ask("bills")]

    async def ended(self, seconds: float) -> int:
        """Wait until no upstream call is in progress; returns how many still are after so many seconds."""
        ends = asyncio.get_running_loop().time() + seconds
        while (left := await self.open()) and asyncio.get_running_loop().time() < ends:  # noqa: ASYNC110 - elsewhere
            await asyncio.sleep(0.05)
        return left

    async def _ask(self, what: str) -> Any:
        self._writer.write(what.encode() + b"\n")
        return json.loads(await self._reader.readline())


@asynccontextmanager
async def connected(addresses: str) -> AsyncIterator[Provider]:
    """A provider that printed these addresses; it ends with the block."""
    origin, port = addresses.split()
    reader, writer = await asyncio.open_connection("127.0.0.1", int(port), limit=_LONGEST_LINE)
    try:
        yield Provider(origin, reader, writer)
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


def _models() -> list[SimulatedModel]:
    quick = SimulatedModel(name="quick", first_token_seconds=0.04, tokens_per_second=200)
    hold = SimulatedModel(name="hold", first_token_seconds=HOLD_SECONDS, tokens_per_second=1000)
    return [quick, hold, *(SimulatedModel(name=name, first_token_seconds=0, tokens_per_second=400) for name in FAULTS)]


def _row(entry: Entry) -> list[object] | None:
    messages = entry.body.get("messages") or [{}]
    found = _NUMBER.search(str(messages[-1].get("content")))
    if found is None:
        return None
    times = (entry.received_at, entry.headers_sent_at, entry.first_token_at, entry.disconnected_at, entry.ended_at)
    return [int(found[1]), entry.outcome, *times]


def _bill(entry: Entry) -> list[object]:
    billed = entry.billed
    tokens = (billed.input_tokens, billed.cached_input_tokens, billed.output_tokens)
    return [entry.attempt_id, entry.model, entry.outcome, entry.usage_reported, *tokens]


def _answer(simulator: Simulator, what: str) -> object:
    journal = simulator.journal
    match what:
        case "outcomes":
            return Counter(entry.outcome for entry in journal)
        case "requests":
            return Counter(f"{entry.provider}/{entry.model}" for entry in journal)
        case "seen":
            return [row for entry in journal if (row := _row(entry)) is not None]
        case "bills":
            return [_bill(entry) for entry in journal if entry.attempt_id]
    if what.startswith("hold "):
        simulator.script.heal(model="hold")
        simulator.fail("hold", "silent", seconds=float(what.removeprefix("hold ")), times=None)
        return None
    raise ValueError(what)


async def _serve() -> None:
    script = Script(Rule(model=name, fault=fault, times=None) for name, fault in FAULTS.items())
    over = asyncio.Event()
    async with Simulator(_models(), script, speed=1, journal_size=_JOURNAL_SIZE) as simulator:

        async def tell(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while line := await reader.readline():
                writer.write(json.dumps(_answer(simulator, line.decode().strip())).encode() + b"\n")
                await writer.drain()
            writer.close()
            over.set()

        control = await asyncio.start_server(tell, "127.0.0.1", 0)
        print(simulator.origin, control.sockets[0].getsockname()[1], flush=True)
        await over.wait()
        control.close()


if __name__ == "__main__":
    # A journal of all calls would be looked at again and again: pauses of this process, seen as ones of the router.
    gc.disable()
    uvloop.run(_serve())
