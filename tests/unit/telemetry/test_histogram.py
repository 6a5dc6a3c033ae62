from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.metrics import Histogram as SdkHistogram
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import AggregationTemporality, HistogramDataPoint, InMemoryMetricReader, Metric
from opentelemetry.sdk.metrics.export import Histogram as HistogramData
from opentelemetry.sdk.metrics.view import ExplicitBucketHistogramAggregation, View

from router_service.telemetry.histogram import Histogram, show_histograms

BOUNDS = (0.0, 0.125, 1.0, 10.0)
TEMPORALITIES = [AggregationTemporality.CUMULATIVE, AggregationTemporality.DELTA]
Values = list[tuple[float, str]]
# Eighths, so that sums are exact whatever the order.
VALUES = st.lists(st.tuples(st.integers(0, 160).map(lambda eighths: eighths / 8), st.sampled_from("ab")))


def collected(reader: InMemoryMetricReader) -> Metric | None:
    data = reader.get_metrics_data()
    metrics = [m for r in data.resource_metrics for s in r.scope_metrics for m in s.metrics] if data else []
    return next((metric for metric in metrics if metric.name == "wait"), None)


def timeless(metric: Metric | None) -> Metric | None:
    """The metric with its points in order and without times."""
    if metric is None:
        return None
    assert isinstance(metric.data, HistogramData)
    points = [replace(point, start_time_unix_nano=0, time_unix_nano=0) for point in metric.data.data_points]
    points.sort(key=lambda point: sorted((point.attributes or {}).items()))
    return replace(metric, data=replace(metric.data, data_points=points))


def a_reader(temporality: AggregationTemporality) -> InMemoryMetricReader:
    return InMemoryMetricReader(preferred_temporality={SdkHistogram: temporality})


@pytest.mark.parametrize("temporality", TEMPORALITIES)
@given(batches=st.lists(VALUES, max_size=3))
def test_readers_find_what_the_sdks_histogram_would_have_shown(
    temporality: AggregationTemporality, batches: Sequence[Values]
) -> None:
    theirs, ours = a_reader(temporality), a_reader(temporality)
    view = View(instrument_name="wait", aggregation=ExplicitBucketHistogramAggregation(BOUNDS))
    instrument = (
        MeterProvider([theirs], views=[view], shutdown_on_exit=False).get_meter("scope").create_histogram("wait", "s")
    )
    histogram = Histogram("wait", "s", BOUNDS, "kind")
    MeterProvider([ours], shutdown_on_exit=False).get_meter("scope").create_counter("other").add(1)
    show_histograms(ours, "scope", [histogram])
    for batch in batches:
        for value, kind in batch:
            instrument.record(value, {"kind": kind})
            histogram.record(value, kind)
        assert timeless(collected(ours)) == timeless(collected(theirs))


def points(histogram: Histogram) -> Sequence[HistogramDataPoint]:
    metric = histogram.collect(AggregationTemporality.CUMULATIVE)
    assert metric is not None
    assert isinstance(metric.data, HistogramData)
    return metric.data.data_points


def test_a_point_says_from_when_to_when_it_counts() -> None:
    times = iter([100, 200, 300])
    histogram = Histogram("wait", "s", BOUNDS, "kind", now=lambda: next(times))
    histogram.record(1.0, "a")
    assert [(point.start_time_unix_nano, point.time_unix_nano) for point in points(histogram)] == [(100, 200)]
    assert [(point.start_time_unix_nano, point.time_unix_nano) for point in points(histogram)] == [(100, 300)]


def test_empty_labels_are_left_out() -> None:
    histogram = Histogram("wait", "s", BOUNDS, "kind", "error")
    histogram.record(1.0, "a", "")
    assert [point.attributes for point in points(histogram)] == [{"kind": "a"}]


def test_a_histogram_without_keys_has_no_labels_and_no_overflow() -> None:
    histogram = Histogram("wait", "s", BOUNDS)
    histogram.record(0.5)
    assert [(point.attributes, point.count) for point in points(histogram)] == [({}, 1)]


def test_label_sets_beyond_the_bound_are_counted_together() -> None:
    histogram = Histogram("wait", "s", BOUNDS, "kind")
    for number in range(2010):
        histogram.record(1.0, str(number))
    found = points(histogram)
    assert len(found) == 2001
    assert [(point.attributes, point.count) for point in found][-1] == ({"otel.metric.overflow": True}, 10)
