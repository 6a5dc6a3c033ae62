"""Repeats under an idempotency key, over real channels: one call, one bill, the same answer."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from llmrouter.v1 import call_pb2, chat_pb2, error_pb2, router_service_pb2, router_service_pb2_grpc
from router_service.app import Application
from router_service.simulator.server import Simulator
from tests.loop_clock import leap

CONFIGURATION = """
server: {address: "127.0.0.1:0", lame_duck: 0s}
providers: {openai: {base_url: "${SIMULATOR_URL}/openai/v1", api_key: sk-one}}
models: {gpt-4o: {provider: openai, price: {input: 2.50, output: 10.00}}}
policies:
  keeping: {keep_answers: 10m, retries: {same_deployment: 0}, rules: [{use: [gpt-4o]}]}
  forgetting: {retries: {same_deployment: 0}, rules: [{use: [gpt-4o]}]}
default_policy: keeping
"""


@asynccontextmanager
async def running(tmp_path: Path):
    async with serving(tmp_path) as (_, simulator, calls):
        yield simulator, calls


@asynccontextmanager
async def serving(tmp_path: Path):
    file = tmp_path / "router.yaml"
    file.write_text(CONFIGURATION)
    async with Simulator() as simulator:
        application = Application(file, environ={"SIMULATOR_URL": simulator.origin})
        port = await application.start()
        options = (("grpc.enable_retries", 0),)
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=options) as channel:
            yield application, simulator, router_service_pb2_grpc.RouterServiceStub(channel)
        await application.stop()


def asking(text="Name three rivers.", *, key="k-1", policy="", stream=False):
    kind = router_service_pb2.StreamCompleteRequest if stream else router_service_pb2.CompleteRequest
    message = chat_pb2.Message(role=chat_pb2.ROLE_USER, parts=[chat_pb2.Part(text=text)])
    return kind(chat=chat_pb2.Chat(messages=[message]), routing=call_pb2.Routing(policy=policy), idempotency_key=key)


async def test_a_repeat_gets_the_first_answer_and_is_not_paid_for(tmp_path):
    async with running(tmp_path) as (simulator, calls):
        first = await calls.Complete(asking())
        again = await calls.Complete(asking())
        assert len(simulator.journal) == 1
    assert again == first


async def test_a_repeat_while_the_first_runs_joins_it(tmp_path):
    async with serving(tmp_path) as (application, simulator, calls):
        simulator.fail(None, "stall", after_tokens=2, seconds=10)
        joined = [calls.Complete(asking(policy="forgetting")) for _ in range(5)]
        await simulator.journal.wait_for(lambda entry: entry.tokens_sent >= 2)
        while application._server.in_flight < len(joined):  # noqa: ASYNC110 - the count has no event
            await asyncio.sleep(0.001)
        leap(10)
        answers = await asyncio.gather(*joined)
        assert len(simulator.journal) == 1
    assert all(answer == answers[0] for answer in answers)


async def test_a_stream_may_be_repeated_whole_and_as_a_stream(tmp_path):
    async with running(tmp_path) as (simulator, calls):
        first = [event async for event in calls.StreamComplete(asking(stream=True))]
        again = [event async for event in calls.StreamComplete(asking(stream=True))]
        whole = await calls.Complete(asking())
        assert len(simulator.journal) == 1
    finished = first[-1].finished
    assert again[-1].finished == finished
    assert (whole.message, whole.receipt) == (finished.message, finished.receipt)
    assert [event.sequence for event in again] == list(range(1, len(again) + 1))
    assert "".join(event.text_delta.text for event in again) == finished.message.parts[0].text


async def test_where_answers_are_not_kept_a_repeat_learns_what_became_of_the_first(tmp_path):
    async with running(tmp_path) as (simulator, calls):
        first = await calls.Complete(asking(policy="forgetting"))
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await calls.Complete(asking(policy="forgetting"))
        assert len(simulator.journal) == 1
    assert raised.value.code() is grpc.StatusCode.ALREADY_EXISTS
    info, summary = details(raised.value)
    assert info.reason == "ALREADY_EXISTS"
    assert (summary.request_id, summary.cost_nano_usd) == (first.receipt.request_id, first.receipt.cost_nano_usd)


def details(error):
    status = status_pb2.Status.FromString(dict(error.trailing_metadata())["grpc-status-details-bin"])
    info, summary = error_details_pb2.ErrorInfo(), error_pb2.ReceiptSummary()
    for detail in status.details:
        detail.Unpack(info) if detail.Is(info.DESCRIPTOR) else detail.Unpack(summary)
    return info, summary


async def test_another_request_under_the_same_key_is_refused(tmp_path):
    async with running(tmp_path) as (simulator, calls):
        await calls.Complete(asking())
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await calls.Complete(asking("Name three lakes."))
        assert len(simulator.journal) == 1
    assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_call_that_failed_may_be_made_again_under_its_key(tmp_path):
    async with running(tmp_path) as (simulator, calls):
        simulator.fail(None, "503")
        with pytest.raises(grpc.aio.AioRpcError):
            await calls.Complete(asking())
        assert (await calls.Complete(asking())).message.parts[0].text
        assert len(simulator.journal) == 2


async def test_a_call_whose_caller_left_may_be_made_again_under_its_key(tmp_path):
    async with running(tmp_path) as (simulator, calls):
        simulator.fail(None, "stall", after_tokens=2)
        leaving = calls.Complete(asking())
        await simulator.journal.wait_for(lambda entry: entry.tokens_sent >= 2, 30)
        leaving.cancel()
        assert (await calls.Complete(asking())).message.parts[0].text


async def test_calls_without_a_key_are_never_taken_for_repeats(tmp_path):
    async with running(tmp_path) as (simulator, calls):
        await calls.Complete(asking(key=""))
        await calls.Complete(asking(key=""))
        assert len(simulator.journal) == 2
