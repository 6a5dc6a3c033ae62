"""A SERVER span and a duration for every RPC, of any kind and however it ends.

Written here because the published instrumentation breaks handlers that answer with `context.write`, and records
cancelled and failed streams as successes.
"""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from types import TracebackType
from typing import Any

import grpc
from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.trace import SpanKind, Status, StatusCode

from router_service.rpc.handlers import Handler, Layer, behavior_of, with_behavior
from router_service.rpc.ports import Context
from router_service.telemetry import semconv
from router_service.telemetry.setup import Telemetry
from router_service.telemetry.tracing import remote_context

_UNTRACED = ("/grpc.health.", "/grpc.reflection.")
# A caller whose deadline passes also resets its stream, and in about a tenth of all cases the reset is seen first, with
# up to 3 ms left on this side's clock.
_DEADLINE_SLACK = 0.02
_SERVER_ERRORS = frozenset({"UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"})


class TracingInterceptor(Layer):
    """Traces and times every RPC but health checks and reflection. Put it outside all other layers."""

    def __init__(self, telemetry: Telemetry) -> None:
        super().__init__()
        self._telemetry = telemetry

    def wrap(self, method: str, handler: Handler) -> Handler:
        """The handler within a span."""
        if not self._telemetry.enabled or method.startswith(_UNTRACED):
            return handler
        serve = behavior_of(handler)
        telemetry, name = self._telemetry, method.lstrip("/")

        async def answer(request: Any, context: Context) -> Any:
            with _Rpc(telemetry, name, context):
                return await serve(request, context)

        async def generate(request: Any, context: Context) -> AsyncIterator[Any]:
            with _Rpc(telemetry, name, context):
                async with aclosing(serve(request, context)) as responses:
                    async for response in responses:
                        yield response

        traced = generate if inspect.isasyncgenfunction(serve) else answer
        return with_behavior(handler, traced, handler.request_deserializer)


class _Rpc:
    """One RPC: a current span from `with` until the handler is left, by whichever way."""

    __slots__ = ("_began", "_context", "_method", "_span", "_telemetry")

    def __init__(self, telemetry: Telemetry, method: str, context: Context) -> None:
        self._telemetry = telemetry
        self._method = method
        self._context = context
        self._began = time.perf_counter()
        parent = remote_context(context.invocation_metadata() or ())
        self._span = telemetry.tracer.start_span(
            method,
            parent,
            SpanKind.SERVER,
            {semconv.RPC_SYSTEM: "grpc", semconv.RPC_METHOD: method},
            record_exception=False,
            set_status_on_exception=False,
        )
        # Never detached: the RPC's task takes its context variables with it, and a generator may be closed elsewhere.
        otel_context.attach(trace.set_span_in_context(self._span, parent))

    def __enter__(self) -> None:
        """The span is current already."""

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, _: TracebackType | None) -> None:
        """End the span with the status that the caller gets. Exceptions pass."""
        status = status_of(self._context, exc)
        error = ""
        if status in _SERVER_ERRORS:
            error = status
            if kind is not None and not issubclass(kind, asyncio.CancelledError | grpc.aio.AbortError):
                error = kind.__qualname__
            self._span.set_attributes({semconv.RPC_STATUS: status, semconv.ERROR_TYPE: error})
            self._span.set_status(Status(StatusCode.ERROR))
        else:
            self._span.set_attribute(semconv.RPC_STATUS, status)
        self._span.end()
        self._telemetry.observe_rpc(self._method, status, error, time.perf_counter() - self._began)


def status_of(context: Context, exc: BaseException | None) -> str:
    """The name of the status code that a caller sees of a handler left with `exc`."""
    if isinstance(exc, asyncio.CancelledError | GeneratorExit):
        remaining = context.time_remaining()
        return "DEADLINE_EXCEEDED" if remaining is not None and remaining <= _DEADLINE_SLACK else "CANCELLED"
    if exc is not None and not isinstance(exc, grpc.aio.AbortError):
        return "UNKNOWN"
    code: Any = context.code()
    if isinstance(code, grpc.StatusCode):
        return code.name
    return _NAMES.get(code, "OK")


_NAMES = {code.value[0]: code.name for code in grpc.StatusCode}
