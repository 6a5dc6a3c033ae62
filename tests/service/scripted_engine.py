"""A call engine that follows a script, and a real server and channel around it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import grpc.aio
from identities import identified

from llmrouter.v1 import chat_pb2, router_service_pb2, router_service_pb2_grpc
from router_service.config.configuration import ServerSettings
from router_service.domain.call import Call
from router_service.domain.chat import FinishReason, Message, Parameters, Role, TextPart
from router_service.domain.decision import Candidate, ComplexitySource, Decision, Signals, TokenLimit
from router_service.domain.deployment import Deployment, DeploymentStatus
from router_service.domain.error import STATUS_NAMES, Cancelled, RouterError
from router_service.domain.event import AttemptStarted, CallStarted, Decided, Delta, Deltas, Emit, Finished
from router_service.domain.feedback import Feedback
from router_service.domain.limit import MeterState, Subject
from router_service.domain.money import CostStatus, Usage
from router_service.domain.policy import Policy
from router_service.domain.receipt import Answer, Attempt, AttemptOutcome, AttemptReason, Receipt
from router_service.ledger.usage import Usage as ReportedUsage
from router_service.ledger.usage import UsageQuery
from router_service.rpc.ports import Context
from router_service.rpc.server import GrpcServer
from router_service.rpc.servicer import RouterServicer

DEPLOYMENT = Deployment(id="openai/gpt-x", model="gpt-x", provider="openai", upstream_name="gpt-x")
LIMIT = TokenLimit(requested=None, applied=300, reason="feature")
DECISION = Decision(
    policy=Policy(name="default", rules=()),
    rule=None,
    strategy="order",
    candidates=(Candidate(deployment=DEPLOYMENT, token_limit=LIMIT, estimated_cost=1200),),
    rejections=(),
    signals=Signals(
        input_tokens=12,
        language="en",
        complexity="simple",
        complexity_source=ComplexitySource.HEURISTIC,
        complexity_score=0.1,
        turns=1,
        needs=frozenset(),
    ),
    parameters=Parameters(),
    cause="the caller named it",
    fingerprint="f00d",
)
SUCCESS = Attempt(
    number=1,
    attempt_id="a-1",
    deployment=DEPLOYMENT,
    reason=AttemptReason.PRIMARY,
    outcome=AttemptOutcome.SUCCESS,
    started_at=1.0,
    duration=0.5,
    time_to_first_output=0.1,
    usage=Usage(input_tokens=12, output_tokens=3),
    cost=None,
    cost_status=CostStatus.UNPRICED,
    finish_reason=FinishReason.STOP,
)
FAILURE = replace(
    SUCCESS, outcome=AttemptOutcome.ERROR, usage=None, finish_reason=None, error_type="503", error_message="It is ill."
)


def message(text: str) -> Message:
    return Message(role=Role.ASSISTANT, parts=(TextPart(text),))


def receipt_of(call: Call, attempts: tuple[Attempt, ...], error: RouterError | None = None) -> Receipt:
    return Receipt(
        request_id=call.request_id,
        tenant=call.tenant,
        feature=call.caller.feature,
        tier=call.caller.tier,
        decision=DECISION,
        attempts=attempts,
        usage=Usage(input_tokens=12, output_tokens=3),
        cost=None,
        cost_status=CostStatus.UNPRICED,
        baseline_cost=None,
        finish_reason=None if error else FinishReason.STOP,
        status="OK" if error is None else STATUS_NAMES[error.reason],
        error_reason="" if error is None else error.reason.value,
        started_at=1.0,
        duration=0.5,
        time_to_first_output=0.1,
    )


def started(number: int = 1, reason: AttemptReason = AttemptReason.PRIMARY) -> AttemptStarted:
    return AttemptStarted(
        number=number,
        attempt_id=f"a-{number}",
        deployment=DEPLOYMENT,
        reason=reason,
        started_at=1.0,
        max_output_tokens=300,
    )


ANY_PORT = ServerSettings(address="127.0.0.1:0", lame_duck=0.0, grace=5.0)
Script = Callable[[Call, Emit], Awaitable[None]]


@dataclass
class ScriptedEngine:
    """Runs `script` between the decision and the end; raises `error` if one is set."""

    script: Script | None = None
    error: Exception | None = None
    text: str = "Hello."
    calls: list[Call] = field(default_factory=list)
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)
    statuses: Sequence[DeploymentStatus] = ()
    receipts: dict[tuple[str, str], Receipt] = field(default_factory=dict)

    async def complete(self, call: Call, emit: Emit) -> Answer:
        self.calls.append(call)
        dispatched = False

        async def noting(event: object) -> None:
            nonlocal dispatched
            dispatched = dispatched or isinstance(event, AttemptStarted)
            await emit(event)  # type: ignore[arg-type]

        try:
            await emit(CallStarted(call=call, started_at=1.0))
            await emit(Decided(decision=DECISION, duration=0.001))
            if self.script is not None:
                await self.script(call, noting)
            if self.error is not None:
                raise self.error
        except asyncio.CancelledError:
            self.receipts[call.tenant, call.request_id] = receipt_of(call, (), Cancelled("The caller left."))
            self.cancelled.set()
            raise
        except RouterError as error:
            receipt = receipt_of(call, (FAILURE,) if dispatched else (), error)
            await emit(Finished(receipt=receipt, error=error))
            raise
        receipt = receipt_of(call, (SUCCESS,))
        answer = Answer(message=message(self.text), finish_reason=FinishReason.STOP, receipt=receipt)
        await emit(Finished(receipt=receipt, message=answer.message, finish_reason=FinishReason.STOP))
        return answer

    async def route(self, call: Call) -> Decision:
        self.calls.append(call)
        if self.error is not None:
            raise self.error
        return DECISION

    def permit(self, call: Call) -> None:
        """Everybody may do everything."""

    def sign(self, call: Call, decision: Decision) -> tuple[str, float]:
        return "token", 1_700_000_000.5

    def receipt(self, tenant: str, request_id: str) -> Receipt | None:
        return self.receipts.get((tenant, request_id))

    def deployments(self, identity=None) -> Sequence[DeploymentStatus]:
        return self.statuses


def says(*pieces: Delta | Sequence[Delta], then: Script | None = None) -> Script:
    """A script in which one attempt says these pieces; those in a list arrive together. `then` goes on from there."""

    async def script(call: Call, emit: Emit) -> None:
        await emit(started())
        for piece in pieces:
            deltas = piece if isinstance(piece, list) else [piece]
            await emit(Deltas(attempt=1, deltas=deltas))
        if then is not None:
            await then(call, emit)

    return script


async def forever(call: Call, emit: Emit) -> None:
    """A script that never ends by itself, in the middle of an attempt."""
    await emit(started())
    await asyncio.Event().wait()


@dataclass
class Served:
    """A running server and a client of it."""

    server: GrpcServer
    port: int
    channel: grpc.aio.Channel
    stub: router_service_pb2_grpc.RouterServiceAsyncStub


class NoAccounts:
    """Accounts nobody keeps."""

    async def usage(self, query: UsageQuery) -> ReportedUsage:
        raise RouterError("These tests keep no ledger.")

    async def allowances(self, subject: Subject, model: str) -> Sequence[MeterState]:
        return ()

    async def shadow_caps(self) -> Sequence[MeterState]:
        return ()

    async def receipt(self, tenant: str, request_id: str) -> Receipt | None:
        return None

    def check_ledger(self) -> None:
        raise RouterError("These tests keep no ledger.")

    async def record_feedback(self, receipt: Receipt, feedback: Feedback, *, key_id: str) -> None:
        self.check_ledger()


@asynccontextmanager
async def serving(
    engine: ScriptedEngine,
    settings: ServerSettings = ANY_PORT,
    *,
    write_timeout: float = 60.0,
    interceptors: Sequence[grpc.aio.ServerInterceptor] = (),
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    tenant_of: Callable[[Context], str] = lambda context: "acme",
) -> AsyncIterator[Served]:
    """A server over `engine` on a free port, with a channel that does not retry by itself."""
    servicer = RouterServicer(
        engine,
        identity_of=identified(tenant_of),
        accounts=NoAccounts(),
        write_timeout=write_timeout,
    )
    server = GrpcServer(settings, servicer, interceptors=interceptors, sleep=sleep)
    port = await server.start()
    options = [("grpc.enable_retries", 0), ("grpc.use_local_subchannel_pool", 1)]
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=options) as channel:
            yield Served(server, port, channel, router_service_pb2_grpc.RouterServiceStub(channel))
    finally:
        await server.drain()


def chat(text: str = "Hi.") -> chat_pb2.Chat:
    return chat_pb2.Chat(messages=[chat_pb2.Message(role=chat_pb2.ROLE_USER, parts=[chat_pb2.Part(text=text)])])


def complete_request(text: str = "Hi.") -> router_service_pb2.CompleteRequest:
    return router_service_pb2.CompleteRequest(chat=chat(text))


def stream_request(text: str = "Hi.") -> router_service_pb2.StreamCompleteRequest:
    return router_service_pb2.StreamCompleteRequest(chat=chat(text))


async def read_all(
    responses: AsyncIterable[router_service_pb2.StreamCompleteResponse],
) -> tuple[list[router_service_pb2.StreamCompleteResponse], grpc.aio.AioRpcError | None]:
    """What a stream said, and the error it ended with."""
    said: list[router_service_pb2.StreamCompleteResponse] = []
    try:
        async for response in responses:
            said.append(response)  # noqa: PERF401 - what came before an error counts
    except grpc.aio.AioRpcError as error:
        return said, error
    return said, None


async def trailers(call: grpc.aio.Call) -> dict[str, str | bytes]:
    return dict(await call.trailing_metadata())


async def within(seconds: float, event: asyncio.Event) -> None:
    async with asyncio.timeout(seconds):
        await event.wait()


async def until_in_flight(served: Served, count: int = 1) -> None:
    async with asyncio.timeout(30):
        while served.server.in_flight != count:  # noqa: ASYNC110 - the count has no event
            await asyncio.sleep(0.001)
