"""A real router that is stopped while a provider takes too long."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from llmrouter import AsyncClient, Unavailable
from router_service.app import Application
from router_service.simulator.server import Simulator

CONFIGURATION = """
server: {address: "127.0.0.1:0", lame_duck: 0s, grace: 50ms}
providers:
  openai: {base_url: "${SIMULATOR_URL}/openai/v1", api_key: sk-one}
models:
  gpt-4o: {provider: openai, price: {input: 2.50, output: 10.00}}
policies:
  default: {rules: [{name: all, use: [gpt-4o]}]}
"""


async def complete(client: AsyncClient) -> None:
    await client.complete("Tell me a story.", request_id="cut-short")


async def read_stream(client: AsyncClient) -> None:
    async for _ in client.stream("Tell me a story.", request_id="cut-short"):
        pass


@pytest.mark.parametrize("way", ["unary", "stream"])
async def test_a_call_that_outlasts_the_grace_is_not_paid_for_twice(way: str, tmp_path: Path) -> None:
    file = tmp_path / "router.yaml"
    file.write_text(CONFIGURATION)
    async with Simulator() as simulator:
        simulator.fail(None, "stall", after_tokens=3, times=None)
        application = Application(file, environ={"SIMULATOR_URL": simulator.origin})
        port = await application.start()
        async with AsyncClient.connect(f"127.0.0.1:{port}", timeout=60) as client:
            ask = complete if way == "unary" else read_stream
            call = asyncio.create_task(ask(client))
            await simulator.journal.wait_for(lambda entry: entry.tokens_sent >= 3, 30)
            await application.stop()
            with pytest.raises(Unavailable) as raised:
                await call
        receipt = application.engine.receipt("default", "cut-short")
        asked = len(simulator.journal)

    assert asked == 1
    assert raised.value.reason == "DRAINING"
    assert raised.value.receipt_summary is not None
    assert [attempt.number for attempt in raised.value.receipt_summary.attempts] == [1]
    assert receipt is not None
    assert receipt.cost
    assert (receipt.status, receipt.error_reason) == ("UNAVAILABLE", "DRAINING")
