"""Calls past the limits are refused, and a noisy tenant leaves room for the others."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import grpc
import grpc.aio
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from scripted_engine import (
    ScriptedEngine,
    Served,
    chat,
    complete_request,
    forever,
    read_all,
    serving,
    stream_request,
    until_in_flight,
)

from llmrouter.v1 import router_service_pb2
from router_service.config.configuration import ServerSettings
from router_service.rpc.ports import Context

ROOM_FOR_TWO_EACH = ServerSettings(
    address="127.0.0.1:0", lame_duck=0.0, grace=5.0, max_concurrent_calls=5, max_concurrent_calls_per_tenant=2
)
ASKED: Counter[str] = Counter()


def tenant_of(context: Context) -> str:
    tenant = next(str(value) for key, value in context.invocation_metadata() or () if key == "x-tenant")
    ASKED[tenant] += 1
    return tenant


def ask(served: Served, method: str, tenant: str) -> Any:
    metadata = (("x-tenant", tenant),)
    if method == "StreamComplete":
        return served.stub.StreamComplete(stream_request(), metadata=metadata)
    if method == "Route":
        return served.stub.Route(router_service_pb2.RouteRequest(chat=chat()), metadata=metadata)
    return served.stub.Complete(complete_request(), metadata=metadata)


async def refusal_of(call: Any) -> tuple[grpc.StatusCode, dict[str, Any]]:
    if hasattr(call, "read"):
        await read_all(call)
    else:
        with pytest.raises(grpc.aio.AioRpcError):
            await call
    status = await rpc_status.aio.from_call(call)
    assert status is not None
    details: dict[str, Any] = {}
    for kind in (error_details_pb2.ErrorInfo, error_details_pb2.RetryInfo, error_details_pb2.QuotaFailure):
        for packed in status.details:
            detail = kind()
            if packed.Unpack(detail):
                details[kind.DESCRIPTOR.name] = detail
    return await call.code(), details


@pytest.mark.parametrize("running", ["Complete", "StreamComplete"])
@pytest.mark.parametrize("method", ["Complete", "StreamComplete", "Route"])
async def test_a_tenant_past_its_share_is_refused_and_others_are_served(method: str, running: str) -> None:
    engine = ScriptedEngine(script=forever)
    async with serving(engine, ROOM_FOR_TWO_EACH, tenant_of=tenant_of) as served:
        noisy = [ask(served, running, "noisy") for _ in range(2)]
        await until_in_flight(served, 2)

        code, details = await refusal_of(ask(served, method, "noisy"))
        assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert details["ErrorInfo"].reason == "OVERLOADED"
        assert details["RetryInfo"].retry_delay.seconds == 1
        assert [it.subject for it in details["QuotaFailure"].violations] == ["concurrent_calls_per_tenant"]
        assert len(engine.calls) == 2

        engine.script = None
        quiet = ask(served, method, "quiet")
        if method == "StreamComplete":
            await read_all(quiet)
        else:
            await quiet
        assert await quiet.code() is grpc.StatusCode.OK
        assert [call.tenant for call in engine.calls] == ["noisy", "noisy", "quiet"]

        noisy[0].cancel()
        await until_in_flight(served, 1)
        again = ask(served, "Complete", "noisy")
        await again
        assert await again.code() is grpc.StatusCode.OK
        noisy[1].cancel()
        await until_in_flight(served, 0)


async def test_the_total_holds_for_many_tenants_together_and_says_so() -> None:
    engine = ScriptedEngine(script=forever)
    async with serving(engine, ROOM_FOR_TWO_EACH, tenant_of=tenant_of) as served:
        running = [ask(served, "Complete", tenant) for tenant in "aabbc"]
        await until_in_flight(served, 5)

        _, details = await refusal_of(ask(served, "StreamComplete", "d"))
        assert [it.subject for it in details["QuotaFailure"].violations] == ["concurrent_calls"]
        assert len(engine.calls) == 5
        for call in running:
            call.cancel()
        await until_in_flight(served, 0)


async def test_a_flood_of_one_tenant_leaves_others_their_answers() -> None:
    engine = ScriptedEngine(script=forever)
    async with serving(engine, ROOM_FOR_TWO_EACH, tenant_of=tenant_of) as served:
        flood = [ask(served, "Complete", "noisy") for _ in range(200)]
        ended = asyncio.as_completed([call.code() for call in flood], timeout=60)
        codes = [await next(ended) for _ in range(198)]
        engine.script = None
        for _ in range(20):
            await ask(served, "Complete", "quiet")
        for call in flood:
            call.cancel()
        codes += [await code for code in ended]
        await until_in_flight(served, 0)

    assert Counter(codes) == {grpc.StatusCode.RESOURCE_EXHAUSTED: 198, grpc.StatusCode.CANCELLED: 2}
    assert Counter(call.tenant for call in engine.calls) == {"noisy": 2, "quiet": 20}


@pytest.mark.parametrize("method", ["Complete", "StreamComplete", "Route"])
async def test_credentials_are_looked_at_once_a_call(method: str) -> None:
    ASKED.clear()
    async with serving(ScriptedEngine(), tenant_of=tenant_of) as served:
        call = ask(served, method, "acme")
        if method == "StreamComplete":
            await read_all(call)
        else:
            await call
        assert await call.code() is grpc.StatusCode.OK
    assert ASKED == {"acme": 1}
