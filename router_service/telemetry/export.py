"""Ways out for kept spans: in batches from a thread, or at once. What cannot leave is counted, and logged rarely."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence

from opentelemetry.metrics import MeterProvider
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

_QUEUE_SPANS = 4096
_BATCH_SPANS = 512


class WatchedExporter(SpanExporter):
    """Counts what an exporter took from the queue, and what of it was lost."""

    def __init__(self, exporter: SpanExporter) -> None:
        self.taken = 0
        self.lost = 0
        self._exporter = exporter

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Export, counting."""
        self.taken += len(spans)
        result = SpanExportResult.FAILURE
        try:
            result = self._exporter.export(spans)
        finally:
            if result is not SpanExportResult.SUCCESS:
                self.lost += len(spans)
        return result

    def shutdown(self) -> None:
        """Close the exporter."""
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Flush the exporter."""
        return self._exporter.force_flush(timeout_millis)


class BatchSink:
    """Queues kept traces for a thread that encodes and exports them; a trace without room is refused whole."""

    def __init__(self, exporter: SpanExporter, meter_provider: MeterProvider) -> None:
        self._exporter = WatchedExporter(exporter)
        self._processor = BatchSpanProcessor(
            self._exporter,
            max_queue_size=_QUEUE_SPANS,
            max_export_batch_size=_BATCH_SPANS,
            meter_provider=meter_provider,
        )
        self._accepted = 0

    @property
    def lost(self) -> int:
        """How many spans the exporter could not deliver."""
        return self._exporter.lost

    def __call__(self, spans: Sequence[ReadableSpan]) -> bool:
        """Queue a trace."""
        if self._accepted - self._exporter.taken + len(spans) > _QUEUE_SPANS:
            return False
        self._accepted += len(spans)
        for span in spans:
            self._processor.on_end(span)
        return True

    def flush(self) -> None:
        """Export what is queued. Blocks."""
        self._processor.force_flush()

    def close(self) -> None:
        """Export what is queued and close. Blocks."""
        self._processor.shutdown()  # type: ignore[no-untyped-call]


class DirectSink:
    """Hands kept traces to an exporter at once, on the thread that ended them: for exporters that only keep them."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter

    @property
    def lost(self) -> int:
        """Nothing is lost behind the sampler's back."""
        return 0

    def __call__(self, spans: Sequence[ReadableSpan]) -> bool:
        """Export a trace. An exporter that raises must not fail the RPC whose span just ended."""
        try:
            return self._exporter.export(spans) is SpanExportResult.SUCCESS
        except Exception:
            return False

    def flush(self) -> None:
        """Nothing is queued."""

    def close(self) -> None:
        """Close the exporter."""
        self._exporter.shutdown()


class Rarely(logging.Filter):
    """Lets every kind of message through once in `seconds`: a collector that is away is no news at each batch."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._seconds = seconds
        self._clock = clock
        self._last: dict[object, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether this kind of message was last seen long enough ago."""
        now = self._clock()
        last = self._last.get(record.msg)
        if last is not None and now - last < self._seconds:
            return False
        self._last[record.msg] = now
        return True
