"""The servicer: protobuf in, one call of the engine, protobuf out. It raises; the catch-all interceptor translates."""

from __future__ import annotations

import asyncio

from opentelemetry import trace

from llmrouter.v1 import router_service_pb2 as wire
from llmrouter.v1 import router_service_pb2_grpc
from router_service.domain.call import Call
from router_service.domain.error import InvalidRequest, NotFound, Reason, Violation
from router_service.rpc.errors import FailedCall
from router_service.rpc.pages import page_of
from router_service.rpc.ports import CallEngine, Context, TenantOf
from router_service.rpc.request_id import assign_request_id, is_request_id
from router_service.rpc.requests import CallRequest, call_of
from router_service.rpc.responses import (
    complete_response,
    decision_to_wire,
    deployment_to_wire,
    receipt_to_wire,
    timestamp,
)
from router_service.rpc.stream import CallRecord, EventWriter

SERVICE = "llmrouter.v1.RouterService"

# Our own answer should arrive before the caller stops waiting for it. On the wire a timeout is rounded up to at most
# three digits, so that we see up to a hundredth more time than the caller has.
_RESERVE = 0.05
_ROUNDING = 0.01
_LEAST_FOR_RESERVE = 0.2


class RouterServicer(router_service_pb2_grpc.RouterServiceServicer):
    """`RouterService` over an engine.

    `default_deadline` bounds calls without a deadline of their own; `write_timeout` bounds how long a stream waits
    for a caller that stopped reading. Both are in seconds.
    """

    def __init__(
        self, engine: CallEngine, *, tenant_of: TenantOf, default_deadline: float, write_timeout: float = 60.0
    ) -> None:
        self._engine = engine
        self._tenant_of = tenant_of
        self._default_deadline = default_deadline
        self._write_timeout = write_timeout

    async def Route(self, request: wire.RouteRequest, context: Context) -> wire.RouteResponse:  # noqa: N802
        call = self._call(request, context)
        decision = await self._engine.route(call)
        token, expires_at = self._engine.sign(call, decision)
        return wire.RouteResponse(
            decision=decision_to_wire(decision), decision_token=token, expires_at=timestamp(expires_at)
        )

    async def Complete(self, request: wire.CompleteRequest, context: Context) -> wire.CompleteResponse:  # noqa: N802
        call = self._call(request, context)
        record = CallRecord()
        try:
            answer = await self._engine.complete(call, record)
        except Exception as error:
            raise FailedCall(error, dispatched=record.dispatched, receipt=record.receipt) from error
        return complete_response(answer)

    async def StreamComplete(  # type: ignore[override]  # noqa: N802 - a coroutine that writes, no generator
        self, request: wire.StreamCompleteRequest, context: Context
    ) -> None:
        call = self._call(request, context, stream=True)
        writer = EventWriter(context.write, write_timeout=self._write_timeout)
        try:
            await writer.carry(self._engine.complete(call, writer))
        except Exception as error:
            raise FailedCall(error, dispatched=writer.dispatched, receipt=writer.receipt) from error

    async def GetReceipt(self, request: wire.GetReceiptRequest, context: Context) -> wire.GetReceiptResponse:  # noqa: N802
        assign_request_id(context)
        tenant = self._tenant_of(context)
        if not is_request_id(request.request_id):
            raise InvalidRequest([Violation("request_id", "must be 1 to 128 printable ASCII characters")])
        receipt = self._engine.receipt(tenant, request.request_id)
        if receipt is None:
            raise NotFound(
                "No receipt is kept under that request id: the call is too long ago, still running, or not yours.",
                reason=Reason.RECEIPT_NOT_FOUND,
                metadata={"request_id": request.request_id},
            )
        return wire.GetReceiptResponse(receipt=receipt_to_wire(receipt))

    async def ListModels(self, request: wire.ListModelsRequest, context: Context) -> wire.ListModelsResponse:  # noqa: N802
        assign_request_id(context)
        self._tenant_of(context)
        page, next_page_token = page_of(
            self._engine.deployments(), page_size=request.page_size, page_token=request.page_token
        )
        return wire.ListModelsResponse(
            deployments=[deployment_to_wire(status) for status in page], next_page_token=next_page_token
        )

    def _call(self, request: CallRequest, context: Context, *, stream: bool = False) -> Call:
        request_id = assign_request_id(context)
        return call_of(
            request,
            request_id=request_id,
            tenant=self._tenant_of(context),
            deadline=asyncio.get_running_loop().time() + self._time_allowed(context),
            stream=stream,
            trace_id=_trace_id(),
        )

    def _time_allowed(self, context: Context) -> float:
        remaining: float | None = context.time_remaining()
        if remaining is None:
            return self._default_deadline
        return remaining * (1 - _ROUNDING) - _RESERVE if remaining > _LEAST_FOR_RESERVE else remaining


def _trace_id() -> str:
    span_context = trace.get_current_span().get_span_context()
    return f"{span_context.trace_id:032x}" if span_context.is_valid else ""
