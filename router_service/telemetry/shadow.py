"""Watches one shadow call: a trace of its own, linked to that of the call it is a copy of."""

from __future__ import annotations

from collections.abc import Mapping

from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import Link, Span, SpanContext, SpanKind, Status, StatusCode, format_span_id, format_trace_id

from router_service.domain.call import Call
from router_service.domain.event import AttemptFinished, AttemptStarted, Event, Finished, Judged
from router_service.domain.receipt import Attempt, Receipt
from router_service.telemetry import semconv
from router_service.telemetry.alarm import warn_of_refused_key
from router_service.telemetry.observer import Failures
from router_service.telemetry.sampling import Told
from router_service.telemetry.spans import Attributes, Origin, attempt_span, judgement_span, nanoseconds
from router_service.telemetry.tracing import Tracing

_USD = 1e9


class ShadowObserver:
    """The `Observer` of one shadow call, and the `Story` of its trace. `parent` is the span of the caller's RPC.

    Its span begins with the attempt: a call that is dropped leaves none. It is no call of the metrics, nor of the audit
    record: those are callers'.
    """

    def __init__(self, call: Call, *, parent: SpanContext, tracing: Tracing | None, failures: Failures) -> None:
        self._call = call
        self._parent = parent
        self._tracing = tracing
        self._failures = failures
        self._root: Span | None = None
        self._attempt_span_id = 0
        self._started: AttemptStarted | None = None
        self._ended: Attempt | None = None
        self._judged: Judged | None = None
        self._receipt: Receipt | None = None

    def __call__(self, event: Event) -> None:
        """Take note of an event."""
        try:
            self._observe(event)
        except Exception as exc:
            self._failures.note(exc)

    def trace_headers(self, attempt: int) -> Mapping[str, str]:
        """W3C headers that make an upstream's spans children of the attempt's."""
        if self._root is None or self._tracing is None:
            return {}
        context = self._root.get_span_context()
        flags = "01" if self._tracing.sampler.will_keep(context) else "00"
        return {
            "traceparent": f"00-{format_trace_id(context.trace_id)}-{format_span_id(self._attempt_span_id)}-{flags}"
        }

    def reason_to_keep(self) -> str:
        """A shadow call is as remarkable as any other: an error is kept for what it is, the rest by the ratio."""
        return ""

    def told(self, root: ReadableSpan) -> Told:
        """The attempt and the judgement as spans, what it came to for the root."""
        try:
            return self._told(root)
        except Exception as exc:
            self._failures.note(exc)
            return Told()

    def _observe(self, event: Event) -> None:
        match event:
            case AttemptStarted():
                self._started = event
                self._begin(event)
            case AttemptFinished(attempt=attempt):
                self._ended = attempt
                warn_of_refused_key(attempt)
            case Judged():
                self._judged = event
            case Finished(receipt=receipt):
                self._receipt = receipt
                self._end(receipt)

    def _begin(self, started: AttemptStarted) -> None:
        tracing = self._tracing
        if tracing is None:
            return
        self._attempt_span_id = tracing.new_span_id()
        self._root = tracing.tracer.start_span(
            semconv.SHADOW_SPAN,
            # An explicit empty context: it outlives the caller's trace, and is no part of it.
            Context(),
            SpanKind.INTERNAL,
            links=[Link(self._parent)] if self._parent.is_valid else [],
            start_time=nanoseconds(started.started_at),
        )
        tracing.sampler.attach(self._root.get_span_context(), self)

    def _end(self, receipt: Receipt) -> None:
        if self._root is None:
            return
        if receipt.error_reason:
            self._root.set_status(Status(StatusCode.ERROR))
        self._root.end()

    def _told(self, root: ReadableSpan) -> Told:
        context, tracing = root.get_span_context(), self._tracing
        if context is None or tracing is None or self._started is None:
            return Told()
        origin = Origin(context, root.resource, root.instrumentation_scope)
        spans = [
            attempt_span(
                origin,
                self._attempt_span_id,
                self._call,
                started=self._started,
                ended=self._ended,
                ended_at=root.end_time or 0,
                mirror_costs=tracing.mirror_costs,
            )
        ]
        if self._judged is not None:
            spans.append(judgement_span(origin, tracing.new_span_id(), self._judged))
        return Told(attributes=self._attributes(), spans=spans)

    def _attributes(self) -> Attributes:
        call, receipt = self._call, self._receipt
        attributes: Attributes = {
            semconv.TENANT: call.tenant,
            semconv.FEATURE: call.caller.feature,
            semconv.TIER: call.caller.tier,
        }
        if call.shadow_of is not None:
            attributes[semconv.SHADOW] = call.shadow_of.shadow
            attributes[semconv.SHADOW_PARENT] = call.shadow_of.parent
        if receipt is None:
            return attributes
        attributes[semconv.REQUEST_COST_STATUS] = receipt.cost_status.value
        if receipt.cost is not None:
            attributes[semconv.REQUEST_COST_TOTAL] = receipt.cost / _USD
        if receipt.error_reason:
            attributes[semconv.REQUEST_ERROR] = receipt.error_reason
        return attributes
