"""Makes Grafana's JSON of dashboard.yaml: `dashboard.py > dashboards/llmrouter.json`.

A test checks that the file is current, and that a live router exposes every name in it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import yaml

_ROWS = Path(__file__).parent / "dashboard.yaml"
_CONDITIONS = 'job=~"$job",instance=~"$instance"'
_SOURCE = {"type": "prometheus", "uid": "${datasource}"}
_COLUMNS, _HEIGHT, _WIDTH = 24, 8, 8


def dashboard() -> dict[str, Any]:
    """As Grafana imports it."""
    return {
        "uid": "llmrouter",
        "title": "llmrouter",
        "tags": ["llm", "llmrouter"],
        "schemaVersion": 39,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {
            "list": [
                {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus"},
                _variable("job", "label_values(llm_router_active_requests, job)"),
                _variable("instance", 'label_values(llm_router_active_requests{job=~"$job"}, instance)'),
            ]
        },
        "panels": _panels(yaml.safe_load(_ROWS.read_text(encoding="utf-8"))),
    }


def _panels(rows: dict[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Rows from the top, each filled from the left."""
    panels: list[dict[str, Any]] = []
    y = 0
    for title, row in rows.items():
        panels.append({"type": "row", "title": title, "collapsed": False, "panels": [], **_place(0, y, _COLUMNS, 1)})
        y, x = y + 1, 0
        for panel in row:
            width = panel.get("width", _WIDTH)
            if x + width > _COLUMNS:
                x, y = 0, y + _HEIGHT
            panels.append({**_panel(panel), **_place(x, y, width, _HEIGHT)})
            x += width
        y += _HEIGHT
    return [{"id": number, **panel} for number, panel in enumerate(panels, 1)]


def _place(x: int, y: int, width: int, height: int) -> dict[str, Any]:
    return {"gridPos": {"x": x, "y": y, "w": width, "h": height}}


def _panel(panel: dict[str, Any]) -> dict[str, Any]:
    kind, unit = panel.get("kind", "timeseries"), panel["unit"]
    bounds = {"min": 0, "max": 1} if kind == "bargauge" else {"min": 0} if unit == "percentunit" else {}
    return {
        "type": kind,
        "title": panel["title"],
        **({"description": panel["about"]} if "about" in panel else {}),
        "datasource": _SOURCE,
        "fieldConfig": {"defaults": {"unit": unit, **bounds}, "overrides": []},
        "targets": [
            {
                "refId": chr(ord("A") + place),
                "datasource": _SOURCE,
                "expr": asked["query"].replace("%", _CONDITIONS).replace("[r]", "[$__rate_interval]"),
                "legendFormat": asked.get("legend", ""),
            }
            for place, asked in enumerate(panel["queries"])
        ],
    }


def _variable(name: str, query: str) -> dict[str, Any]:
    return {
        "name": name,
        "type": "query",
        "datasource": _SOURCE,
        "query": {"query": query, "refId": name},
        "refresh": 2,
        "includeAll": True,
        "multi": True,
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
    }


if __name__ == "__main__":
    json.dump(dashboard(), sys.stdout, indent=1, ensure_ascii=False)
    sys.stdout.write("\n")
