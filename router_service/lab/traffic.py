"""A description of traffic, so many tokens a day for each use, as calls that a policy can decide on.

uses:
  content:                      # the feature
    task_type: content
    input_tokens: 5_000_000     # of all calls of the day
    output_tokens: 3_000_000
    calls: 1000
    mix:
      - {share: 0.75, complexity: creative}
      - {share: 0.25, complexity: factual}
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from router_service.domain.deployment import Capability
from router_service.domain.money import Usage
from router_service.lab.replay import PastCall

_CALLS = 1000
_NUMBERS = {"input_tokens", "output_tokens", "calls", "turns", "share"}
_TEXTS = {"task_type", "tier", "tenant", "language", "complexity", "policy"}
_KNOWN = _NUMBERS | _TEXTS | {"mix", "labels", "needs"}


class TrafficError(Exception):
    """The description says something that cannot be; the message says where, and what to write."""


def read_traffic(path: Path) -> list[PastCall]:
    """The uses of a file. Raises `TrafficError`, and `OSError` where it cannot be read."""
    try:
        described = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as exc:
        raise TrafficError(f"{path} is not YAML: {exc}") from exc
    uses = described.get("uses") if isinstance(described, dict) else None
    if not isinstance(uses, dict) or not uses:
        raise TrafficError(f"{path}: write `uses:`, and below it each feature with its input_tokens and output_tokens")
    return [call for feature, use in uses.items() for call in _use(str(feature), use)]


def _use(feature: str, use: Any) -> list[PastCall]:
    _check(feature, use)
    parts = use.get("mix") or [{}]
    shares = []
    for part in parts:
        _check(feature, part)
        shares.append(float(part.get("share", 1.0 if len(parts) == 1 else 0.0)))
    if abs(sum(shares) - 1.0) > 1e-6:
        raise TrafficError(f"uses.{feature}.mix: the shares add up to {sum(shares):g}, not to 1")
    return [_part(feature, {**use, **part}, share) for part, share in zip(parts, shares, strict=True) if share]


def _part(feature: str, use: Mapping[str, Any], share: float) -> PastCall:
    calls = max(1, round(int(use.get("calls", _CALLS)) * share))
    usage = Usage(
        input_tokens=round(use.get("input_tokens", 0) * share / calls),
        output_tokens=round(use.get("output_tokens", 0) * share / calls),
    )
    return PastCall(
        feature=feature,
        tier=use.get("tier", ""),
        tenant=use.get("tenant", ""),
        task_type=use.get("task_type", ""),
        labels={str(name): str(value) for name, value in (use.get("labels") or {}).items()},
        policy=use.get("policy", ""),
        input_tokens=usage.input_tokens,
        turns=int(use.get("turns", 1)),
        language=use.get("language", ""),
        asked_complexity=use.get("complexity", ""),
        complexity="moderate",
        needs=frozenset(Capability(need) for need in use.get("needs") or ()),
        usage=usage,
        calls=calls,
        cost=0,
    )


def _check(feature: str, use: Any) -> None:
    if not isinstance(use, dict):
        raise TrafficError(f"uses.{feature}: write its settings, such as input_tokens: 1_000_000")
    for name, value in use.items():
        at = f"uses.{feature}.{name}"
        if name not in _KNOWN:
            raise TrafficError(f"{at} is not known; known are {', '.join(sorted(_KNOWN))}")
        if name in _NUMBERS and (isinstance(value, bool) or not isinstance(value, int | float) or value < 0):
            raise TrafficError(f"{at}: write a number from 0, such as 1_000_000")
        if name in _TEXTS and not isinstance(value, str):
            raise TrafficError(f"{at}: write a text")
        if name in ("mix", "needs") and not isinstance(value, list):
            raise TrafficError(f"{at}: write a list")
        if name == "labels" and not isinstance(value, dict):
            raise TrafficError(f"{at}: write names and values")
        if name == "needs" and not set(value) <= {one.value for one in Capability}:
            raise TrafficError(f"{at}: needs are {', '.join(Capability)}")
