"""What a client sees of errors: details, pushback, and nothing it should not."""

from __future__ import annotations

import gzip
import json
import logging

import grpc
import grpc.aio
import pytest
from google.rpc import error_details_pb2  # type: ignore[import-untyped]
from grpc_status import rpc_status
from scripted_engine import (
    ScriptedEngine,
    chat,
    complete_request,
    read_all,
    says,
    serving,
    stream_request,
    trailers,
)

from llmrouter.v1 import error_pb2, router_service_pb2, router_service_pb2_grpc
from router_service.domain.error import AttemptsFailed, InvalidRequest, Overloaded, Reason, RouterError, Violation
from router_service.domain.event import TextDelta
from router_service.rpc.errors import STATUS_CODES

CANARY = "canary-7f3a"
COMPLETE = "/llmrouter.v1.RouterService/Complete"


async def refused(call: grpc.aio.UnaryUnaryCall) -> grpc.aio.AioRpcError:  # type: ignore[type-arg]
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value


@pytest.mark.parametrize("reason", list(Reason))
async def test_every_reason_arrives_as_its_status_with_error_info(reason: Reason) -> None:
    engine = ScriptedEngine(error=RouterError("It failed.", reason=reason, metadata={"model": "gpt-x"}))
    async with serving(engine) as served:
        call = served.stub.Complete(complete_request(), metadata=(("x-request-id", "r-1"),))
        error = await refused(call)
        status = await rpc_status.aio.from_call(call)

    assert (error.code(), error.details()) == (STATUS_CODES[reason], "It failed.")
    assert status is not None
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    assert (info.reason, info.domain) == (reason.value, "llmrouter")
    assert dict(info.metadata) == {"request_id": "r-1", "model": "gpt-x"}


@pytest.mark.parametrize(
    "error",
    [
        AttemptsFailed("é" * 5000, metadata={f"key-{n}": "🦊" * 3000 for n in range(100)}, retry_after=1.0),
        Overloaded("x" * 50_000, metadata={"limit": "y" * 50_000}, retry_after=1.0),
        InvalidRequest([Violation(f"chat.messages[{n}]", "z" * 5000) for n in range(500)]),
    ],
)
async def test_a_huge_error_keeps_its_status(error: RouterError) -> None:
    async with serving(ScriptedEngine(script=says(), error=error)) as served:
        call = served.stub.Complete(complete_request(), metadata=(("x-request-id", "r" * 128),))
        failure = await refused(call)
        status = await rpc_status.aio.from_call(call)

    assert failure.code() is STATUS_CODES[error.reason]
    assert status is not None
    assert status.ByteSize() < 4096
    kinds = {detail.type_url.rsplit(".", 1)[-1] for detail in status.details}
    assert {"ErrorInfo", "ReceiptSummary"} <= kinds


async def test_a_failed_unary_call_carries_a_summary_of_its_receipt_and_stops_client_retries() -> None:
    async with serving(ScriptedEngine(script=says(), error=AttemptsFailed("All failed."))) as served:
        call = served.stub.Complete(complete_request())
        await refused(call)
        status = await rpc_status.aio.from_call(call)
        metadata = await trailers(call)

    assert metadata["grpc-retry-pushback-ms"] == "-1"
    assert status is not None
    summary = error_pb2.ReceiptSummary()
    assert any(detail.Unpack(summary) for detail in status.details)
    assert [(attempt.deployment, attempt.error_type) for attempt in summary.attempts] == [("openai/gpt-x", "503")]


# Not a backoff of 1 ms: with it grpcio 1.85 as a client hangs in most calls, whatever the server.
RETRYING = json.dumps(
    {
        "methodConfig": [
            {
                "name": [{"service": "llmrouter.v1.RouterService"}],
                "retryPolicy": {
                    "maxAttempts": 3,
                    "initialBackoff": "0.01s",
                    "maxBackoff": "0.01s",
                    "backoffMultiplier": 1,
                    "retryableStatusCodes": ["UNAVAILABLE"],
                },
            }
        ]
    }
)


