"""Calls over a real channel: answers, streams, cancellation, deadlines."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import grpc
import grpc.aio
import pytest
from opentelemetry import trace
from opentelemetry.trace import NonRecordingSpan, SpanContext
from scripted_engine import (
    DEPLOYMENT,
    ScriptedEngine,
    chat,
    complete_request,
    forever,
    read_all,
    receipt_of,
    says,
    serving,
    started,
    stream_request,
    trailers,
    until_in_flight,
    within,
)

from llmrouter.v1 import chat_pb2, router_service_pb2
from router_service.config.configuration import ServerSettings
from router_service.domain.call import Call
from router_service.domain.deployment import DeploymentStatus
from router_service.domain.error import AttemptsFailed, Reason
from router_service.domain.event import Deltas, Emit, ReasoningDelta, TextDelta
from router_service.edge import deadline


def kinds(responses: Sequence[router_service_pb2.StreamCompleteResponse]) -> list[str | None]:
    return [response.WhichOneof("event") for response in responses]


async def test_a_unary_call_is_answered_with_its_receipt() -> None:
    engine = ScriptedEngine(script=says(), text="Hello.")
    async with serving(engine) as served:
        call = served.stub.Complete(complete_request(), metadata=(("x-request-id", "mine-1"),))
        response = await call

        assert response.message.parts[0].text == "Hello."
        assert response.finish_reason == chat_pb2.FINISH_REASON_STOP
        assert response.receipt.request_id == "mine-1"
        assert response.receipt.deployment == DEPLOYMENT.id
        assert (engine.calls[0].tenant, engine.calls[0].stream) == ("acme", False)
        assert (await trailers(call))["x-request-id"] == "mine-1"
        assert "x-request-id" not in dict(await call.initial_metadata())


async def test_a_call_without_an_id_is_given_one() -> None:
    engine = ScriptedEngine()
    async with serving(engine) as served:
        first, second = served.stub.Complete(complete_request()), served.stub.Complete(complete_request())
        ids = {(await first).receipt.request_id, (await second).receipt.request_id}

        assert len(ids) == 2
        assert ids == {(await trailers(first))["x-request-id"], (await trailers(second))["x-request-id"]}


@pytest.mark.parametrize("request_id", ["", "x" * 129])
async def test_an_unfit_id_is_refused_and_replaced(request_id: str) -> None:
    async with serving(ScriptedEngine()) as served:
        call = served.stub.Complete(complete_request(), metadata=(("x-request-id", request_id),))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call

        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert "x-request-id" in (caught.value.details() or "")
        assert (await trailers(call))["x-request-id"] not in {"", request_id}


async def test_a_stream_is_decided_announced_told_and_finished() -> None:
    script = says(ReasoningDelta("hm"), [TextDelta("a"), TextDelta("b")], TextDelta("c"))
    async with serving(ScriptedEngine(script=script, text="abc")) as served:
        call = served.stub.StreamComplete(stream_request(), metadata=(("x-request-id", "mine-2"),))
        responses, _ = await read_all(call)

        assert kinds(responses) == [
            "decision",
            "attempt_started",
            "reasoning_delta",
            "text_delta",
            "text_delta",
            "text_delta",
            "finished",
        ]
        assert [response.sequence for response in responses] == [1, 2, 3, 4, 5, 6, 7]
        assert responses[-1].finished.message.parts[0].text == "abc"
        assert responses[-1].finished.receipt.request_id == "mine-2"
        assert (await trailers(call))["x-request-id"] == "mine-2"


async def test_headers_wait_for_the_first_output() -> None:
    speak = asyncio.Event()

    async def script(call: Call, emit: Emit) -> None:
        await emit(started())
        await speak.wait()
        await emit(Deltas(attempt=1, deltas=[TextDelta("a")]))

    async with serving(ScriptedEngine(script=script)) as served:
        call = served.stub.StreamComplete(stream_request())
        headers = asyncio.ensure_future(call.initial_metadata())
        await asyncio.wait({headers}, timeout=0.1)
        assert not headers.done()

        speak.set()
        async with asyncio.timeout(30):
            await headers
        assert kinds((await read_all(call))[0])[0] == "decision"


async def test_a_stream_that_fails_after_output_ends_with_its_receipt_and_a_status() -> None:
    error = AttemptsFailed("The stream broke.", reason=Reason.STREAM_TRUNCATED)
    async with serving(ScriptedEngine(script=says(TextDelta("a")), error=error)) as served:
        call = served.stub.StreamComplete(stream_request())
        responses, error_seen = await read_all(call)

        assert kinds(responses) == ["decision", "attempt_started", "text_delta", "finished"]
        assert responses[-1].finished.receipt.error_reason == "STREAM_TRUNCATED"
        assert not responses[-1].finished.HasField("message")
        assert error_seen is not None
        assert error_seen.code() is grpc.StatusCode.UNAVAILABLE
        assert (await trailers(call))["grpc-retry-pushback-ms"] == "-1"


async def test_a_stream_that_fails_before_any_dispatch_sends_a_status_only() -> None:
    async with serving(ScriptedEngine(error=AttemptsFailed("No."))) as served:
        call = served.stub.StreamComplete(stream_request())
        with pytest.raises(grpc.aio.AioRpcError):
            await call.__aiter__().__anext__()

        assert "grpc-retry-pushback-ms" not in await trailers(call)


async def test_cancelling_a_unary_call_reaches_the_engine() -> None:
    engine = ScriptedEngine(script=forever)
    async with serving(engine) as served:
        call = served.stub.Complete(complete_request())
        await until_in_flight(served)
        call.cancel()

        await within(30, engine.cancelled)


async def test_cancelling_a_stream_reaches_the_engine() -> None:
    async def script(call: Call, emit: Emit) -> None:
        await says(TextDelta("a"))(call, emit)
        await asyncio.Event().wait()

    engine = ScriptedEngine(script=script)
    async with serving(engine) as served:
        call = served.stub.StreamComplete(stream_request())
        await call.__aiter__().__anext__()
        call.cancel()

        await within(30, engine.cancelled)


async def test_a_reader_that_stopped_ends_its_call_and_is_told_when_it_reads_again() -> None:
    async def flood(call: Call, emit: Emit) -> None:
        await emit(started())
        while True:
            await emit(Deltas(attempt=1, deltas=[TextDelta("x" * 65_536)]))

    engine = ScriptedEngine(script=flood)
    async with serving(engine, write_timeout=0.3) as served:
        call = served.stub.StreamComplete(stream_request())
        stream = call.__aiter__()
        first = await stream.__anext__()
        await within(30, engine.cancelled)
        await until_in_flight(served, 0)

        rest, error = await read_all(stream)
        sequences = [first.sequence, *(response.sequence for response in rest)]
        assert sequences == list(range(1, len(sequences) + 1))
        assert error is not None
        assert error.code() is grpc.StatusCode.CANCELLED
        assert "read nothing" in (error.details() or "")


# Timeouts that gRPC rounds up on the wire, some by a tenth of a second or more.
@pytest.mark.parametrize("timeout", [0.9, 9.995, 10, 10.01, 60, 101])
async def test_the_engine_gets_the_callers_deadline_less_a_reserve(timeout: float) -> None:  # noqa: ASYNC109
    engine = ScriptedEngine()
    async with serving(engine) as served:
        now = asyncio.get_running_loop().time()
        await served.stub.Complete(complete_request(), timeout=timeout)
        later = asyncio.get_running_loop().time()
        await served.stub.Complete(complete_request())

    with_deadline, without = (call.deadline for call in engine.calls)
    assert with_deadline is not None
    assert now + timeout - min(0.25, timeout * 0.01 + 0.05) - 0.01 < with_deadline < later + timeout * 1.011 - 0.04
    assert without is None


async def test_a_short_deadline_is_kept_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    # What is short is raised, for a call with a short deadline might not arrive in time.
    monkeypatch.setattr(deadline, "_LEAST_FOR_RESERVE", 60.0)
    engine = ScriptedEngine()
    async with serving(engine) as served:
        now = asyncio.get_running_loop().time()
        await served.stub.Complete(complete_request(), timeout=59)
    planned = engine.calls[0].deadline
    assert planned is not None
    assert planned > now + 58.9


async def test_a_deadline_that_passes_ends_the_call() -> None:
    engine = ScriptedEngine(script=forever)
    async with serving(engine) as served:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await served.stub.Complete(complete_request(), timeout=0.5)

        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        await within(30, engine.cancelled)


async def test_the_call_carries_the_trace_it_belongs_to() -> None:
    class Tracing(grpc.aio.ServerInterceptor):
        async def intercept_service(self, continuation, handler_call_details):  # type: ignore[no-untyped-def]
            handler = await continuation(handler_call_details)

            async def traced(request: object, context: object) -> object:
                with trace.use_span(NonRecordingSpan(SpanContext(0xABC, 0x1, is_remote=False))):
                    return await handler.unary_unary(request, context)

            return grpc.unary_unary_rpc_method_handler(
                traced, handler.request_deserializer, handler.response_serializer
            )

    engine = ScriptedEngine()
    async with serving(engine, interceptors=[Tracing()]) as served:
        await served.stub.Complete(complete_request())
    async with serving(engine) as served:
        await served.stub.Complete(complete_request())

    assert [call.trace_id for call in engine.calls] == [f"{0xABC:032x}", ""]


async def test_route_gives_the_decision_and_a_token() -> None:
    engine = ScriptedEngine()
    async with serving(engine) as served:
        response = await served.stub.Route(router_service_pb2.RouteRequest(chat=chat()))

    assert response.decision.candidates[0].deployment == DEPLOYMENT.id
    assert response.decision_token == "token"
    assert (response.expires_at.seconds, response.expires_at.nanos) == (1_700_000_000, 500_000_000)


async def test_a_receipt_is_found_by_its_tenant_only() -> None:
    engine = ScriptedEngine()
    async with serving(engine) as served:
        await served.stub.Complete(complete_request(), metadata=(("x-request-id", "r-1"),))
        engine.receipts["acme", "r-1"] = receipt_of(engine.calls[0], ())
        engine.receipts["other", "r-2"] = receipt_of(engine.calls[0], ())

        found = await served.stub.GetReceipt(router_service_pb2.GetReceiptRequest(request_id="r-1"))
        assert found.receipt.request_id == "r-1"
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await served.stub.GetReceipt(router_service_pb2.GetReceiptRequest(request_id="r-2"))
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND


async def test_models_are_listed_page_by_page_with_their_health() -> None:
    engine = ScriptedEngine(statuses=[DeploymentStatus(deployment=DEPLOYMENT, cooling_reason="429")])
    async with serving(engine) as served:
        page = await served.stub.ListModels(router_service_pb2.ListModelsRequest())

        assert [(model.id, model.healthy) for model in page.deployments] == [(DEPLOYMENT.id, False)]
        assert page.next_page_token == ""
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await served.stub.ListModels(router_service_pb2.ListModelsRequest(page_token="nonsense"))
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_calls_past_the_cap_are_refused_until_one_ends() -> None:
    settings = ServerSettings(address="127.0.0.1:0", lame_duck=0.0, grace=5.0, max_concurrent_calls=1)
    engine = ScriptedEngine(script=forever)
    async with serving(engine, settings) as served:
        running = served.stub.Complete(complete_request())
        await until_in_flight(served)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await served.stub.ListModels(router_service_pb2.ListModelsRequest())
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED

        running.cancel()
        await until_in_flight(served, 0)
        await served.stub.ListModels(router_service_pb2.ListModelsRequest())
