"""The golden cases: read from the files beside this one and filled with what only a run knows."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
METHODS = ("Complete", "StreamComplete", "Route", "GetReceipt", "ListModels")

_CASE = {"name", "description", "router", "provider", "speed", "calls", "upstream"}
_CALL = {"method", "request", "timeoutMs", "apiKey", "requestId", "traceparent", "during", "want"}
_PLACE = re.compile(r"\$\{([\w.-]+)\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One case. `name` is "theme/name"; `calls` follow one another; `upstream` is what the provider must have seen.

    `router` changes the shared configuration, `provider` scripts the simulated provider's faults and `speed` its pace.
    """

    name: str
    description: str
    calls: list[dict[str, Any]]
    router: dict[str, Any] = field(default_factory=dict)
    provider: list[dict[str, Any]] = field(default_factory=list)
    speed: float | None = None
    upstream: list[dict[str, Any]] | None = None


def load() -> dict[str, Case]:
    """All cases by name, in the order of themes and files. Raises `ValueError` for one that is not well formed."""
    cases: dict[str, Case] = {}
    for file in sorted(FOLDER.glob("*.json")):
        for entry in json.loads(file.read_text("utf-8"))["cases"]:
            name = f"{file.stem}/{entry['name']}"
            if name in cases:
                raise ValueError(f"{file.name} has two cases named {entry['name']!r}")
            _check(name, entry)
            cases[name] = Case(**{**entry, "name": name})
    return cases


def filled(value: Any, known: Mapping[str, Any]) -> Any:
    """`value` with every `${path}` replaced from `known`, and every `{"$repeat": [text, times]}` written out.

    Raises `KeyError` for a path that leads nowhere.
    """
    if isinstance(value, str):
        whole = _PLACE.fullmatch(value)
        return _at(known, whole[1]) if whole else _PLACE.sub(lambda found: str(_at(known, found[1])), value)
    if isinstance(value, list):
        return [filled(one, known) for one in value]
    if isinstance(value, dict):
        if value.keys() == {"$repeat"}:
            text, times = value["$repeat"]
            return text * times
        return {key: filled(one, known) for key, one in value.items()}
    return value


def merged(base: Any, change: Any) -> Any:
    """`base` with the mappings of `change` laid over it; `null` removes a key, and "many" models are written out."""
    if not isinstance(base, dict) or not isinstance(change, dict):
        return change
    result = {key: value for key, value in base.items() if not (key in change and change[key] is None)}
    for key, value in change.items():
        if key == "$many":
            result |= {f"{value['name']}-{number:04d}": value["is"] for number in range(1, value["times"] + 1)}
        elif value is not None:
            result[key] = merged(result.get(key), value)
    return result


def _at(known: Mapping[str, Any], path: str) -> Any:
    place: Any = known
    for step in path.split("."):
        place = place[int(step)] if isinstance(place, list) else place[step]
    return place


def _check(name: str, entry: Mapping[str, Any]) -> None:
    if surplus := entry.keys() - _CASE:
        raise ValueError(f"The case {name} has no {sorted(surplus)}; it has {sorted(_CASE)}")
    if not entry.get("description") or not entry.get("calls"):
        raise ValueError(f"The case {name} needs a description and calls")
    for call in entry["calls"]:
        if surplus := call.keys() - _CALL:
            raise ValueError(f"A call of {name} has no {sorted(surplus)}; it has {sorted(_CALL)}")
        if call.get("method") not in METHODS or not call.get("want"):
            raise ValueError(f"A call of {name} needs a method of {METHODS} and says what it wants")
