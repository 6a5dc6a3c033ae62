"""W3C trace context as gRPC metadata, where OpenTelemetry is installed or the caller hands it over."""

from __future__ import annotations

from collections.abc import Callable

_inject: Callable[[dict[str, str]], None] | None = None

try:
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
except ImportError:
    pass
else:
    _inject = TraceContextTextMapPropagator().inject


def trace_metadata(traceparent: str | None) -> dict[str, str]:
    """The given `traceparent`, else the current span's context, else nothing."""
    if traceparent is not None:
        return {"traceparent": traceparent}
    carrier: dict[str, str] = {}
    if _inject is not None:
        _inject(carrier)
    return carrier
