#!/usr/bin/env python3
"""Draws a trace as a picture (SVG), read from Jaeger's API: `draw.py TRACE_ID > trace.svg`, or without an id the
latest trace of the router. It needs nothing but Python, for where Jaeger's own pages are not built in.
"""

from __future__ import annotations

import argparse
import json
import sys
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

Span = dict[str, Any]
Tags = dict[str, Any]

_WIDTH, _NAMES, _ROW, _TOP = 1040, 260, 30, 62
_BARS = 400
_COLOURS = {
    "caller": "#7a7f87",
    "rpc": "#2b6cb0",
    "route": "#0f8b8d",
    "attempt": "#3f8f4f",
    "question": "#b7791f",
    "gate": "#7b5ea7",
    "error": "#c53030",
}
_STYLE = (
    "text{font:13px system-ui,'Segoe UI',Helvetica,Arial,sans-serif;fill:#1f2933}"
    ".s{font-size:12px;fill:#52606d}.h{font-weight:600;font-size:14px}.e{fill:#c53030}"
)


def main() -> int:
    """Read, draw, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("trace", nargs="?", help="the trace's id; by default the latest of the service")
    parser.add_argument("--service", default="llmrouter")
    parser.add_argument("--jaeger", default="http://localhost:16686", help="where Jaeger's API is")
    parser.add_argument("--out", type=Path, help="a file instead of stdout")
    asked = parser.parse_args()
    try:
        picture = draw(_trace(asked.jaeger, asked.trace, asked.service))
    except (OSError, LookupError) as error:
        print(f"{asked.jaeger}: {error}", file=sys.stderr)  # noqa: T201
        return 1
    if asked.out is None:
        sys.stdout.write(picture)
    else:
        asked.out.write_text(picture, encoding="utf-8")
    return 0


def _trace(jaeger: str, trace_id: str | None, service: str) -> dict[str, Any]:
    latest = f"?{urllib.parse.urlencode({'service': service, 'limit': 1})}"
    try:
        with urllib.request.urlopen(f"{jaeger}/api/traces{f'/{trace_id}' if trace_id else latest}") as answer:  # noqa: S310
            found = json.load(answer)["data"]
    except urllib.error.HTTPError as error:
        with error:
            raise LookupError(f"there is no trace {trace_id} ({error.code})") from error
    if not found:
        raise LookupError(f"there is no trace {trace_id or f'of the service {service}'}")
    trace: dict[str, Any] = found[0]
    return trace


def draw(trace: dict[str, Any]) -> str:
    """A trace, as Jaeger's `/api/traces` gives it, as SVG: a row for each span, indented below its parent."""
    spans = trace["spans"]
    begin = min(span["startTime"] for span in spans)
    length = max(1, max(span["startTime"] + span["duration"] for span in spans) - begin)
    rows = list(_rows(spans))
    height = _TOP + _ROW * len(rows) + 14
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}">',
        f"<style>{_STYLE}</style>",
        f'<rect width="{_WIDTH}" height="{height}" rx="6" fill="#ffffff"/>',
        f'<text class="h" x="16" y="26">Trace {escape(trace["traceID"][:16])}…</text>',
        f'<text class="s" x="16" y="44">{len(spans)} spans, {_time(length)}</text>',
    ]
    for quarter in range(5):
        x = _NAMES + _BARS * quarter / 4
        parts.append(f'<line x1="{x}" y1="{_TOP - 8}" x2="{x}" y2="{height - 10}" stroke="#e4e7eb"/>')
        parts.append(
            f'<text class="s" x="{x}" y="{_TOP - 14}" text-anchor="middle">{_time(length * quarter / 4)}</text>'
        )
    for place, (span, depth) in enumerate(rows):
        service = trace["processes"][span["processID"]]["serviceName"]
        start = (span["startTime"] - begin) / length
        parts += _row(span, _TOP + _ROW * place, depth, service, start, span["duration"] / length)
    return "\n".join([*parts, "</svg>", ""])


def _rows(spans: list[Span]) -> Any:
    """Spans below their parents, in the order they began, and how deep."""
    known = {span["spanID"] for span in spans}
    children: dict[str, list[Span]] = {}
    for span in sorted(spans, key=lambda span: span["startTime"]):
        above = [link["spanID"] for link in span["references"] if link["refType"] == "CHILD_OF"]
        children.setdefault(above[0] if above and above[0] in known else "", []).append(span)

    def below(parent: str, depth: int) -> Any:
        for span in children.get(parent, ()):
            yield span, depth
            yield from below(span["spanID"], depth + 1)

    return below("", 0)


def _row(span: Span, y: int, depth: int, service: str, start: float, share: float) -> list[str]:
    tags = {tag["key"]: tag["value"] for tag in span["tags"]}
    kind = _kind(span["operationName"], tags)
    failed = tags.get("otel.status_code") == "ERROR"
    colour = _COLOURS["error" if failed else kind]
    x, width = _NAMES + _BARS * start, max(3.0, _BARS * share)
    middle = y + _ROW / 2 + 4
    told = " · ".join(_facts(span, tags, kind, service))
    return [
        f"<g><title>{escape(span['operationName'])}</title>",
        f'<text x="{16 + 16 * depth}" y="{middle}">{escape(_short(span["operationName"], 44 - 2 * depth))}</text>',
        f'<rect class="bar" x="{x:.1f}" y="{y + 6}" width="{width:.1f}" height="{_ROW - 12}" rx="2" fill="{colour}"/>',
        f'<text class="s{" e" if failed else ""}" x="{_NAMES + _BARS + 14}" y="{middle}">{escape(told)}</text></g>',
    ]


def _kind(name: str, tags: Tags) -> str:
    reason = tags.get("llm_router.attempt.reason")
    if reason is not None:
        return "question" if reason in {"judge", "classifier"} else "attempt"
    if "rpc.method" in tags or "http.route" in tags:
        return "rpc"
    return {"llm_router.route": "route", "llm_router.quality_gate": "gate"}.get(name, "caller")


def _facts(span: Span, tags: Tags, kind: str, service: str) -> list[str]:
    """What is worth reading beside a bar."""
    told = [_time(span["duration"])]
    if kind == "caller":
        told.append(service)
    elif kind == "rpc":
        told += [f"{tags.get('rpc.response.status_code', '')}", _usd(tags.get("llm_router.request.cost.total"))]
    elif kind == "route":
        told.append(f"rule {tags.get('llm_router.route.rule', '-')}")
    elif kind == "gate":
        refused = json.loads(tags.get("llm_router.gate.refused_by", "[]"))
        told.append("passed" if tags.get("llm_router.gate.passed") else f"refused by {', '.join(refused)}")
    else:
        told.append(str(tags["llm_router.attempt.reason"]))
        told.append(str(tags.get("error.type", "")))
        if "gen_ai.usage.input_tokens" in tags:
            told.append(f"{tags['gen_ai.usage.input_tokens']}+{tags['gen_ai.usage.output_tokens']} tokens")
        told.append(_usd(tags.get("llm_router.cost.total")))
    return [part for part in told if part]


def _usd(amount: float | None) -> str:
    return "" if amount is None else f"${amount:.6f}"


def _time(microseconds: float) -> str:
    return f"{microseconds / 1e6:.2f} s" if microseconds >= 1e6 else f"{microseconds / 1e3:.4g} ms"


def _short(name: str, length: int) -> str:
    name = name.replace("llmrouter.v1.RouterService/", "RouterService/")
    return name if len(name) <= length else f"{name[: length - 1]}…"


if __name__ == "__main__":
    sys.exit(main())
