"""Rows of figures, what is claimed of them, and the table and file they end in."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(slots=True)
class Row:
    """One scenario's figures by name, units in the names; `misses` are the claims that do not hold."""

    scenario: str
    figures: dict[str, Any] = field(default_factory=dict)
    misses: list[str] = field(default_factory=list)

    def claim(self, holds: bool, otherwise: str) -> None:
        """Note a miss unless this holds."""
        if not holds:
            self.misses.append(otherwise)

    def aim(self, name: str, value: float, most: float) -> None:
        """A figure with its aim: told, and never a miss, because machines are shared and noisy."""
        self.figures[name] = round(value, 2)
        self.figures[f"{name} aim"] = f"<= {most:g}, {'met' if value <= most else 'not met'}"


def table(rows: Sequence[Row]) -> Iterator[str]:
    """Every row: its verdict, its figures, its misses."""
    for row in rows:
        yield f"\n{'MISS' if row.misses else 'ok':5}{row.scenario}"
        yield from (f"       {name:52}{_told(value)}" for name, value in row.figures.items())
        yield from (f"     ! {miss}" for miss in row.misses)


def write_json(
    name: str,
    rows: Sequence[Row],
    file: Path,
    *,
    command: str,
    seconds: float,
    parameters: Mapping[str, Any] | None = None,
) -> None:
    """Put the rows of one scenario into the file, in place of its earlier ones; those of others stay."""
    file.parent.mkdir(parents=True, exist_ok=True)
    content = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    content[name] = {
        "passes": not any(row.misses for row in rows),
        "command": command,
        **({"parameters": dict(parameters)} if parameters else {}),
        "seconds": round(seconds),
        "cpus": os.cpu_count(),
        "load_average": [round(load, 1) for load in os.getloadavg()],
        "rows": [{"scenario": row.scenario, "misses": row.misses, **row.figures} for row in rows],
    }
    file.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _told(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_told(each)}" for name, each in value.items())
    return f"{value:,}" if isinstance(value, int | float) else str(value)
