"""The interceptor over a real server and channel: every way an RPC can end, as one span with the caller's status."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1._async import HealthServicer
from opentelemetry import baggage, trace
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.trace import SpanKind, StatusCode

from router_service.config.configuration import TelemetrySettings
from router_service.rpc.tracing import TracingInterceptor, status_of
from router_service.telemetry.setup import Telemetry
from router_service.telemetry.tree import SpanCollector

SERVICE = "llmrouter.v1.RouterService"
SECRET = "prompt text that an exception quotes"
TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE_ID}-b7ad6b7169203331-01"


class Handlers:
    """A tiny service: each method ends in its own way. `entered` and `left` tell where a hanging handler is.

    A caller that has its message may cancel before the handler has heard that it was sent, so sending is watched too.
    """

    def __init__(self) -> None:
        self.entered = asyncio.Event()
        self.left = asyncio.Event()
        self.seen: dict[str, object] = {}

    async def ok(self, request: bytes, context: Any) -> bytes:
        self.seen = {
            "trace": f"{trace.get_current_span().get_span_context().trace_id:032x}",
            "baggage": dict(baggage.get_all()),
        }
        await asyncio.sleep(0)
        assert trace.get_current_span().is_recording()
        return request

    async def fail(self, request: bytes, context: Any) -> bytes:
        raise ValueError(SECRET)

    async def refuse(self, request: bytes, context: Any) -> bytes:
        await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "no budget")
        return b""

    async def break_down(self, request: bytes, context: Any) -> bytes:
        await context.abort(grpc.StatusCode.UNAVAILABLE, "no provider")
        return b""

    async def set_code(self, request: bytes, context: Any) -> bytes:
        context.set_code(grpc.StatusCode.NOT_FOUND)
        return b""

    async def hang(self, request: bytes, context: Any) -> bytes:
        self.entered.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.left.set()
        return b""

    async def stream(self, request: bytes, context: Any) -> AsyncIterator[bytes]:
        for _ in range(3):
            yield request
            await asyncio.sleep(0)
        assert trace.get_current_span().is_recording()

    async def stream_fail(self, request: bytes, context: Any) -> AsyncIterator[bytes]:
        yield request
        raise ValueError(SECRET)

    async def stream_refuse(self, request: bytes, context: Any) -> AsyncIterator[bytes]:
        yield request
        await context.abort(grpc.StatusCode.UNAVAILABLE, "cut")

    async def stream_hang(self, request: bytes, context: Any) -> AsyncIterator[bytes]:
        try:
            yield request
            await asyncio.Event().wait()
        finally:
            self.left.set()

    async def write(self, request: bytes, context: Any) -> None:
        for _ in range(3):
            await context.write(request)

    async def write_hang(self, request: bytes, context: Any) -> None:
        try:
            await context.write(request)
            await asyncio.Event().wait()
        finally:
            self.left.set()

    async def collect(self, requests: AsyncIterator[bytes], context: Any) -> bytes:
        return b"".join([request async for request in requests])

    async def echo(self, requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        async for request in requests:
            yield request

    def generic(self) -> grpc.GenericRpcHandler:
        unary, streaming = grpc.unary_unary_rpc_method_handler, grpc.unary_stream_rpc_method_handler
        unary_methods = (self.ok, self.fail, self.refuse, self.break_down, self.set_code, self.hang)
        stream_methods = (
            self.stream,
            self.stream_fail,
            self.stream_refuse,
            self.stream_hang,
            self.write,
            self.write_hang,
        )
        return grpc.method_handlers_generic_handler(
            SERVICE,
            {
                **{method.__name__: unary(method) for method in unary_methods},
                **{method.__name__: streaming(method) for method in stream_methods},
                "collect": grpc.stream_unary_rpc_method_handler(self.collect),
                "echo": grpc.stream_stream_rpc_method_handler(self.echo),
            },
        )


class Collector(SpanCollector):
    def __init__(self) -> None:
        super().__init__()
        self.arrived = asyncio.Event()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = super().export(spans)
        self.arrived.set()
        return result


@dataclass
class Served:
    channel: grpc.aio.Channel
    handlers: Handlers
    collector: Collector
    reader: InMemoryMetricReader

    def unary(self, method: str) -> Any:
        return self.channel.unary_unary(f"/{SERVICE}/{method}")

    def streaming(self, method: str) -> Any:
        return self.channel.unary_stream(f"/{SERVICE}/{method}")

    async def span(self) -> ReadableSpan:
        """The one span, once it has ended: a caller can hear of the end before the server is done with it."""
        async with asyncio.timeout(30):
            await self.collector.arrived.wait()
        (span,) = self.collector.spans
        return span

    async def durations_of(self, calls: int) -> list[dict[str, object]]:
        """Those of so many calls, once they are recorded: their callers may hear of the end before."""
        async with asyncio.timeout(30):
            while len(found := self.durations()) < calls:  # noqa: ASYNC110 - they have no event
                await asyncio.sleep(0.001)
        return found

    def durations(self) -> list[dict[str, object]]:
        data = self.reader.get_metrics_data()
        found = data.resource_metrics[0].scope_metrics[0].metrics if data is not None else []
        return [
            dict(point.attributes or {})
            for metric in found
            if metric.name == "rpc.server.call.duration"
            for point in metric.data.data_points
        ]


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    collector, reader, handlers = Collector(), InMemoryMetricReader(), Handlers()
    telemetry = Telemetry(TelemetrySettings(), span_exporter=collector, metric_reader=reader)
    server = grpc.aio.server(interceptors=[TracingInterceptor(telemetry)])
    server.add_generic_rpc_handlers((handlers.generic(),))
    health = HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(health, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield Served(channel, handlers, collector, reader)
    await server.stop(None)
    await telemetry.shutdown(timeout=60)


async def drain(call: Any) -> list[bytes]:
    return [message async for message in call]


async def code_of(outcome: Awaitable[object]) -> grpc.StatusCode:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await outcome
    return caught.value.code()


def check(span: ReadableSpan, method: str, code: str, *, error: str = "") -> None:
    want = {"rpc.system.name": "grpc", "rpc.method": f"{SERVICE}/{method}", "rpc.response.status_code": code}
    seen = {key: value for key, value in (span.attributes or {}).items() if not key.startswith("llm_router.")}
    assert seen == ({**want, "error.type": error} if error else want)
    assert span.name == f"{SERVICE}/{method}"
    assert span.kind is SpanKind.SERVER
    assert span.status.status_code is (StatusCode.ERROR if error else StatusCode.UNSET)
    assert span.events == ()
    assert SECRET not in span.to_json()


async def test_a_unary_call_that_succeeds(served: Served) -> None:
    assert await served.unary("ok")(b"hello") == b"hello"
    check(await served.span(), "ok", "OK")


async def test_a_unary_call_that_raises(served: Served) -> None:
    assert await code_of(served.unary("fail")(b"")) is grpc.StatusCode.UNKNOWN
    check(await served.span(), "fail", "UNKNOWN", error="ValueError")


async def test_an_abort_that_is_the_callers_matter_is_no_error_of_the_server(served: Served) -> None:
    assert await code_of(served.unary("refuse")(b"")) is grpc.StatusCode.RESOURCE_EXHAUSTED
    check(await served.span(), "refuse", "RESOURCE_EXHAUSTED")


async def test_an_abort_that_is_the_servers_failure_is_an_error(served: Served) -> None:
    assert await code_of(served.unary("break_down")(b"")) is grpc.StatusCode.UNAVAILABLE
    check(await served.span(), "break_down", "UNAVAILABLE", error="UNAVAILABLE")


async def test_a_code_that_the_handler_sets_without_raising(served: Served) -> None:
    assert await code_of(served.unary("set_code")(b"")) is grpc.StatusCode.NOT_FOUND
    check(await served.span(), "set_code", "NOT_FOUND")


async def test_a_unary_call_whose_deadline_passes(served: Served) -> None:
    assert await code_of(served.unary("hang")(b"", timeout=0.5)) is grpc.StatusCode.DEADLINE_EXCEEDED
    check(await served.span(), "hang", "DEADLINE_EXCEEDED", error="DEADLINE_EXCEEDED")
    assert served.handlers.left.is_set()


async def test_a_unary_call_that_the_caller_cancels(served: Served) -> None:
    call = served.unary("hang")(b"", timeout=60)
    await served.handlers.entered.wait()
    call.cancel()
    check(await served.span(), "hang", "CANCELLED")
    assert served.handlers.left.is_set()


async def test_a_stream_that_ends(served: Served) -> None:
    assert await drain(served.streaming("stream")(b"x")) == [b"x"] * 3
    check(await served.span(), "stream", "OK")


async def test_a_stream_that_raises_after_its_first_message(served: Served) -> None:
    assert await code_of(drain(served.streaming("stream_fail")(b"x"))) is grpc.StatusCode.UNKNOWN
    check(await served.span(), "stream_fail", "UNKNOWN", error="ValueError")


async def test_a_stream_that_is_aborted_after_its_first_message(served: Served) -> None:
    assert await code_of(drain(served.streaming("stream_refuse")(b"x"))) is grpc.StatusCode.UNAVAILABLE
    check(await served.span(), "stream_refuse", "UNAVAILABLE", error="UNAVAILABLE")


async def test_a_handler_that_writes_to_its_context(served: Served) -> None:
    assert await drain(served.streaming("write")(b"x")) == [b"x"] * 3
    check(await served.span(), "write", "OK")


@pytest.mark.parametrize("method", ["stream_hang", "write_hang"])
async def test_a_stream_that_the_caller_cancels(served: Served, method: str) -> None:
    call = served.streaming(method)(b"x", timeout=60)
    assert await call.read() == b"x"
    call.cancel()
    check(await served.span(), method, "CANCELLED")
    assert served.handlers.left.is_set()


@pytest.mark.parametrize("method", ["stream_hang", "write_hang"])
async def test_a_stream_whose_deadline_passes(served: Served, method: str) -> None:
    assert await code_of(drain(served.streaming(method)(b"x", timeout=0.5))) is grpc.StatusCode.DEADLINE_EXCEEDED
    check(await served.span(), method, "DEADLINE_EXCEEDED", error="DEADLINE_EXCEEDED")
    assert served.handlers.left.is_set()


async def test_a_call_with_a_streamed_request(served: Served) -> None:
    call = served.channel.stream_unary(f"/{SERVICE}/collect")
    assert await call(iter([b"a", b"b"])) == b"ab"
    check(await served.span(), "collect", "OK")


async def test_a_call_with_streams_both_ways(served: Served) -> None:
    call = served.channel.stream_stream(f"/{SERVICE}/echo")
    assert await drain(call(iter([b"a", b"b"]))) == [b"a", b"b"]
    check(await served.span(), "echo", "OK")


@pytest.mark.parametrize(
    ("seconds_left", "status"),
    [(0.0, "DEADLINE_EXCEEDED"), (0.003, "DEADLINE_EXCEEDED"), (0.5, "CANCELLED"), (None, "CANCELLED")],
)
def test_a_reset_just_before_the_deadline_is_the_deadlines(seconds_left: float | None, status: str) -> None:
    context: Any = SimpleNamespace(time_remaining=lambda: seconds_left)
    assert status_of(context, asyncio.CancelledError()) == status
    assert status_of(context, GeneratorExit()) == status


async def test_the_callers_trace_is_continued_and_its_baggage_seen(served: Served) -> None:
    metadata = (("traceparent", PARENT), ("tracestate", "vendor=1"), ("baggage", "team=search"))
    await served.unary("ok")(b"", metadata=metadata)
    span = await served.span()
    assert f"{span.context.trace_id:032x}" == TRACE_ID
    assert span.parent is not None
    assert f"{span.parent.span_id:016x}" == "b7ad6b7169203331"
    assert span.context.trace_state.to_header() == "vendor=1"
    assert served.handlers.seen == {"trace": TRACE_ID, "baggage": {"team": "search"}}


@pytest.mark.parametrize("traceparent", ["", "nonsense", "00-" + "0" * 32 + "-" + "0" * 16 + "-01"])
async def test_a_bad_traceparent_starts_a_new_trace(served: Served, traceparent: str) -> None:
    await served.unary("ok")(b"", metadata=(("traceparent", traceparent),))
    span = await served.span()
    assert span.parent is None
    assert span.context.is_valid


async def test_one_calls_trace_does_not_leak_into_the_next(served: Served) -> None:
    await served.unary("ok")(b"", metadata=(("traceparent", PARENT),))
    await served.unary("ok")(b"")
    await asyncio.gather(*[served.unary("ok")(b"") for _ in range(5)])
    traces = [f"{span.context.trace_id:032x}" for span in served.collector.spans]
    assert len(traces) == 7
    assert len(set(traces)) == 7
    assert not trace.get_current_span().is_recording()


async def test_durations_are_recorded_with_method_and_status(served: Served) -> None:
    await served.unary("ok")(b"")
    await code_of(served.unary("break_down")(b""))
    assert await served.durations_of(2) == [
        {"rpc.system.name": "grpc", "rpc.method": f"{SERVICE}/ok", "rpc.response.status_code": "OK"},
        {
            "rpc.system.name": "grpc",
            "rpc.method": f"{SERVICE}/break_down",
            "rpc.response.status_code": "UNAVAILABLE",
            "error.type": "UNAVAILABLE",
        },
    ]


async def test_health_checks_and_unknown_methods_are_not_traced(served: Served) -> None:
    health = health_pb2_grpc.HealthStub(served.channel)
    await health.Check(health_pb2.HealthCheckRequest())
    assert await code_of(served.unary("missing")(b"")) is grpc.StatusCode.UNIMPLEMENTED
    assert served.collector.spans == []
    assert served.durations() == []
