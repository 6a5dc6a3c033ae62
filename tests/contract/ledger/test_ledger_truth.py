"""The ledger beside the provider's own journal, after calls that went well and calls that did not."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from router_service.app import routing_table
from router_service.config.load import load
from router_service.domain.call import Call, Caller
from router_service.domain.chat import Chat, Message, Role, TextPart
from router_service.domain.error import RouterError
from router_service.domain.event import Deltas, Event
from router_service.domain.money import Usage
from router_service.engine.book import JournalBook
from router_service.engine.complete import Engine, Runtime
from router_service.engine.receipts import ReceiptStore
from router_service.engine.run import Clock
from router_service.engine.token import TokenSigner
from router_service.ledger.journal import Journal, JournalLimits
from router_service.ledger.shipper import Shipper
from router_service.ledger.store import SqlLedgerStore
from router_service.providers.open import ProviderPool
from router_service.simulator import Fault, FaultKind, Rule, Simulator
from router_service.spend.catalogue import catalogue_facts
from router_service.spend.cost import cost
from router_service.storage.database import Database

CANARY = "Ada-Q-Canary"
CALLS = 240
EVERYTHING = ("SELECT * FROM ledger_operations", "SELECT * FROM ledger_attempts")
FAULTS = (
    FaultKind.RATE_LIMITED,
    FaultKind.SERVER_ERROR,
    FaultKind.CUT,
    FaultKind.RESET,
    FaultKind.BAD_JSON,
    FaultKind.END_WITHOUT_FINISH,
    FaultKind.CLOSE_BEFORE_HEADERS,
    FaultKind.CONTENT_FILTER,
)

CONFIGURATION = """
providers:
  openai: {base_url: "${URL}/openai/v1", api_key: sk-one}
  deepseek: {base_url: "${URL}/deepseek/v1", api_key: sk-two}
models:
  gpt-4o: {provider: openai, price: {input: 2.5, output: 10, cached_input: 1.25}}
  deepseek-chat: {provider: deepseek, price: {input: 0.27, output: 1.1, cached_input: 0.07}}
policies:
  default:
    baseline: gpt-4o
    retries: {same_deployment: 1, backoff_initial: 1ms, backoff_max: 2ms}
    rules: [{use: [gpt-4o, deepseek-chat]}]
"""


class Nobody:
    """Watches nothing."""

    def __call__(self, event: Event) -> None:
        """Forgotten."""

    def trace_headers(self, attempt: int) -> dict[str, str]:
        return {}


@pytest.fixture
async def provider() -> AsyncIterator[Simulator]:
    async with Simulator() as simulator:
        for number, kind in enumerate(FAULTS):
            # The first attempt of every call in the fault's turn, which its prompt names.
            for call in range(number, CALLS, 2 * len(FAULTS)):
                fault = Fault(kind=kind, after_tokens=3)
                simulator.script.add(Rule(fault=fault, contains=f"call-{call:04}.", times=1))
        yield simulator


async def test_the_ledger_equals_the_providers_journal_wherever_usage_was_reported(
    tmp_path: Path, provider: Simulator, store: SqlLedgerStore, database: Database
) -> None:
    file = tmp_path / "router.yaml"
    file.write_text(CONFIGURATION)
    configuration = load(file, catalogue_facts, {"URL": provider.origin})
    prices = {name: one.price for name, one in configuration.deployments.items()}
    pool = ProviderPool(configuration.providers)
    journal = Journal(tmp_path / "journal", "router-1", limits=JournalLimits(segment_bytes=50_000, sync_interval=3600))
    engine = Engine(
        Runtime(table=routing_table(configuration), providers=dict(pool)),
        observe=lambda _: Nobody(),
        signer=TokenSigner(None, 60.0, time.time),
        receipts=ReceiptStore(CALLS),
        clock=Clock(monotonic=time.monotonic, wall=time.time),
        random=random.Random(4).random,
        book=JournalBook(journal),
    )
    turn = asyncio.Semaphore(12)

    async def perform(number: int) -> None:
        call = Call(
            request_id=f"req-{number}",
            tenant="acme",
            caller=Caller(feature="chat", user=CANARY, labels={"note": CANARY}),
            chat=Chat(messages=(Message(role=Role.USER, parts=(TextPart(f"call-{number:04}. {CANARY}"),)),)),
            stream=number % 2 == 0,
        )

        async def emit(event: Event) -> None:
            if number % 15 == 14 and isinstance(event, Deltas):
                raise asyncio.CancelledError

        async with turn:
            with contextlib.suppress(RouterError, asyncio.CancelledError):
                await engine.complete(call, emit)

    await asyncio.gather(*(perform(number) for number in range(CALLS)))
    await pool.aclose()
    files = b"".join(path.read_bytes() for path in journal.folder.iterdir())
    await Shipper(journal, store).aclose()

    columns = "attempt_id, status, deployment, input_tokens, output_tokens, cached_input_tokens, cost_nano_usd"
    rows = {row[0]: row for row in await database.fetch(f"SELECT {columns} FROM ledger_attempts")}  # noqa: S608
    entries = {entry.attempt_id: entry for entry in provider.journal}
    assert len(entries) == len(provider.journal) > CALLS
    assert rows.keys() == entries.keys()
    statuses = {row[1] for row in rows.values()}
    assert {"settled", "estimated", "unbilled"} <= statuses
    for name, (_, status, deployment, prompt, output, cached, spent) in rows.items():
        entry = entries[name]
        if status == "settled":
            assert entry.usage_reported
            assert (prompt, output, cached) == (
                entry.billed.input_tokens,
                entry.billed.output_tokens,
                entry.billed.cached_input_tokens,
            )
            price = prices[deployment]
            assert price is not None
            assert spent == cost(entry.billed, price).total
        if status == "unbilled":
            assert entry.billed == Usage()

    [(calls, booked)] = await database.fetch("SELECT count(*), sum(cost_nano_usd) FROM ledger_operations")
    assert (calls, booked) == (CALLS, sum(row[-1] or 0 for row in rows.values()))
    assert await database.fetch("SELECT count(*) FROM ledger_operations WHERE closed_by IS NULL") == [(0,)]
    texts = [str(row) for sql in EVERYTHING for row in await database.fetch(sql)]
    assert CANARY not in "".join(texts)
    assert "sk-one" not in "".join(texts)
    assert CANARY.encode() not in files
