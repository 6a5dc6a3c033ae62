"""What observers need to turn calls into spans."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from opentelemetry import trace
from opentelemetry.trace import Tracer

from router_service.telemetry.sampling import TailSampler


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
    """The trace id of the RPC being served, in hex; empty where it is not traced."""
    context = trace.get_current_span().get_span_context()
    return trace.format_trace_id(context.trace_id) if context.is_valid else ""
