"""A SERVER span and a duration for every request of the API, however it ends."""

from __future__ import annotations

import time
from types import TracebackType

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.trace import SpanKind, Status, StatusCode

from router_service.telemetry import semconv
from router_service.telemetry.setup import Telemetry
from router_service.telemetry.tracing import remote_context
from router_service.web.exchange import Exchange

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class RequestSpan:
    """One request: a current span from `with` until it is left, by whichever way. `route` is the path's template."""

    __slots__ = ("_began", "_exchange", "_method", "_route", "_span", "_telemetry")

    def __init__(self, telemetry: Telemetry, exchange: Exchange, route: str) -> None:
        self._telemetry = telemetry
        self._exchange = exchange
        self._route = route
        self._method = exchange.method if exchange.method in _METHODS else semconv.ERROR_OTHER
        self._began = time.perf_counter()
        parent = remote_context(exchange.headers.items())
        self._span = telemetry.tracer.start_span(
            f"{self._method} {route}",
            parent,
            SpanKind.SERVER,
            {
                semconv.HTTP_METHOD: self._method,
                semconv.HTTP_ROUTE: route,
                semconv.URL_PATH: exchange.scope["path"],
                semconv.URL_SCHEME: exchange.scope["scheme"],
            },
            record_exception=False,
            set_status_on_exception=False,
        )
        # Never detached: the request's task takes its context variables with it.
        otel_context.attach(trace.set_span_in_context(self._span, parent))

    def __enter__(self) -> None:
        """The span is current already."""

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, _: TracebackType | None) -> None:
        """End the span with the status that the caller got, if any. Exceptions pass."""
        status = self._exchange.status
        told = "" if status is None else str(status)
        error = told if status is not None and status >= 500 else ""
        if status is not None:
            self._span.set_attribute(semconv.HTTP_STATUS, status)
        if self._exchange.broken:
            error = self._exchange.broken
        if error:
            self._span.set_attribute(semconv.ERROR_TYPE, error)
            self._span.set_status(Status(StatusCode.ERROR))
        self._span.end()
        seconds = time.perf_counter() - self._began
        self._telemetry.observe_http(self._method, self._route, told, error, seconds)
