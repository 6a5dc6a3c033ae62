"""The queries of the dashboard and the alerts, and which names they use, as a parser of PromQL reads them."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import promql_parser as promql
import yaml

DEPLOY = Path(__file__).parents[2] / "deploy"
ALERTS = DEPLOY / "prometheus" / "alerts.yaml"
DASHBOARD = DEPLOY / "grafana" / "dashboards" / "llmrouter.json"
OF_ALL = frozenset({"job", "instance", "llm_router_worker"})
"""Labels of every series: Prometheus adds two, and a router of several workers which of them it is."""
_VARIABLES = {"$__rate_interval": "5m", "$__range": "1h", "$job": ".*", "$instance": ".*"}


def alerts() -> dict[str, str]:
    """Each alert's query, by its name."""
    groups = yaml.safe_load(ALERTS.read_text())["groups"]
    return {rule["alert"]: rule["expr"] for group in groups for rule in group["rules"]}


def panels() -> dict[str, str]:
    """Each query of the dashboard, by the panel's title and the query's letter, with its variables filled in."""
    found: dict[str, str] = {}
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        for target in panel.get("targets", ()):
            query = target["expr"]
            for name, value in _VARIABLES.items():
                query = query.replace(name, value)
            found[f"{panel['title']} {target['refId']}"] = query
    return found


def legends() -> dict[str, list[str]]:
    """The labels that each query's legend shows."""
    return {
        f"{panel['title']} {target['refId']}": [
            part.partition("}}")[0] for part in target["legendFormat"].split("{{")[1:]
        ]
        for panel in json.loads(DASHBOARD.read_text())["panels"]
        for target in panel.get("targets", ())
    }


def generated() -> Any:
    """The dashboard as its table makes it now."""
    spec = importlib.util.spec_from_file_location("dashboard", DEPLOY / "grafana" / "dashboard.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.dashboard()


def unknown(query: str, exposed: Mapping[str, frozenset[str]]) -> list[str]:
    """What a query asks for that is not exposed: names of metrics, and labels that none of its metrics has."""
    return list(_unknown(promql.parse(query), exposed))


def metrics_of(query: str) -> set[str]:
    """The metrics that a query reads."""
    return {selector.name for selector in _selectors(promql.parse(query))}


def _unknown(node: Any, exposed: Mapping[str, frozenset[str]]) -> Iterator[str]:
    if isinstance(node, promql.VectorSelector):
        labels = exposed.get(node.name)
        if labels is None:
            yield f"there is no metric {node.name}"
        else:
            for matcher in node.matchers.matchers:
                if matcher.name not in labels | OF_ALL:
                    yield f"{node.name} has no label {matcher.name}"
    elif isinstance(node, promql.AggregateExpr) and node.modifier is not None:
        known = set(OF_ALL)
        for selector in _selectors(node):
            known |= exposed.get(selector.name, frozenset())
        for label in node.modifier.labels:
            if label not in known:
                yield f"none of the metrics summed by {label} has that label"
    for part in _parts(node):
        yield from _unknown(part, exposed)


def _selectors(node: Any) -> Iterator[Any]:
    if isinstance(node, promql.VectorSelector):
        yield node
    for part in _parts(node):
        yield from _selectors(part)


def _parts(node: Any) -> list[Any]:
    match node:
        case promql.BinaryExpr():
            return [node.lhs, node.rhs]
        case promql.MatrixSelector():
            return [node.vector_selector]
        case promql.Call():
            return list(node.args)
        case promql.AggregateExpr() | promql.ParenExpr() | promql.UnaryExpr() | promql.SubqueryExpr():
            return [node.expr]
        case promql.VectorSelector() | promql.NumberLiteral() | promql.StringLiteral():
            return []
    raise AssertionError(f"a query has a part that nobody reads: {node!r}")
