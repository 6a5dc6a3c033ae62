"""A router for clients in other languages: `python -m tests.sdk.serve`.

Prints one line of JSON with where it is and the keys that hold. Then it answers commands from its standard input, each
with one line of JSON: `journal` gives what the providers saw, `aborted` waits until one of them saw its client leave,
`clear` forgets. It ends with its input.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from router_service.simulator.journal import Entry
from tests.sdk.sdk_router import KEY, NARROW_KEY, Sdk, sdk


async def serve() -> None:
    limits = {"one": {"requests": 1, "window": "1m", "per": "feature", "match": {"feature": "limited"}}}
    budgets = {"none": {"usd": 0.000001, "period": "day", "match": {"feature": "poor"}}}
    features: dict[str, Any] = {"limited": {}, "poor": {}}
    with tempfile.TemporaryDirectory() as folder:
        async with sdk(Path(folder), limits=limits, budgets=budgets, features=features) as live:
            say({"baseUrl": live.base_url, "key": KEY, "narrowKey": NARROW_KEY})
            async for command in commands():
                say(await answered(live, command))


async def answered(live: Sdk, command: str) -> Any:
    journal = live.router.simulator.journal
    match command:
        case "journal":
            return [told(entry) for entry in journal]
        case "aborted":
            return told(await live.aborted())
        case "clear":
            journal.clear()
            return {}
    raise ValueError(f"There is no command {command}.")


def told(entry: Entry) -> dict[str, Any]:
    return {
        "model": entry.model,
        "body": entry.body,
        "intended": entry.intended,
        "outcome": entry.outcome.value,
        "outputTokens": entry.billed.output_tokens,
    }


def say(value: Any) -> None:
    print(json.dumps(value), flush=True)


async def commands() -> AsyncIterator[str]:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        yield line.decode().strip()


if __name__ == "__main__":
    asyncio.run(serve())
