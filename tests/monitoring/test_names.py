"""Every name in the dashboard and the alerts is one that a live router's /metrics exposes."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml
from queries import ALERTS, DASHBOARD, OF_ALL, alerts, generated, legends, metrics_of, panels, unknown
from watched_router import watched_router

REFERENCE = Path(__file__).parents[2] / "docs" / "observability.md"
UP = {"up": frozenset[str]()}
"""What Prometheus says of a scrape."""


@pytest.fixture(scope="module")
def exposed(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, frozenset[str]]:
    return {**UP, **asyncio.run(_exposed(tmp_path_factory.mktemp("router")))}


async def _exposed(folder: Path) -> Mapping[str, frozenset[str]]:
    async with watched_router(folder) as router:
        await router.traffic()
        return await router.metrics()


def test_the_alerts_and_the_dashboard_ask_for_what_is_exposed(exposed: Mapping[str, frozenset[str]]) -> None:
    asked = {**alerts(), **panels()}
    assert len(asked) > 60
    wrong = {name: found for name, query in asked.items() if (found := unknown(query, exposed))}
    assert not wrong


def test_what_is_exposed_is_shown(exposed: Mapping[str, frozenset[str]]) -> None:
    """A metric that nobody looks at is a panel that was forgotten."""
    shown = {_family(name) for query in [*panels().values(), *alerts().values()] for name in metrics_of(query)}
    assert {_family(name) for name in exposed} - shown == set()


def test_the_reference_lists_each_metric_with_its_labels(exposed: Mapping[str, frozenset[str]]) -> None:
    rows = re.findall(r"^\| `(\w+)` \| (counter|gauge|histogram) \| ([^|]*) \|", REFERENCE.read_text(), re.MULTILINE)
    listed = {
        f"{name}_count" if kind == "histogram" else name: frozenset(re.findall(r"`(\w+)`", labels))
        for name, kind, labels in rows
    }
    assert listed == {name: exposed[name] - OF_ALL if name in exposed else None for name in listed}
    assert all("llm_router_worker" in labels for name, labels in exposed.items() if name != "up")
    assert {_family(name) for name in exposed} - {_family(name) for name in listed} == {"up"}


def test_a_name_that_is_not_exposed_is_found(exposed: Mapping[str, frozenset[str]]) -> None:
    assert unknown("sum by (llm_router_feature) (rate(llm_router_requests_total[5m]))", exposed) == []
    assert unknown("rate(llm_router_request_total[5m])", exposed) == ["there is no metric llm_router_request_total"]
    assert unknown('llm_router_requests_total{feature="a"}', exposed) == [
        "llm_router_requests_total has no label feature"
    ]
    assert unknown("1 - sum by (le) (llm_router_requests_total)", exposed) == [
        "none of the metrics summed by le has that label"
    ]


def test_the_dashboard_is_what_its_table_makes() -> None:
    assert json.loads(DASHBOARD.read_text()) == generated(), "run python deploy/grafana/dashboard.py"


def test_legends_show_labels_that_the_query_keeps() -> None:
    queries = panels()
    for name, labels in legends().items():
        kept = re.findall(r"by \(([^)]*)\)", queries[name])
        assert set(labels) <= {label.strip() for found in kept for label in found.split(",")}, name


def test_alerts_say_what_is_wrong_and_what_to_do() -> None:
    tested = ALERTS.with_name("alerts_test.yaml").read_text()
    for group in yaml.safe_load(ALERTS.read_text())["groups"]:
        for rule in group["rules"]:
            assert set(rule["annotations"]) == {"summary", "description"}, rule["alert"]
            assert rule["labels"]["severity"] in {"page", "ticket"}
            assert f'alertname="{rule["alert"]}", severity="{rule["labels"]["severity"]}"' in tested
            assert re.search(rf"`{rule['alert']}` .* {rule['labels']['severity']} \|", REFERENCE.read_text())


def _family(name: str) -> str:
    return re.sub(r"_(total|bucket|count|sum|created)$", "", name)
