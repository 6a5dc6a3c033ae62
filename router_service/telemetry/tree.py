"""Traces for people: a collector that keeps finished spans, and a drawing of a trace as an indented tree."""

from __future__ import annotations

import threading
from collections import OrderedDict, defaultdict
from collections.abc import Iterable, Iterator, Sequence

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import StatusCode, format_trace_id
from opentelemetry.util.types import AttributeValue

from router_service.telemetry import semconv

_SHOWN = {
    semconv.ROUTE_RULE: "rule",
    semconv.ROUTE_COMPLEXITY: "complexity",
    semconv.ROUTE_CANDIDATES: "candidates",
    semconv.ROUTE_REJECTED: "rejected",
    semconv.FEATURE: "feature",
    semconv.TIER: "tier",
    semconv.ATTEMPT_REASON: "reason",
    semconv.ERROR_TYPE: "error",
    semconv.USAGE_INPUT: "in",
    semconv.USAGE_OUTPUT: "out",
    semconv.COST_TOTAL: "cost",
    semconv.REQUEST_COST_TOTAL: "cost",
    semconv.REQUEST_COST_SAVED: "saved",
    semconv.FALLBACK_PATH: "path",
    semconv.RPC_STATUS: "status",
    semconv.SAMPLING_REASON: "kept",
}
_COSTS = frozenset({semconv.COST_TOTAL, semconv.REQUEST_COST_TOTAL, semconv.REQUEST_COST_SAVED})


class SpanCollector(SpanExporter):
    """Keeps the spans of the last `limit` traces, by trace id in hex."""

    def __init__(self, limit: int = 1000) -> None:
        self._limit = limit
        self._traces: OrderedDict[str, list[ReadableSpan]] = OrderedDict()
        self._lock = threading.Lock()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Keep spans."""
        with self._lock:
            for span in spans:
                context = span.get_span_context()
                if context is not None:
                    self._traces.setdefault(format_trace_id(context.trace_id), []).append(span)
            while len(self._traces) > self._limit:
                self._traces.popitem(last=False)
        return SpanExportResult.SUCCESS

    def trace(self, trace_id: str) -> list[ReadableSpan]:
        """The finished spans of a trace, empty where there are none."""
        with self._lock:
            return list(self._traces.get(trace_id, ()))

    @property
    def spans(self) -> list[ReadableSpan]:
        """All kept spans, trace by trace."""
        with self._lock:
            return [span for spans in self._traces.values() for span in spans]

    def shutdown(self) -> None:
        """What was kept stays readable."""

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Nothing is queued."""
        return True


def draw(spans: Iterable[ReadableSpan]) -> str:
    """The spans of one trace as a tree, a line each: name, kind, duration, an error, key attributes; events beneath.

    A span whose parent is not among them is drawn as a root.
    """
    spans = sorted(spans, key=lambda span: span.start_time or 0)
    ids = {_span_id(span) for span in spans}
    children: dict[int | None, list[ReadableSpan]] = defaultdict(list)
    for span in spans:
        parent = span.parent.span_id if span.parent is not None else None
        children[parent if parent in ids else None].append(span)
    lines = []
    for root in children[None]:
        lines.append(_line(root))
        lines += _below(root, children, "")
    return "\n".join(lines)


def _below(span: ReadableSpan, children: dict[int | None, list[ReadableSpan]], indent: str) -> Iterator[str]:
    below = children.get(_span_id(span), [])
    bar = "│  " if below else "   "
    for event in span.events:
        after = (event.timestamp - (span.start_time or 0)) / 1e6
        yield f"{indent}{bar}· {event.name} after {after:.1f} ms"
    for child in below:
        last = child is below[-1]
        yield f"{indent}{'└─ ' if last else '├─ '}{_line(child)}"
        yield from _below(child, children, indent + ("   " if last else "│  "))


def _line(span: ReadableSpan) -> str:
    milliseconds = ((span.end_time or 0) - (span.start_time or 0)) / 1e6
    attributes = span.attributes or {}
    shown = [
        f"{label}={_value(key, attributes[key])}"
        for key, label in _SHOWN.items()
        if attributes.get(key) not in (None, "", ())
    ]
    failed = " ERROR" if span.status.status_code is StatusCode.ERROR else ""
    return f"{span.name}  {span.kind.name}  {milliseconds:.1f} ms{failed}" + (f"  {' '.join(shown)}" if shown else "")


def _value(key: str, value: AttributeValue) -> str:
    if isinstance(value, float) and key in _COSTS:
        return f"${value:.6f}"
    if isinstance(value, tuple):
        separator = " → " if key == semconv.FALLBACK_PATH else ","
        return separator.join(str(item) for item in value)
    return value if isinstance(value, str) else repr(value)


def _span_id(span: ReadableSpan) -> int | None:
    context = span.get_span_context()
    return context.span_id if context is not None else None
