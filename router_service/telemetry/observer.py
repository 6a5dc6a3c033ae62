"""Watches one call: counts it at once, and keeps what is needed to tell its spans if the trace is kept."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from opentelemetry.sdk.trace import Event as SpanEvent
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanContext, format_span_id, format_trace_id

from router_service.domain.call import Call
from router_service.domain.error import RouterError
from router_service.domain.event import (
    AttemptFinished,
    AttemptStarted,
    CallStarted,
    Decided,
    Deltas,
    Event,
    Finished,
    Judged,
)
from router_service.domain.receipt import Attempt, AttemptOutcome, AttemptReason, Receipt
from router_service.telemetry.alarm import warn_of_refused_key
from router_service.telemetry.audit import audit
from router_service.telemetry.metrics import Metrics
from router_service.telemetry.sampling import Told
from router_service.telemetry.spans import (
    Origin,
    attempt_span,
    judgement_span,
    nanoseconds,
    refusal_span,
    root_attributes,
    root_event,
    route_span,
)
from router_service.telemetry.tracing import Tracing

logger = logging.getLogger(__name__)


class Failures:
    """How often telemetry itself failed. The first time is logged, by type only: a message may quote a prompt."""

    def __init__(self) -> None:
        self.count = 0

    def note(self, exc: Exception) -> None:
        """Count a failure."""
        self.count += 1
        if self.count == 1:
            logger.warning(
                "Telemetry failed to observe a call (%s); later failures are only counted", type(exc).__name__
            )


class AuditObserver:
    """The `Observer` where nothing is exported: it writes the audit record, and warns."""

    __slots__ = ("_call", "_failures")

    def __init__(self, call: Call, failures: Failures) -> None:
        self._call = call
        self._failures = failures

    def __call__(self, event: Event) -> None:
        """Wait for the ends of attempts and of the call."""
        try:
            if type(event) is Finished:
                audit(self._call, event.receipt)
            elif type(event) is AttemptFinished:
                warn_of_refused_key(event.attempt)
        except Exception as exc:
            self._failures.note(exc)

    def trace_headers(self, attempt: int) -> Mapping[str, str]:
        """Nothing is traced."""
        return {}


class CallObserver:
    """The `Observer` of one call, and the `Story` of its trace.

    `root` is the open span of the RPC, `None` where the call is not traced. A failure in here is counted and goes no
    further: no call fails for its telemetry.
    """

    def __init__(
        self,
        call: Call,
        *,
        root: SpanContext | None,
        tracing: Tracing | None,
        metrics: Metrics | None,
        failures: Failures,
    ) -> None:
        self._call = call
        self._failures = failures
        self._root = root
        self._tracing = tracing
        self._metrics = metrics
        self._decided: Decided | None = None
        self._routed: tuple[int, int] | None = None
        self._started: list[AttemptStarted] = []
        self._ended: dict[int, Attempt] = {}
        self._judged: list[Judged] = []
        self._chunks: dict[int, int] = {}
        self._span_ids: dict[int, int] = {}
        self._receipt: Receipt | None = None
        self._error: RouterError | None = None
        self._costly = False
        if tracing is not None and root is not None and not tracing.sampler.attach(root, self):
            self._root = None

    def __call__(self, event: Event) -> None:
        """Take note of an event."""
        if type(event) is Deltas:
            chunks = self._chunks
            chunks[event.attempt] = chunks.get(event.attempt, 0) + 1
            return
        try:
            self._observe(event)
        except Exception as exc:
            self._failures.note(exc)

    def trace_headers(self, attempt: int) -> Mapping[str, str]:
        """W3C headers that make an upstream's spans children of this attempt's."""
        root, tracing = self._root, self._tracing
        if root is None or tracing is None:
            return {}
        flags = "01" if tracing.sampler.will_keep(root) else "00"
        span_id = format_span_id(self._span_id(attempt, tracing))
        headers = {"traceparent": f"00-{format_trace_id(root.trace_id)}-{span_id}-{flags}"}
        if root.trace_state:
            headers["tracestate"] = root.trace_state.to_header()
        return headers

    def reason_to_keep(self) -> str:
        """Whatever departed from one good, quick and cheap attempt."""
        reasons = {started.reason for started in self._started}
        if AttemptReason.FALLBACK in reasons:
            return "fallback"
        if AttemptReason.ESCALATION in reasons:
            return "escalation"
        if AttemptReason.HEDGE in reasons:
            return "hedge"
        if any(attempt.outcome is AttemptOutcome.ERROR for attempt in self._ended.values()):
            return "error"
        if len(self._ended) < len(self._started):
            return "error"
        return "costly" if self._costly else ""

    def told(self, root: ReadableSpan) -> Told:
        """The route and the attempts as spans, the request's facts for the root."""
        try:
            return self._told(root)
        except Exception as exc:
            self._failures.note(exc)
            return Told()

    def _observe(self, event: Event) -> None:
        match event:
            case AttemptStarted():
                self._started.append(event)
            case AttemptFinished(attempt=attempt):
                self._ended[attempt.number] = attempt
                if self._metrics is not None:
                    chunks = self._chunks.get(attempt.number, 0)
                    self._metrics.attempt_ended(attempt, self._call, self._rule, chunks)
                warn_of_refused_key(attempt)
            case Judged(judgement=judgement):
                self._judged.append(event)
                if self._metrics is not None:
                    deployment = self._ended[judgement.attempt].deployment.id
                    self._metrics.judged(judgement, deployment)
            case Decided():
                self._decided = event
                self._routing_ended(event.decision.rule_name, event.duration)
            case CallStarted():
                if self._metrics is not None:
                    self._metrics.call_started()
            case Finished(receipt=receipt, error=error):
                if self._decided is None:
                    self._routing_ended("", receipt.duration)
                self._receipt, self._error = receipt, error
                if self._tracing is not None and receipt.cost is not None:
                    self._costly = receipt.cost > self._tracing.costly_nano_usd
                if self._metrics is not None:
                    self._metrics.call_finished(receipt)
                audit(self._call, receipt)

    def _routing_ended(self, rule: str, duration: float) -> None:
        if self._metrics is not None:
            self._metrics.decided(rule, duration)
        if self._tracing is not None:
            now = self._tracing.now()
            self._routed = (now - nanoseconds(duration), now)

    @property
    def _rule(self) -> str:
        return self._decided.decision.rule_name if self._decided is not None else ""

    def _told(self, root: ReadableSpan) -> Told:
        tracing, context = self._tracing, self._root
        if tracing is None or context is None:
            return Told()
        origin = Origin(context, root.resource, root.instrumentation_scope)
        spans: list[ReadableSpan] = []
        if self._decided is not None and self._routed is not None:
            spans.append(route_span(origin, tracing.new_span_id(), self._call, self._decided.decision, self._routed))
        elif self._error is not None and self._routed is not None:
            spans.append(refusal_span(origin, tracing.new_span_id(), self._call, self._error, self._routed))
        events: list[SpanEvent] = []
        before: Attempt | None = None
        gates = {judged.judgement.attempt: tracing.new_span_id() for judged in self._judged}
        for started in self._started:
            if (event := root_event(started, before)) is not None:
                events.append(event)
            ended = self._ended.get(started.number)
            if not started.reason.is_question:
                before = ended
            spans.append(
                attempt_span(
                    origin,
                    self._span_id(started.number, tracing),
                    self._call,
                    started=started,
                    ended=ended,
                    ended_at=root.end_time or 0,
                    mirror_costs=tracing.mirror_costs,
                    # Where the call broke off in it, no gate has a span that it could be a part of.
                    parent_id=gates.get(started.judges, 0),
                )
            )
        spans += [judgement_span(origin, gates[judged.judgement.attempt], judged) for judged in self._judged]
        return Told(
            attributes=root_attributes(self._call, self._receipt) if self._receipt is not None else {},
            events=events,
            spans=spans,
        )

    def _span_id(self, attempt: int, tracing: Tracing) -> int:
        span_id = self._span_ids.get(attempt)
        if span_id is None:
            span_id = self._span_ids[attempt] = tracing.new_span_id()
        return span_id
