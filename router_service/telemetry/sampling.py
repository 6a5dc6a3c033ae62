"""Keep or drop whole local traces, after their local root has ended and before anything is encoded.

Encoding is the dear part of tracing, and what makes a trace worth keeping is known only at its end. So the spans of a
local trace wait here; what an observer has to tell of a call waits as a `Story`, and becomes spans only if kept.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from opentelemetry.context import Context
from opentelemetry.sdk.trace import Event, ReadableSpan, Span, SpanProcessor
from opentelemetry.trace import SpanContext, StatusCode
from opentelemetry.util.types import AttributeValue

from router_service.telemetry import semconv

_TRACE_ID_RANGE = 2**64
_ABANDONED_AFTER = 3600 * 10**9


@dataclass(frozen=True, slots=True)
class Told:
    """What a story adds to its trace: attributes and events of the root, and finished spans."""

    attributes: Mapping[str, AttributeValue] = field(default_factory=dict)
    events: Sequence[Event] = ()
    spans: Sequence[ReadableSpan] = ()


class Story(Protocol):
    """What happened under a local root, told as spans only if the trace is kept. Neither method raises."""

    def reason_to_keep(self) -> str:
        """Why this must be kept, such as "fallback"; empty where nothing was remarkable."""

    def told(self, root: ReadableSpan) -> Told:
        """The story as spans under `root`."""


class Sink(Protocol):
    """Takes the spans of a kept trace; false where there is no room for them."""

    def __call__(self, spans: Sequence[ReadableSpan], /) -> bool: ...


@dataclass(slots=True)
class _LocalTrace:
    started: int
    parent_sampled: bool
    ids: list[int]
    spans: list[ReadableSpan] = field(default_factory=list)
    story: Story | None = None


def ratio_keeps(trace_id: int, ratio: float) -> bool:
    """Whether the share `ratio` of traces includes this one; every service decides alike from the id."""
    return trace_id % _TRACE_ID_RANGE < ratio * _TRACE_ID_RANGE


class TailSampler(SpanProcessor):
    """Buffers the spans of every local trace until its local root ends, then hands them on or drops them together.

    Kept are: traces with an error, what a story calls remarkable, roots slower than `slow_seconds`, traces that a
    remote parent samples, and the share `ratio` of the rest. At most `max_traces` are open: beyond, the oldest is given
    up, as is one whose root has not ended after an hour. Of their spans at most `max_spans` are held. `dropped` counts,
    by reason, the spans that were lost rather than dropped by choice.
    """

    def __init__(
        self, sink: Sink, *, ratio: float, slow_seconds: float, max_traces: int = 8192, max_spans: int = 65_536
    ) -> None:
        self.dropped: Counter[str] = Counter()
        self._sink = sink
        self._ratio = ratio
        self._slow_nanoseconds = int(slow_seconds * 1e9)
        self._max_traces = max_traces
        self._max_spans = max_spans
        self._roots: dict[int, _LocalTrace] = {}
        self._trace_of: dict[int, _LocalTrace] = {}
        self._lock = threading.Lock()

    @property
    def open_traces(self) -> int:
        """How many local roots have not ended."""
        return len(self._roots)

    def attach(self, root: SpanContext, story: Story) -> bool:
        """Have `story` told when this local root ends; false where it is not an open local root."""
        trace = self._roots.get(root.span_id)
        if trace is None:
            return False
        trace.story = story
        return True

    def will_keep(self, root: SpanContext) -> bool:
        """Whether this open local root is kept whatever happens; the rest is known only at its end."""
        trace = self._roots.get(root.span_id)
        return ratio_keeps(root.trace_id, self._ratio) or (trace is not None and trace.parent_sampled)

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Open a local trace, or join the parent's."""
        span_id = span.get_span_context().span_id
        with self._lock:
            if span.parent is None or span.parent.is_remote:
                started = span.start_time or 0
                self._make_room(started)
                trace = _LocalTrace(started, span.parent is not None and span.parent.trace_flags.sampled, [span_id])
                self._roots[span_id] = self._trace_of[span_id] = trace
            elif len(self._trace_of) < self._max_spans and (joined := self._trace_of.get(span.parent.span_id)):
                joined.ids.append(span_id)
                self._trace_of[span_id] = joined

    def on_end(self, span: ReadableSpan) -> None:
        """Buffer a span; with a local root, decide."""
        context = span.get_span_context()
        if context is None:
            return
        with self._lock:
            trace = self._trace_of.get(context.span_id)
            if trace is None:
                self.dropped["orphaned"] += 1
                return
            if context.span_id not in self._roots:
                trace.spans.append(span)
                return
            self._forget(context.span_id, trace)
        self._finish(span, trace)

    def shutdown(self) -> None:
        """Give up what is open: its root will not end any more."""
        with self._lock:
            for root in list(self._roots):
                self._give_up(root)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Nothing can be decided early."""
        return True

    def _finish(self, root: ReadableSpan, trace: _LocalTrace) -> None:
        reason = self._reason_to_keep(root, trace)
        if not reason:
            return
        told = trace.story.told(root) if trace.story is not None else Told()
        spans = [_with(root, told, reason), *told.spans, *trace.spans]
        if not self._sink(spans):
            self.dropped["refused"] += len(spans)

    def _reason_to_keep(self, root: ReadableSpan, trace: _LocalTrace) -> str:
        if root.status.status_code is StatusCode.ERROR:
            return "error"
        if trace.story is not None and (reason := trace.story.reason_to_keep()):
            return reason
        if any(span.status.status_code is StatusCode.ERROR for span in trace.spans):
            return "error"
        if (root.end_time or 0) - (root.start_time or 0) > self._slow_nanoseconds:
            return "slow"
        if trace.parent_sampled:
            return "parent"
        context = root.get_span_context()
        return "ratio" if context is not None and ratio_keeps(context.trace_id, self._ratio) else ""

    def _make_room(self, now: int) -> None:
        while self._roots:
            oldest = next(iter(self._roots))
            abandoned = now - self._roots[oldest].started > _ABANDONED_AFTER
            if not abandoned and len(self._roots) < self._max_traces:
                return
            self._give_up(oldest)

    def _give_up(self, root: int) -> None:
        trace = self._roots[root]
        self.dropped["abandoned"] += len(trace.spans)
        self._forget(root, trace)

    def _forget(self, root: int, trace: _LocalTrace) -> None:
        del self._roots[root]
        for span_id in trace.ids:
            del self._trace_of[span_id]


def _with(root: ReadableSpan, told: Told, reason: str) -> ReadableSpan:
    return ReadableSpan(
        name=root.name,
        context=root.get_span_context(),
        parent=root.parent,
        resource=root.resource,
        attributes={**(root.attributes or {}), **told.attributes, semconv.SAMPLING_REASON: reason},
        events=(*root.events, *told.events),
        links=root.links,
        kind=root.kind,
        status=root.status,
        start_time=root.start_time,
        end_time=root.end_time,
        instrumentation_scope=root.instrumentation_scope,
    )
