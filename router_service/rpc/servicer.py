"""The servicer: protobuf in, one call of the engine, protobuf out. It raises; the catch-all interceptor translates."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from llmrouter.v1 import router_service_pb2 as wire
from llmrouter.v1 import router_service_pb2_grpc
from router_service.domain.call import Call
from router_service.domain.error import Draining, InvalidRequest, NotFound, Reason, Violation
from router_service.domain.feedback import Feedback
from router_service.domain.identity import Identity, IdentityKind
from router_service.domain.limit import Subject
from router_service.domain.receipt import Receipt
from router_service.edge.admission import ended_by_draining
from router_service.edge.deadline import planned
from router_service.edge.deduplication import Deduplication
from router_service.edge.ports import CallEngine
from router_service.edge.reader import CallRecord
from router_service.edge.request_id import is_request_id
from router_service.limits.idempotency import Idempotency
from router_service.limits.local_keys import LocalKeys
from router_service.rpc.accounts import allowances_response, usage_query_of, usage_response
from router_service.rpc.authentication import AskedOnce
from router_service.rpc.deduplication import ProtobufAnswers, replayed
from router_service.rpc.errors import FailedCall
from router_service.rpc.feedback import check_may_judge, feedback_of
from router_service.rpc.pages import page_of
from router_service.rpc.ports import Accounts, Context, IdentityOf
from router_service.rpc.request_id import assign_request_id
from router_service.rpc.requests import CallRequest, call_of
from router_service.rpc.responses import (
    decision_to_wire,
    deployment_to_wire,
    receipt_to_wire,
    timestamp,
)
from router_service.rpc.stream import EventWriter
from router_service.telemetry.tracing import current_trace_id

SERVICE = "llmrouter.v1.RouterService"

# When a call that has just ended is in the ledger's database, in seconds.
_RECORDED_WITHIN = 2.0


class RouterServicer(router_service_pb2_grpc.RouterServiceServicer):
    """`RouterService` over an engine.

    `identity_of` is asked once a call; the attribute of that name may be asked by layers before it. `write_timeout` is
    how many seconds a stream waits for a caller that stopped reading. `on_feedback` hears of feedback that was kept,
    and of the deployment that it judges ("" for a call without an answer).
    """

    def __init__(
        self,
        engine: CallEngine,
        *,
        identity_of: IdentityOf,
        accounts: Accounts,
        idempotency: Idempotency | None = None,
        write_timeout: float = 60.0,
        on_feedback: Callable[[Feedback, str], None] = lambda *_: None,
    ) -> None:
        self._engine = engine
        self.identity_of = AskedOnce(identity_of)
        self._accounts = accounts
        self._deduplication = Deduplication(
            idempotency or Idempotency(LocalKeys(time.monotonic)), ProtobufAnswers(), permit=engine.permit
        )
        self._write_timeout = write_timeout
        self._on_feedback = on_feedback

    async def Route(self, request: wire.RouteRequest, context: Context) -> wire.RouteResponse:  # noqa: N802
        call = await self._call(request, context)
        decision = await self._engine.route(call)
        token, expires_at = self._engine.sign(call, decision)
        return wire.RouteResponse(
            decision=decision_to_wire(decision), decision_token=token, expires_at=timestamp(expires_at)
        )

    async def Complete(self, request: wire.CompleteRequest, context: Context) -> wire.CompleteResponse:  # noqa: N802
        call = await self._call(request, context)
        record = CallRecord()
        try:
            response, _ = await self._deduplication.once(call, request, lambda: self._engine.complete(call, record))
        except asyncio.CancelledError as cancelled:
            raise self._ended(call, cancelled, dispatched=record.dispatched) from None
        except Exception as error:
            raise FailedCall(error, dispatched=record.dispatched, receipt=record.receipt) from error
        return response

    async def StreamComplete(  # type: ignore[override]  # noqa: N802 - a coroutine that writes, no generator
        self, request: wire.StreamCompleteRequest, context: Context
    ) -> None:
        call = await self._call(request, context, stream=True)
        writer = EventWriter(context.write, write_timeout=self._write_timeout)
        try:
            response, is_repeated = await self._deduplication.once(
                call, request, lambda: writer.carry(self._engine.complete(call, writer))
            )
            if is_repeated:
                for event in replayed(response):
                    await context.write(event)
        except asyncio.CancelledError as cancelled:
            raise self._ended(call, cancelled, dispatched=writer.dispatched) from None
        except Exception as error:
            raise FailedCall(error, dispatched=writer.dispatched, receipt=writer.receipt) from error

    async def GetReceipt(self, request: wire.GetReceiptRequest, context: Context) -> wire.GetReceiptResponse:  # noqa: N802
        assign_request_id(context)
        identity = await self.identity_of(context)
        if not is_request_id(request.request_id):
            raise InvalidRequest([Violation("request_id", "must be 1 to 128 printable ASCII characters")])
        receipt = await self._receipt(identity, request.request_id)
        if receipt is None:
            raise NotFound(
                "No receipt is kept under that request id: the call is too long ago, still running, or not yours.",
                reason=Reason.RECEIPT_NOT_FOUND,
                metadata={"request_id": request.request_id},
            )
        return wire.GetReceiptResponse(receipt=receipt_to_wire(receipt))

    async def RecordFeedback(  # noqa: N802
        self, request: wire.RecordFeedbackRequest, context: Context
    ) -> wire.RecordFeedbackResponse:
        assign_request_id(context)
        identity = await self.identity_of(context)
        feedback = feedback_of(request)
        self._accounts.check_ledger()
        receipt = await self._receipt(identity, request.request_id)
        if receipt is None:
            raise NotFound(
                "No ended call of yours has that request id. A call that another replica served is known here a second "
                "or so after its end: if it has just ended, or is still running, give the feedback again then.",
                reason=Reason.RECEIPT_NOT_FOUND,
                metadata={"request_id": request.request_id},
                retry_after=_RECORDED_WITHIN,
            )
        check_may_judge(identity, receipt)
        key_id = "" if identity.kind is IdentityKind.ANONYMOUS else identity.principal
        await self._accounts.record_feedback(receipt, feedback, key_id=key_id)
        answered_by = receipt.answered_by
        if answered_by is None:
            self._on_feedback(feedback, "")
            return wire.RecordFeedbackResponse()
        deployment = answered_by.deployment
        self._on_feedback(feedback, deployment.id)
        return wire.RecordFeedbackResponse(model=deployment.model, deployment=deployment.id)

    async def QueryUsage(self, request: wire.QueryUsageRequest, context: Context) -> wire.QueryUsageResponse:  # noqa: N802
        assign_request_id(context)
        query = usage_query_of(request, await self.identity_of(context), now=time.time())
        return usage_response(await self._accounts.usage(query))

    async def GetBudget(self, request: wire.GetBudgetRequest, context: Context) -> wire.GetBudgetResponse:  # noqa: N802
        assign_request_id(context)
        identity = await self.identity_of(context)
        caller = request.caller
        subject = Subject(
            tenant=identity.tenant,
            key="" if identity.kind is IdentityKind.ANONYMOUS else identity.principal,
            feature=caller.feature,
            tier=caller.tier or identity.grants.default_tier,
        )
        states = await self._accounts.allowances(subject, request.model)
        # As with their usage: shadows are the operator's.
        caps = await self._accounts.shadow_caps() if identity.may_administer("") else ()
        return allowances_response(states, caps)

    async def ListModels(self, request: wire.ListModelsRequest, context: Context) -> wire.ListModelsResponse:  # noqa: N802
        assign_request_id(context)
        identity = await self.identity_of(context)
        page, next_page_token = page_of(
            self._engine.deployments(identity), page_size=request.page_size, page_token=request.page_token
        )
        return wire.ListModelsResponse(
            deployments=[deployment_to_wire(status) for status in page], next_page_token=next_page_token
        )

    async def _receipt(self, identity: Identity, request_id: str) -> Receipt | None:
        """The account of a call of the caller's tenant: this process's own, else the ledger's."""
        receipt = self._engine.receipt(identity.tenant, request_id)
        return receipt if receipt is not None else await self._accounts.receipt(identity.tenant, request_id)

    async def _call(self, request: CallRequest, context: Context, *, stream: bool = False) -> Call:
        request_id = assign_request_id(context)
        return call_of(
            request,
            request_id=request_id,
            identity=await self.identity_of(context),
            deadline=_deadline(context),
            stream=stream,
            trace_id=current_trace_id(),
        )

    def _ended(
        self, call: Call, cancelled: asyncio.CancelledError, *, dispatched: bool
    ) -> FailedCall | asyncio.CancelledError:
        """How a cancelled call ends: its caller is gone, unless it was this replica that had no more time."""
        if not ended_by_draining(cancelled):
            return cancelled
        error = Draining("This replica shut down before the call was answered.")
        return FailedCall(error, dispatched=dispatched, receipt=self._engine.receipt(call.tenant, call.request_id))


def _deadline(context: Context) -> float | None:
    """When our answer should be there, on the loop's clock; `None` where the caller waits for ever."""
    remaining: float | None = context.time_remaining()
    return None if remaining is None else asyncio.get_running_loop().time() + planned(remaining)
