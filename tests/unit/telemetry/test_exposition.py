"""What Prometheus fetches is what the SDK's own reader finds."""

from __future__ import annotations

import re
from collections.abc import Mapping

import pytest
from opentelemetry.sdk.metrics import Histogram as SdkHistogram
from opentelemetry.sdk.metrics.export import AggregationTemporality, Histogram, InMemoryMetricReader, Sum
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text

from router_service.config.configuration import TelemetrySettings
from router_service.domain.limit import LimitCounts
from router_service.domain.receipt import ShadowCounts
from router_service.telemetry import semconv
from router_service.telemetry.setup import Telemetry

NUMBER = re.compile(r"^(\w+)(\{.*\})? (\S+)$", re.MULTILINE)


async def test_every_metric_is_exposed_with_its_type_and_labels() -> None:
    reader = InMemoryMetricReader()
    telemetry = Telemetry(TelemetrySettings(), metric_reader=reader, exposes_metrics=True)
    metrics = telemetry._metrics
    assert metrics is not None
    telemetry.observe_health(lambda: {"d": True})
    telemetry.observe_connections(lambda: {"p": (1, 2)})
    telemetry.observe_limits(lambda: LimitCounts(refusals={("b", "budget"): 1}, used={"b": 0.5}))
    telemetry.observe_shadows(lambda: ShadowCounts({("p/s", "answered"): 1}, {"p/s": 5}))
    for tally in [value for value in vars(metrics).values() if hasattr(value, "add")] + list(metrics._repeats.values()):
        tally.add(3, *[f"v{place}" for place in range(len(tally._keys))])
    for histogram in metrics.histograms:
        histogram.record(0.5, *["x" for _ in histogram._keys])
    text, kind = await telemetry.exposition("")
    data = reader.get_metrics_data()
    assert data is not None
    found = [metric for scope in data.resource_metrics[0].scope_metrics for metric in scope.metrics]
    exposed = {name for name, _, _ in NUMBER.findall(text.decode())}
    names = {value for key, value in vars(semconv).items() if key.startswith("METRIC_")}
    # Nothing was dropped, which is not a number either.
    assert {metric.name for metric in found} >= names - {semconv.METRIC_DROPPED_SPANS}
    for metric in found:
        [family] = [name for name in types(text) if matches(name, metric.name, metric.unit)]
        if isinstance(metric.data, Histogram):
            assert types(text)[family] == "histogram"
            assert f"{family}_count" in exposed
        elif isinstance(metric.data, Sum) and metric.data.is_monotonic:
            assert types(text)[family] == "counter"
        else:
            assert types(text)[family] == "gauge"
    point = re.search(r"^llm_router_requests_total\{(.*)\} 3\.0$", text.decode(), re.MULTILINE)
    assert point is not None
    labels = {"llm_router_feature", "llm_router_user_tier", "llm_router_route_rule", "llm_router_request_status"}
    assert set(re.findall(r'(\w+)="', point[1])) == labels
    assert kind.startswith("text/plain")
    assert b"# EOF" in (await telemetry.exposition("application/openmetrics-text; version=1.0.0"))[0]
    await telemetry.shutdown(timeout=60)


def types(text: bytes) -> dict[str, str]:
    return dict(re.findall(r"^# TYPE (\w+) (\w+)$", text.decode(), re.MULTILINE))


def matches(family: str, name: str, unit: str) -> bool:
    stem = name.replace(".", "_")
    return family.removesuffix("_total") in {stem, *(f"{stem}_{suffix}" for suffix in ("seconds", "bytes", "USD"))}


async def test_where_otlp_wants_deltas_no_part_of_a_histogram_is_shown(caplog: pytest.LogCaptureFixture) -> None:
    reader = InMemoryMetricReader(preferred_temporality={SdkHistogram: AggregationTemporality.DELTA})
    telemetry = Telemetry(TelemetrySettings(), metric_reader=reader, exposes_metrics=True)
    telemetry.observe_http("GET", "/", "200", "", 0.1)
    text, _ = await telemetry.exposition("")
    assert b"http_server_request_duration" not in text
    data = reader.get_metrics_data()
    assert data is not None
    assert "http.server.request.duration" in data.to_json()
    assert "OTLP alone" in caplog.text
    await telemetry.shutdown(timeout=60)


OPENMETRICS = "application/openmetrics-text; version=1.0.0"


class Pair:
    """Two workers, one of which may be away."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.other: Telemetry | None = None

    async def ask_others(self, question: bytes) -> Mapping[int, bytes | None]:
        return {3 - self.number: None if self.other is None else await self.other.tell(question)}


@pytest.mark.parametrize("accept", ["", OPENMETRICS])
async def test_a_worker_exposes_what_all_of_them_counted(accept: str) -> None:
    pairs = [Pair(1), Pair(2)]
    telemetries = [Telemetry(TelemetrySettings(), exposes_metrics=True, workers=pair) for pair in pairs]
    for worker, telemetry in enumerate(telemetries, 1):
        for _ in range(worker):
            telemetry.observe_http("GET", "/", "200", "", 0.1)
    # Only the second has this one, and a text that looks like the format's own lines.
    telemetries[1].observe_http("GET", "/\n# HELP x y\n# EOF", "200", "", 0.1)
    pairs[0].other, pairs[1].other = telemetries[1], telemetries[0]
    [(text, kind)] = {await telemetry.exposition(accept) for telemetry in telemetries}
    assert ("openmetrics" in kind) == (accept == OPENMETRICS)
    # OpenMetrics' own reader refuses what is out of order, twice there, or without its end.
    families = {family.name: family for family in (read_openmetrics if accept else read_text)(text.decode())}
    counts = [
        (sample.labels["llm_router_worker"], sample.labels["http_route"], sample.value)
        for sample in families["http_server_request_duration_seconds"].samples
        if sample.name.endswith("_count")
    ]
    assert counts == [("1", "/", 1.0), ("2", "/", 2.0), ("2", "/\n# HELP x y\n# EOF", 1.0)]
    alone = {
        sample.name
        for family in families.values()
        for sample in family.samples
        if "llm_router_worker" not in sample.labels
    }
    assert not alone
    assert up(text) == {"1": 1.0, "2": 1.0}

    # One that was started with another file may keep none.
    pairs[0].other = Telemetry(TelemetrySettings(), workers=pairs[1])
    without = (await telemetries[0].exposition(accept))[0]
    assert up(without) == {"1": 1.0, "2": 1.0}
    assert b'http_route="/",llm_router_worker="2"' not in without.replace(b", ", b",")

    pairs[0].other = None
    assert up((await telemetries[0].exposition(accept))[0]) == {"1": 1.0, "2": 0.0}
    for telemetry in telemetries:
        await telemetry.shutdown()


def up(text: bytes) -> dict[str, float]:
    found = re.findall(rb'^llm_router_worker_up\{llm_router_worker="(\d)"\} (\S+)$', text, re.MULTILINE)
    return {worker.decode(): float(value) for worker, value in found}
