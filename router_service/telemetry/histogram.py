"""Histograms of plain integers, which readers find among the SDK's metrics when they collect.

The SDK's own histogram hashes a value's attributes each time, about 6 µs: seven values a call made it the dearest part
of telemetry. What leaves the process is the same.
"""

from __future__ import annotations

import threading
import time
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import replace
from math import inf
from typing import Any

from opentelemetry.sdk.metrics import Histogram as SdkHistogram
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    HistogramDataPoint,
    Metric,
    MetricReader,
    MetricsData,
    ScopeMetrics,
)
from opentelemetry.sdk.metrics.export import Histogram as HistogramData

_MAX_LABEL_SETS = 2000
_OVERFLOW = {"otel.metric.overflow": True}

Labels = tuple[str, ...]


class _Point:
    """The values of one set of labels."""

    __slots__ = ("buckets", "largest", "smallest", "started", "total")

    def __init__(self, buckets: int, started: int) -> None:
        self.buckets = [0] * buckets
        self.total: float = 0
        self.smallest = inf
        self.largest = -inf
        self.started = started


class Histogram:
    """How often values fell between `bounds`, by label values; label sets beyond a limit are counted together.

    A label whose value is empty is left out. `now` is nanoseconds since the epoch.
    """

    def __init__(
        self, name: str, unit: str, bounds: Sequence[float], *keys: str, now: Callable[[], int] = time.time_ns
    ) -> None:
        self._name = name
        self._unit = unit
        self._bounds = tuple(bounds)
        self._keys = keys
        self._now = now
        self._points: dict[Labels, _Point] = {}
        self._lock = threading.Lock()

    def record(self, value: float, *labels: str) -> None:
        """Count a value under these label values, given in the order of the keys."""
        with self._lock:
            point = self._points.get(labels)
            if point is None:
                point = self._new_point(labels)
            point.buckets[bisect_left(self._bounds, value)] += 1
            point.total += value
            point.smallest = min(point.smallest, value)
            point.largest = max(point.largest, value)

    def collect(self, temporality: AggregationTemporality) -> Metric | None:
        """The counts so far, or since the last time where they are to be deltas. Called from the exporter's thread."""
        now = self._now()
        with self._lock:
            points = [self._data_point(labels, point, now) for labels, point in self._points.items()]
            if temporality is AggregationTemporality.DELTA:
                self._points.clear()
        if not points:
            return None
        return Metric(self._name, "", self._unit, HistogramData(points, temporality))

    def _new_point(self, labels: Labels) -> _Point:
        if len(self._points) >= _MAX_LABEL_SETS:
            labels = ()
        return self._points.setdefault(labels, _Point(len(self._bounds) + 1, self._now()))

    def _data_point(self, labels: Labels, point: _Point, now: int) -> HistogramDataPoint:
        if self._keys and not labels:
            named: dict[str, Any] = _OVERFLOW
        else:
            named = {key: label for key, label in zip(self._keys, labels, strict=True) if label}
        return HistogramDataPoint(
            attributes=named,
            start_time_unix_nano=point.started,
            time_unix_nano=now,
            count=sum(point.buckets),
            sum=point.total,
            bucket_counts=tuple(point.buckets),
            explicit_bounds=self._bounds,
            min=point.smallest,
            max=point.largest,
        )


def prefers_deltas(reader: MetricReader) -> bool:
    """Whether a reader wants of histograms only what is new."""
    return _temporality(reader) is AggregationTemporality.DELTA


def _temporality(reader: MetricReader) -> AggregationTemporality:
    return next(
        wanted for kind, wanted in reader._instrument_class_temporality.items() if issubclass(kind, SdkHistogram)
    )


def show_histograms(reader: MetricReader, scope: str, histograms: Sequence[Histogram]) -> None:
    """Have a reader that a `MeterProvider` serves find these histograms too, beside the other metrics of `scope`.

    The SDK takes no metrics made elsewhere, so this steps between the reader and its provider. A reader that wants
    deltas must be the only one.
    """
    collect: Any = reader._collect
    temporality = _temporality(reader)

    def collect_all(collecting: MetricReader, **options: Any) -> MetricsData | None:
        data: MetricsData | None = collect(collecting, **options)
        if data is None:
            return None
        found = [metric for histogram in histograms if (metric := histogram.collect(temporality)) is not None]
        return MetricsData(
            [
                replace(
                    resource,
                    scope_metrics=[
                        _with(found, each) if each.scope.name == scope else each for each in resource.scope_metrics
                    ],
                )
                for resource in data.resource_metrics
            ]
        )

    reader._set_collect_callback(collect_all)  # type: ignore[arg-type]  # its hint leaves the timeout out


def _with(found: Sequence[Metric], metrics: ScopeMetrics) -> ScopeMetrics:
    return replace(metrics, metrics=[*metrics.metrics, *found])
