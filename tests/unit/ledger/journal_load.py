"""A router's accounting without the router: calls a provider, writing intents and ends, until it is killed.

Given a database's URL too, it ships its journal there meanwhile.
"""

import asyncio
import sys
from pathlib import Path

import aiohttp
from ledger_values import closed, intent, opened, terminal

from router_service.ledger.journal import Journal, JournalLimits
from router_service.ledger.shipper import Shipper, ShipperLimits
from router_service.ledger.store import SqlLedgerStore
from router_service.storage.opening import open_database

CALLERS = 30


async def calls(journal: Journal, url: str, name: str) -> None:
    async with aiohttp.ClientSession() as session:
        for number in range(1_000_000):
            operation_id = f"{name}-{number}"
            attempt_id = f"{operation_id}-1"
            journal.operation(opened(operation_id))
            journal.intent(intent(attempt_id))
            body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Explain how tides work"}]}
            async with session.post(url, json=body, headers={"x-client-request-id": attempt_id}) as response:
                usage = (await response.json())["usage"]
            journal.terminal(terminal(attempt_id, output_tokens=usage["completion_tokens"]))
            journal.operation(closed(operation_id))


async def main(folder: Path, process: str, url: str, database_url: str = "") -> None:
    limits = JournalLimits(segment_bytes=20_000, sync_interval=0.05)
    journal = Journal(folder, process, limits=limits)
    shipping = []
    if database_url:
        store = SqlLedgerStore(await open_database(database_url))
        often = ShipperLimits(interval=0.02, batch_bytes=5_000, housekeeping_interval=0.5)
        shipping.append(Shipper(journal, store, limits=often).run())
    await asyncio.gather(*shipping, *(calls(journal, url, f"{process}.{caller}") for caller in range(CALLERS)))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), *sys.argv[2:]))
