"""The Python client against a router that says what each test wants, over a real channel."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.any_pb2 import Any as PackedAny
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from opentelemetry import trace

import llmrouter
from llmrouter.v1 import (
    chat_pb2,
    decision_pb2,
    error_pb2,
    model_pb2,
    receipt_pb2,
    router_service_pb2,
    router_service_pb2_grpc,
    stream_pb2,
)

ROOT = Path(__file__).parents[2]
ANSWER = router_service_pb2.CompleteResponse(
    message=chat_pb2.Message(role=chat_pb2.ROLE_ASSISTANT, parts=[chat_pb2.Part(text="Hel"), chat_pb2.Part(text="lo")]),
    finish_reason=chat_pb2.FINISH_REASON_STOP,
    receipt=receipt_pb2.Receipt(
        request_id="r-1", model="gpt-4o", attempts=[receipt_pb2.Attempt(number=1, deployment="gpt-4o")]
    ),
)


def events() -> list[router_service_pb2.StreamCompleteResponse]:
    response = router_service_pb2.StreamCompleteResponse
    finished = stream_pb2.Finished(message=ANSWER.message, finish_reason=ANSWER.finish_reason, receipt=ANSWER.receipt)
    return [
        response(sequence=1, decision=decision_pb2.Decision(policy="default")),
        response(sequence=2, attempt_started=stream_pb2.AttemptStarted(attempt=1, deployment="gpt-4o")),
        response(sequence=3, text_delta=stream_pb2.TextDelta(attempt=1, text="Hel")),
        response(sequence=4),  # an event this client does not know yet
        response(sequence=5, text_delta=stream_pb2.TextDelta(attempt=1, text="lo")),
        response(sequence=6, finished=finished),
    ]


@dataclass
class Seen:
    """A call as the router saw it."""

    request: object
    metadata: dict[str, str]
    time_remaining: float


Answering = Callable[[grpc.aio.ServicerContext], Awaitable[router_service_pb2.CompleteResponse]]


async def answering(context: grpc.aio.ServicerContext) -> router_service_pb2.CompleteResponse:
    return ANSWER


@dataclass
class Router(router_service_pb2_grpc.RouterServiceServicer):
    """Answers `complete` in turn, the last one again and again; keeps what it saw."""

    complete: list[Answering] = field(default_factory=lambda: [answering])
    stream_error: grpc.StatusCode | None = None
    hold_after: int | None = None
    seen: list[Seen] = field(default_factory=list)
    held: asyncio.Event = field(default_factory=asyncio.Event)
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)
    address: str = ""

    def _see(self, request: object, context: grpc.aio.ServicerContext) -> None:
        metadata = {key: str(value) for key, value in context.invocation_metadata()}
        self.seen.append(Seen(request, metadata, context.time_remaining()))

    async def hold(self) -> None:
        self.held.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise

    async def Route(self, request, context):  # noqa: N802 - named by the API
        self._see(request, context)
        return router_service_pb2.RouteResponse(decision_token="token")

    async def Complete(self, request, context):  # noqa: N802 - named by the API
        self._see(request, context)
        return await (self.complete.pop(0) if len(self.complete) > 1 else self.complete[0])(context)

    async def StreamComplete(self, request, context):  # noqa: N802 - named by the API
        self._see(request, context)
        for number, event in enumerate(events(), 1):
            await context.write(event)
            if number == self.hold_after:
                await self.hold()
        if self.stream_error is not None:
            await fail(self.stream_error, "The stream was cut.")(context)

    async def GetReceipt(self, request, context):  # noqa: N802 - named by the API
        self._see(request, context)
        return router_service_pb2.GetReceiptResponse(receipt=receipt_pb2.Receipt(request_id=request.request_id))

    async def ListModels(self, request, context):  # noqa: N802 - named by the API
        self._see(request, context)
        ids, next_page = {"": ("a", "2"), "2": ("b", "3"), "3": ("c", "")}[request.page_token]
        return router_service_pb2.ListModelsResponse(
            deployments=[model_pb2.Deployment(id=ids)], next_page_token=next_page
        )


def fail(code: grpc.StatusCode, message: str, *details, pushback: bool = False) -> Answering:
    """An answer that is an error with google.rpc details."""

    async def failing(context: grpc.aio.ServicerContext) -> router_service_pb2.CompleteResponse:
        packed = []
        for detail in details:
            packed.append(PackedAny())
            packed[-1].Pack(detail)
        status = status_pb2.Status(code=code.value[0], message=message, details=packed)
        trailing = [("grpc-status-details-bin", status.SerializeToString())]
        if pushback:
            trailing.append(("grpc-retry-pushback-ms", "-1"))
        await context.abort(code, message, trailing_metadata=tuple(trailing))
        raise AssertionError("abort raises")

    return failing


async def start(router: Router, *, serving: bool | None = None) -> grpc.aio.Server:
    """Serve on a free port of the loopback; `serving` adds a health service that says so."""
    server = grpc.aio.server()
    router_service_pb2_grpc.add_RouterServiceServicer_to_server(router, server)
    if serving is not None:
        status = health_pb2.HealthCheckResponse.ServingStatus
        servicer = health.aio.HealthServicer()
        await servicer.set("llmrouter.v1.RouterService", status.SERVING if serving else status.NOT_SERVING)
        health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    router.address = f"127.0.0.1:{port}"
    await server.start()
    return server


@pytest.fixture
async def router() -> AsyncIterator[Router]:
    router = Router()
    server = await start(router)
    yield router
    await server.stop(None)


@pytest.fixture
async def client(router: Router) -> AsyncIterator[llmrouter.AsyncClient]:
    async with llmrouter.AsyncClient.connect(router.address, api_key="rk_test") as client:
        yield client


async def test_complete_returns_the_answer_and_sends_what_was_asked(
    router: Router, client: llmrouter.AsyncClient
) -> None:
    answer = await client.complete("Hi", feature="chat_reply", tier="free", model="gpt-4o", max_output_tokens=20)

    assert (answer.text, answer.finish_reason) == ("Hello", "stop")
    assert answer.receipt.model == "gpt-4o"
    request = router.seen[0].request
    assert isinstance(request, router_service_pb2.CompleteRequest)
    assert (request.caller.feature, request.caller.tier) == ("chat_reply", "free")
    assert request.routing.model == "gpt-4o"
    assert request.chat.parameters.max_output_tokens == 20
    assert [(message.role, message.parts[0].text) for message in request.chat.messages] == [(chat_pb2.ROLE_USER, "Hi")]


async def test_credentials_and_request_id_travel_as_metadata(router: Router, client: llmrouter.AsyncClient) -> None:
    await client.complete("Hi", request_id="r-7")
    await client.complete("Hi")

    assert router.seen[0].metadata["authorization"] == "Bearer rk_test"
    assert router.seen[0].metadata["x-request-id"] == "r-7"
    assert router.seen[1].metadata["x-request-id"] not in {"", "r-7"}
    assert "llmrouter-client/" in router.seen[0].metadata["user-agent"]


async def test_every_answer_has_an_idempotency_key_of_its_own(router: Router, client: llmrouter.AsyncClient) -> None:
    await client.complete("Hi")
    async with client.stream("Hi") as stream:
        await anext(stream)
    await client.complete("Hi", idempotency_key="mine")

    keys = [seen.request.idempotency_key for seen in router.seen]  # type: ignore[attr-defined]
    assert all(keys)
    assert len(set(keys)) == 3
    assert keys[2] == "mine"


async def test_decision_of_route_is_redeemed_by_complete(router: Router, client: llmrouter.AsyncClient) -> None:
    decided = await client.route("Hi", labels={"team": "a"}, latency_target=1.5, max_cost_nano_usd=0)
    await client.complete("Hi", decision_token=decided.decision_token)

    routed, completed = (seen.request for seen in router.seen)
    assert isinstance(routed, router_service_pb2.RouteRequest)
    assert isinstance(completed, router_service_pb2.CompleteRequest)
    assert routed.caller.labels == {"team": "a"}
    assert routed.routing.latency_target == Duration(seconds=1, nanos=500_000_000)
    assert routed.routing.HasField("max_cost_nano_usd")
    assert completed.routing.decision_token == "token"


async def test_receipt_and_models(client: llmrouter.AsyncClient) -> None:
    assert (await client.receipt("r-1")).request_id == "r-1"
    assert [deployment.id for deployment in await client.models()] == ["a", "b", "c"]


async def test_stream_yields_typed_events_and_keeps_the_last(client: llmrouter.AsyncClient) -> None:
    async with client.stream("Hi") as stream:
        kinds = [type(event).__name__ async for event in stream]

    assert kinds == ["Decision", "AttemptStarted", "TextDelta", "TextDelta", "Finished"]
    assert stream.finished is not None
    assert stream.finished.receipt.request_id == "r-1"


async def test_stream_of_text_alone(client: llmrouter.AsyncClient) -> None:
    async with client.stream("Hi") as stream, aclosing(stream.text()) as pieces:
        assert [text async for text in pieces] == ["Hel", "lo"]
    assert stream.finished is not None


async def test_leaving_a_stream_early_cancels_it_at_the_router(router: Router, client: llmrouter.AsyncClient) -> None:
    router.hold_after = 3
    async with client.stream("Hi", request_id="r-9") as stream:
        async for event in stream:
            if isinstance(event, stream_pb2.TextDelta):
                break

    await router.cancelled.wait()
    assert (stream.finished, stream.request_id) == (None, "r-9")
    assert [event async for event in stream] == []


async def test_stream_closed_by_another_task_ends(router: Router, client: llmrouter.AsyncClient) -> None:
    router.hold_after = 3
    stream = client.stream("Hi")

    async def read() -> list[str]:
        return [type(event).__name__ async for event in stream]

    async with asyncio.TaskGroup() as tasks:
        reading = tasks.create_task(read())
        await router.held.wait()
        await stream.aclose()
    assert "Finished" not in reading.result()
    await router.cancelled.wait()


async def test_cancelled_reader_cancels_the_call_and_stays_cancelled(
    router: Router, client: llmrouter.AsyncClient
) -> None:
    router.hold_after = 3
    stream = client.stream("Hi")

    async def read() -> None:
        async for _ in stream:
            pass

    reading = asyncio.create_task(read())
    await router.held.wait()
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    await router.cancelled.wait()


async def test_cancelled_complete_is_cancelled_at_the_router(router: Router, client: llmrouter.AsyncClient) -> None:
    router.complete = [lambda _context: router.hold()]  # type: ignore[list-item]
    asking = asyncio.create_task(client.complete("Hi"))
    await router.held.wait()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    await router.cancelled.wait()


async def test_every_call_has_a_deadline(router: Router, client: llmrouter.AsyncClient) -> None:
    await client.complete("Hi")
    await client.receipt("r-1", timeout=7.0)
    by_default, asked_for = (seen.time_remaining for seen in router.seen)
    # Less the time on the way, which is long where the machine is busy; rounded up on the wire.
    assert 30 < by_default < 61
    assert 3 < asked_for < 8


async def test_passed_deadline_is_an_error_with_the_request_id(router: Router, client: llmrouter.AsyncClient) -> None:
    router.complete = [lambda _context: router.hold()]  # type: ignore[list-item]
    router.hold_after = 1
    with pytest.raises(llmrouter.DeadlineExceeded) as unary:
        await client.complete("Hi", timeout=0.1, request_id="r-1")
    assert unary.value.request_id == "r-1"

    stream = client.stream("Hi", timeout=0.1)
    with pytest.raises(llmrouter.DeadlineExceeded):
        async for _ in stream:
            pass


async def test_every_error_detail_is_decoded(router: Router, client: llmrouter.AsyncClient) -> None:
    summary = error_pb2.ReceiptSummary(request_id="r-1", attempt_count=2, cost_nano_usd=12)
    router.complete = [
        fail(
            grpc.StatusCode.INVALID_ARGUMENT,
            "The request is not valid.",
            error_details_pb2.ErrorInfo(reason="INVALID_REQUEST", domain="llmrouter", metadata={"request_id": "r-1"}),
            error_details_pb2.RetryInfo(retry_delay=Duration(seconds=2, nanos=250_000_000)),
            error_details_pb2.BadRequest(
                field_violations=[
                    error_details_pb2.BadRequest.FieldViolation(field="chat.messages", description="is empty")
                ]
            ),
            summary,
        )
    ]
    with pytest.raises(llmrouter.InvalidRequest) as raised:
        await client.complete("Hi", request_id="r-1")

    error = raised.value
    assert error.code is grpc.StatusCode.INVALID_ARGUMENT
    assert error.reason == "INVALID_REQUEST"
    assert error.message == "The request is not valid."
    assert error.metadata == {"request_id": "r-1"}
    assert error.retry_after == 2.25
    assert error.violations == (llmrouter.Violation("chat.messages", "is empty"),)
    assert error.receipt_summary == summary
    assert error.request_id == "r-1"
    assert str(error) == "INVALID_REQUEST: The request is not valid. (request r-1)"


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (grpc.StatusCode.INVALID_ARGUMENT, llmrouter.InvalidRequest),
        (grpc.StatusCode.UNAUTHENTICATED, llmrouter.Unauthenticated),
        (grpc.StatusCode.PERMISSION_DENIED, llmrouter.PermissionDenied),
        (grpc.StatusCode.NOT_FOUND, llmrouter.NotFound),
        (grpc.StatusCode.FAILED_PRECONDITION, llmrouter.FailedPrecondition),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, llmrouter.RateLimited),
        (grpc.StatusCode.DEADLINE_EXCEEDED, llmrouter.DeadlineExceeded),
        (grpc.StatusCode.CANCELLED, llmrouter.Cancelled),
        (grpc.StatusCode.INTERNAL, llmrouter.Internal),
        (grpc.StatusCode.UNKNOWN, llmrouter.RouterError),
    ],
)
async def test_each_status_has_its_error(
    router: Router, client: llmrouter.AsyncClient, code: grpc.StatusCode, kind: type[llmrouter.RouterError]
) -> None:
    router.complete = [fail(code, "No.")]
    with pytest.raises(llmrouter.RouterError) as raised:
        await client.complete("Hi")
    assert type(raised.value) is kind
    assert raised.value.code is code
    assert (raised.value.reason, raised.value.retry_after, raised.value.receipt_summary) == ("", None, None)


async def test_error_of_another_domain_gives_no_reason(router: Router, client: llmrouter.AsyncClient) -> None:
    foreign = error_details_pb2.ErrorInfo(reason="PROXY", domain="example.com", metadata={"a": "b"})
    router.complete = [fail(grpc.StatusCode.PERMISSION_DENIED, "No.", foreign)]
    with pytest.raises(llmrouter.PermissionDenied) as raised:
        await client.complete("Hi")
    assert (raised.value.reason, raised.value.metadata) == ("", {})


async def test_damaged_details_leave_the_plain_status(router: Router, client: llmrouter.AsyncClient) -> None:
    async def damaged(context: grpc.aio.ServicerContext) -> router_service_pb2.CompleteResponse:
        trailing = (("grpc-status-details-bin", b"\xff\xff"),)
        await context.abort(grpc.StatusCode.NOT_FOUND, "No.", trailing_metadata=trailing)
        raise AssertionError("abort raises")

    router.complete = [damaged]
    with pytest.raises(llmrouter.NotFound, match="No"):
        await client.complete("Hi")


async def test_failed_stream_gives_its_receipt_and_then_the_error(
    router: Router, client: llmrouter.AsyncClient
) -> None:
    router.stream_error = grpc.StatusCode.UNAVAILABLE
    stream = client.stream("Hi")
    for _ in range(5):
        last = await anext(stream)
    assert isinstance(last, stream_pb2.Finished)
    assert stream.finished == last
    with pytest.raises(llmrouter.Unavailable):
        await anext(stream)
    assert len(router.seen) == 1


async def test_unreachable_router_is_unavailable_without_a_reason() -> None:
    async with llmrouter.AsyncClient.connect("127.0.0.1:1", timeout=30.0) as client:
        with pytest.raises(llmrouter.Unavailable) as raised:
            await client.complete("Hi")
    assert raised.value.reason == ""


async def test_unavailable_is_retried_where_nothing_was_dispatched(
    router: Router, client: llmrouter.AsyncClient
) -> None:
    router.complete = [fail(grpc.StatusCode.UNAVAILABLE, "Draining."), answering]
    assert (await client.complete("Hi")).text == "Hello"
    first, second = router.seen
    assert first.request == second.request
    assert first.metadata["x-request-id"] == second.metadata["x-request-id"]


async def test_unavailable_with_pushback_is_not_retried(router: Router, client: llmrouter.AsyncClient) -> None:
    router.complete = [fail(grpc.StatusCode.UNAVAILABLE, "Every attempt failed.", pushback=True), answering]
    with pytest.raises(llmrouter.Unavailable):
        await client.complete("Hi")
    assert len(router.seen) == 1


async def test_other_errors_are_not_retried(router: Router, client: llmrouter.AsyncClient) -> None:
    router.complete = [fail(grpc.StatusCode.INTERNAL, "A defect."), answering]
    with pytest.raises(llmrouter.Internal):
        await client.complete("Hi")
    assert len(router.seen) == 1


async def test_current_span_travels_with_the_call(router: Router, client: llmrouter.AsyncClient) -> None:
    context = trace.SpanContext(
        trace_id=0xA1, span_id=0xB2, is_remote=False, trace_flags=trace.TraceFlags(trace.TraceFlags.SAMPLED)
    )
    with trace.use_span(trace.NonRecordingSpan(context)):
        await client.complete("Hi")
        await client.complete("Hi", traceparent="00-" + "c" * 32 + "-" + "d" * 16 + "-01")
    await client.complete("Hi")

    sent = [seen.metadata.get("traceparent") for seen in router.seen]
    assert sent == [f"00-{0xA1:032x}-{0xB2:016x}-01", "00-" + "c" * 32 + "-" + "d" * 16 + "-01", None]


async def test_replica_that_does_not_serve_gets_no_calls() -> None:
    draining, serving = Router(), Router()
    servers = [await start(draining, serving=False), await start(serving, serving=True)]
    target = f"ipv4:{draining.address},{serving.address}"
    async with llmrouter.AsyncClient.connect(target) as client:
        for _ in range(6):
            await client.complete("Hi")
    for server in servers:
        await server.stop(None)
    assert (len(draining.seen), len(serving.seen)) == (0, 6)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"max_tokens": 5}, "'max_tokens': did you mean 'max_output_tokens'"),
        ({"temprature": 0.1}, "'temprature': did you mean 'temperature'"),
        ({"max_tokens": 5, "temprature": 0.1}, "'max_tokens'.*'temprature'"),
        ({"zzz": 1}, "'zzz': this call takes accept_discard"),
    ],
)
async def test_option_that_does_not_exist_is_refused_by_every_call(
    router: Router, client: llmrouter.AsyncClient, options: Any, says: str
) -> None:
    with pytest.raises(TypeError, match=says):
        await client.complete("Hi", **options)
    with pytest.raises(TypeError, match=says):
        client.stream("Hi", **options)
    for refused in (client.route("Hi", **options), client.receipt("r-1", **options), client.models(**options)):
        with pytest.raises(TypeError, match=next(iter(options))):
            await refused
    assert router.seen == []


@pytest.mark.parametrize(
    ("prompt", "options", "says"),
    [
        (None, {}, "A prompt is text or a list of messages, not None"),
        ({"role": "user", "content": "Hi"}, {}, "a list of messages, not a dict"),
        (["Hi"], {}, "A message is .*, not a str"),
        ("Hi", {"labels": {"a": 1}}, "write 'a': '1'"),
        ("Hi", {"labels": "a=1"}, "labels map names to texts"),
        ("Hi", {"request_id": "a\nb"}, "A request_id is printable ASCII"),
        ("Hi", {"request_id": "é"}, "A request_id is printable ASCII"),
        ("Hi", {"model": "a", "deployment": "b"}, "not both: 'a' and 'b'"),
        ("Hi", {"timeout": 0}, "seconds above 0, not 0"),
    ],
)
async def test_what_cannot_be_sent_is_a_value_error_that_says_why(
    router: Router, client: llmrouter.AsyncClient, prompt: Any, options: Any, says: str
) -> None:
    with pytest.raises(ValueError, match=says):
        await client.complete(prompt, **options)
    assert router.seen == []


async def test_key_with_a_line_break_is_refused_without_being_repeated(router: Router) -> None:
    async with llmrouter.AsyncClient.connect(router.address, api_key="rk_secret\n") as client:
        with pytest.raises(ValueError, match="An API key is printable ASCII") as raised:
            await client.complete("Hi")
    assert "rk_secret" not in str(raised.value)


async def test_sync_client_works_from_a_thread(router: Router) -> None:
    def use() -> tuple[str, list[str], list[str]]:
        with llmrouter.Client.connect(router.address) as client:
            client.route("Hi")
            client.receipt("r-1")
            with client.stream("Hi") as stream:
                pieces = list(stream.text())
            assert stream.finished is not None
            return client.complete("Hi", tier="pro").text, pieces, [model.id for model in client.models()]

    assert await asyncio.to_thread(use) == ("Hello", ["Hel", "lo"], ["a", "b", "c"])
    assert all(seen.time_remaining < 61 for seen in router.seen)


async def test_sync_client_raises_the_same_errors(router: Router) -> None:
    info = error_details_pb2.ErrorInfo(reason="MODEL_NOT_FOUND", domain="llmrouter")
    router.complete = [fail(grpc.StatusCode.NOT_FOUND, "No such model.", info)]
    router.stream_error = grpc.StatusCode.INTERNAL

    def use() -> str:
        with llmrouter.Client.connect(router.address) as client:
            with pytest.raises(llmrouter.Internal):
                list(client.stream("Hi"))
            with pytest.raises(llmrouter.NotFound) as raised:
                client.complete("Hi")
            return raised.value.reason

    assert await asyncio.to_thread(use) == "MODEL_NOT_FOUND"


async def test_sync_stream_left_early_is_cancelled_at_the_router(router: Router) -> None:
    router.hold_after = 3

    def use() -> list[str]:
        def text(events: Iterator[llmrouter.StreamEvent]) -> Iterator[str]:
            return (event.text for event in events if isinstance(event, stream_pb2.TextDelta))

        with llmrouter.Client.connect(router.address) as client:
            with client.stream("Hi") as stream:
                first = next(text(stream))
            return [first, *text(stream)]

    assert await asyncio.to_thread(use) == ["Hel"]
    await router.cancelled.wait()


def test_published_service_config_is_the_one_in_every_client() -> None:
    clients, built = ROOT / "clients", {"node_modules", "dist", "target"}
    published = (clients / "service_config.json").read_bytes()
    copies = [path for path in clients.glob("*/**/service_config.json") if not built & set(path.parts)]
    assert {"python", "go", "typescript", "java"} <= {copy.relative_to(clients).parts[0] for copy in copies}
    assert {copy.read_bytes() for copy in copies} == {published}
    (method,) = json.loads(published)["methodConfig"]
    assert method["retryPolicy"]["retryableStatusCodes"] == ["UNAVAILABLE"]


@pytest.mark.parametrize("example", ["complete.py", "stream.py"])
async def test_example_is_short_and_runs(router: Router, example: str) -> None:
    path = ROOT / "clients/python/examples" / example
    assert len(path.read_text("utf-8").splitlines()) <= 40
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(path), router.address, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    assert process.returncode == 0
    assert output.decode().startswith("Hello")
