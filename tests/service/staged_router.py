"""A whole router before a simulated provider whose journal is the judge, for tests of what goes wrong upstream."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from llmrouter import AsyncClient, NotFound, RouterError
from llmrouter.v1 import receipt_pb2
from llmrouter.v1.receipt_pb2 import Receipt
from llmrouter.v1.stream_pb2 import AttemptDiscarded, TextDelta
from router_service.app import Application
from router_service.simulator import SimulatedModel, Simulator
from router_service.simulator.journal import Entry

QUICK = {"quality": 0.9, "first_token_seconds": 0.001, "tokens_per_second": 2000.0}
MODELS = [
    SimulatedModel(name="plain", provider="one", **QUICK),
    SimulatedModel(name="other", provider="two", **QUICK),
    SimulatedModel(name="large", provider="three", **QUICK),
]
PROMPT = "Explain how tides work."


@dataclass(frozen=True, slots=True)
class Call:
    """How one call ended: `code` and `reason` of its status, and what its caller may keep of the text."""

    code: str
    reason: str
    text: str
    receipt: Receipt
    discards: int = 0
    retry_after: float | None = None

    @property
    def asked(self) -> list[str]:
        """The deployments of its attempts, in order."""
        return [attempt.deployment for attempt in self.receipt.attempts]

    @property
    def cost_statuses(self) -> list[str]:
        """How certain the cost of each attempt is."""
        return [
            receipt_pb2.CostStatus.Name(attempt.cost_status).removeprefix("COST_STATUS_")
            for attempt in self.receipt.attempts
        ]


class StagedRouter:
    """A running router; `simulator` is all of its providers."""

    def __init__(self, application: Application, simulator: Simulator, client: AsyncClient) -> None:
        self.application = application
        self.simulator = simulator
        self.client = client

    async def call(self, way: str, *, request_id: str = "call", prompt: str = PROMPT, **options) -> Call:
        """Call it the `unary` or the `stream` way."""
        text, discards = [], 0
        try:
            if way == "unary":
                text.append((await self.client.complete(prompt, request_id=request_id, **options)).text)
            else:
                async with self.client.stream(prompt, request_id=request_id, **options) as stream:
                    async for event in stream:
                        if isinstance(event, TextDelta):
                            text.append(event.text)
                        elif isinstance(event, AttemptDiscarded):
                            text.clear()
                            discards += 1
        except RouterError as error:
            receipt = await self.receipt(request_id)
            return Call(error.code.name, error.reason, "".join(text), receipt, discards, error.retry_after)
        return Call("OK", "", "".join(text), await self.receipt(request_id), discards)

    async def receipt(self, request_id: str) -> Receipt:
        """The receipt as soon as it is kept: a call may be closed after its client has gone."""
        async with asyncio.timeout(30):
            while True:
                try:
                    return await self.client.receipt(request_id)
                except NotFound:
                    await asyncio.sleep(0)

    def entries(self, provider: str | None = None) -> list[Entry]:
        """What reached a provider, or any."""
        return [entry for entry in self.simulator.journal if provider in {None, entry.provider}]

    async def entry(self, provider: str, *, tokens: int = 0) -> Entry:
        """The request at a provider once so many tokens of its answer left."""
        return await self.simulator.journal.wait_for(
            lambda seen: seen.provider == provider and seen.status is not None and seen.tokens_sent >= tokens
        )


@asynccontextmanager
async def staged(tmp_path: Path, configuration: str) -> AsyncIterator[StagedRouter]:
    """Serve a configuration whose providers are at `${SIMULATOR_URL}`."""
    file = tmp_path / "router.yaml"
    file.write_text(configuration)
    async with Simulator(MODELS) as simulator:
        application = Application(file, environ={"SIMULATOR_URL": simulator.origin})
        port = await application.start()
        try:
            async with AsyncClient.connect(f"127.0.0.1:{port}", timeout=60) as client:
                yield StagedRouter(application, simulator, client)
        finally:
            await application.stop()
