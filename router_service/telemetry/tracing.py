"""What observers need to turn calls into spans."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from opentelemetry import trace
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.context import Context as TraceContext
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.trace import Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from router_service.telemetry.sampling import TailSampler

_CONTEXT_KEYS = frozenset({"traceparent", "tracestate", "baggage"})
_PROPAGATOR = CompositePropagator([TraceContextTextMapPropagator(), W3CBaggagePropagator()])


@dataclass(frozen=True, slots=True, kw_only=True)
class Tracing:
    """A tracer with the sampler behind it. `now` is nanoseconds since the epoch, `new_span_id` makes random ids."""

    tracer: Tracer
    sampler: TailSampler
    new_span_id: Callable[[], int]
    costly_nano_usd: int
    mirror_costs: bool
    now: Callable[[], int] = time.time_ns


def current_trace_id() -> str:
    """The trace id of the call being served, in hex; empty where it is not traced."""
    context = trace.get_current_span().get_span_context()
    return trace.format_trace_id(context.trace_id) if context.is_valid else ""


def remote_context(headers: Iterable[tuple[str, str | bytes]]) -> TraceContext:
    """The trace context that a caller sent, empty where it sent none. Names are in lower case."""
    carrier: dict[str, list[str]] = {}
    for name, value in headers:
        if name in _CONTEXT_KEYS and isinstance(value, str):
            carrier.setdefault(name, []).append(value)
    # An explicit empty context: what is current here belongs to no caller.
    return _PROPAGATOR.extract(carrier, TraceContext()) if carrier else TraceContext()