@pytest.mark.parametrize(("dispatched", "calls"), [(True, 1), (False, 3)])
async def test_a_clients_retry_policy_repeats_only_what_was_not_dispatched(dispatched: bool, calls: int) -> None:
    script = says() if dispatched else None
    engine = ScriptedEngine(script=script, error=AttemptsFailed("No."))
    async with serving(engine) as served:
        options = [("grpc.service_config", RETRYING), ("grpc.use_local_subchannel_pool", 1)]
        async with grpc.aio.insecure_channel(f"127.0.0.1:{served.port}", options=options) as channel:
            stub = router_service_pb2_grpc.RouterServiceStub(channel)
            await refused(stub.Complete(complete_request()))
            unary_calls = len(engine.calls)
            _, error = await read_all(stub.StreamComplete(stream_request()))

    assert unary_calls == calls
    assert error is not None
    assert len(engine.calls) - unary_calls == calls


async def test_bad_fields_arrive_as_a_bad_request() -> None:
    async with serving(ScriptedEngine()) as served:
        call = served.stub.Complete(router_service_pb2.CompleteRequest())
        await refused(call)
        status = await rpc_status.aio.from_call(call)

    assert status is not None
    bad_request = error_details_pb2.BadRequest()
    assert any(detail.Unpack(bad_request) for detail in status.details)
    assert [violation.field for violation in bad_request.field_violations] == ["chat.messages"]


async def test_a_defect_shows_the_client_a_request_id_and_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    engine = ScriptedEngine(script=says(TextDelta("a")), error=ValueError(CANARY))
    async with serving(engine) as served:
        unary = served.stub.Complete(complete_request(), metadata=(("x-request-id", "r-1"),))
        error = await refused(unary)
        unary_trailers = await trailers(unary)
        stream = served.stub.StreamComplete(stream_request(), metadata=(("x-request-id", "r-2"),))
        _, stream_error = await read_all(stream)
        engine.error = KeyError(CANARY)
        routed = await refused(served.stub.Route(router_service_pb2.RouteRequest(chat=chat())))

    assert stream_error is not None
    for failure in (error, stream_error, routed):
        assert failure.code() is grpc.StatusCode.INTERNAL
        assert CANARY not in repr(failure)
    assert "r-1" in (error.details() or "")
    assert unary_trailers["grpc-retry-pushback-ms"] == "-1"
    # The log says what failed and where, and still not what was said.
    assert "builtins.ValueError" in caplog.text
    assert "scripted_engine.py" in caplog.text
    assert "r-1" in caplog.text
    assert CANARY not in caplog.text


async def test_the_words_of_a_defect_are_logged_for_debugging(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="llmrouter.rpc")
    async with serving(ScriptedEngine(error=ValueError(CANARY))) as served:
        await refused(served.stub.Complete(complete_request()))

    assert CANARY in caplog.text


async def test_bytes_that_are_no_request_are_refused_as_invalid() -> None:
    async with serving(ScriptedEngine()) as served:
        call = served.channel.unary_unary(COMPLETE)(b"\xff\xff" + CANARY.encode())
        error = await refused(call)

    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert CANARY not in repr(error)


async def test_an_unknown_method_is_unimplemented() -> None:
    async with serving(ScriptedEngine()) as served:
        error = await refused(served.channel.unary_unary("/llmrouter.v1.RouterService/Absent")(b""))

    assert error.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_a_message_over_4_mib_is_refused() -> None:
    engine = ScriptedEngine()
    async with serving(engine) as served:
        error = await refused(served.stub.Complete(complete_request("x" * (4 * 1024 * 1024))))

    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert engine.calls == []


async def test_a_small_message_that_unpacks_to_a_huge_one_is_refused() -> None:
    engine = ScriptedEngine()
    bomb = complete_request("x" * (16 * 1024 * 1024))
    assert len(gzip.compress(bomb.SerializeToString(), 1)) < 1024 * 1024
    async with serving(engine) as served:
        call = served.channel.unary_unary(
            COMPLETE, request_serializer=router_service_pb2.CompleteRequest.SerializeToString
        )
        error = await refused(call(bomb, compression=grpc.Compression.Gzip))

    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert engine.calls == []


async def test_an_overloaded_replica_says_when_to_come_back() -> None:
    error = Overloaded("Too many.", retry_after=2.0, metadata={"limit": "concurrent_calls"})
    async with serving(ScriptedEngine(error=error)) as served:
        call = served.stub.Complete(complete_request())
        await refused(call)
        status = await rpc_status.aio.from_call(call)

    assert status is not None
    retry, quota = error_details_pb2.RetryInfo(), error_details_pb2.QuotaFailure()
    assert any(detail.Unpack(retry) for detail in status.details)
    assert any(detail.Unpack(quota) for detail in status.details)
    assert retry.retry_delay.seconds == 2
    assert quota.violations[0].subject == "concurrent_calls"
