"""When which fault strikes: rules set by a test, a file, or the request itself.

A request asks for a fault with the header `x-simulate-fault: stall;after_tokens=3`, or in its body with
`"simulate_fault"` (at the top or in `metadata`), which holds one fault or a list for one attempt after another:
`"429;seconds=1, none, 503"`. `"503@openai"` is meant for that provider or model only.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import yaml

from router_service.simulator import tokens
from router_service.simulator.faults import Fault, FaultKind

FAULT_HEADER = "x-simulate-fault"
FAULT_FIELD = "simulate_fault"


@dataclass(slots=True, kw_only=True)
class Rule:
    """Which requests get `fault`: those that match all that is set. It spares the first `skip` of them, then strikes
    `times` times (`None`: always). `contains` is a piece of any message's text.
    """

    fault: Fault
    provider: str | None = None
    model: str | None = None
    contains: str | None = None
    times: int | None = 1
    skip: int = 0

    def matches(self, provider: str, model: str, messages: object) -> bool:
        """Whether a request is one of those the rule is about."""
        return (
            self.times != 0
            and self.provider in {None, provider}
            and self.model in {None, model}
            and (self.contains is None or _mentions(messages, self.contains))
        )


class Script:
    """Rules in order: the first that matches and is not used up strikes."""

    def __init__(self, rules: Iterable[Rule] = ()) -> None:
        self._rules = list(rules)
        self._asked: Counter[bytes] = Counter()

    def add(self, rule: Rule) -> None:
        """Append a rule."""
        self._rules.append(rule)

    def heal(self, *, provider: str | None = None, model: str | None = None) -> None:
        """Drop the rules of this provider and model; of all where neither is given."""
        self._rules = [
            rule
            for rule in self._rules
            if (provider is not None and rule.provider != provider) or (model is not None and rule.model != model)
        ]

    def fault_for(self, provider: str, model: str, headers: Mapping[str, str], body: Mapping[str, Any]) -> Fault | None:
        """The fault that strikes this request. Its own wish comes before the rules.

        Raises `ValueError` where the wish is unreadable.
        """
        if header := headers.get(FAULT_HEADER):
            return _striking(Fault.parse(header))
        if (marker := _marker(body)) is not None:
            return self._marked(marker, provider, model, body)
        for rule in self._rules:
            if not rule.matches(provider, model, body.get("messages")):
                continue
            if rule.skip > 0:
                rule.skip -= 1
                continue
            if rule.times is not None:
                rule.times -= 1
            return _striking(rule.fault)
        return None

    def _marked(self, marker: str, provider: str, model: str, body: Mapping[str, Any]) -> Fault | None:
        """The k-th request with the same marker and messages gets the marker's k-th fault for its provider."""
        wishes = [wish for wish in (one.strip() for one in marker.split(",")) if _is_for(wish, provider, model)]
        key = hashlib.blake2b(msgspec.json.encode([marker, wishes, body.get("messages")]), digest_size=16).digest()
        asked = self._asked[key]
        self._asked[key] += 1
        return (
            _striking(Fault.parse(wishes[asked].rpartition("@")[0] or wishes[asked])) if asked < len(wishes) else None
        )


def load(path: Path) -> Script:
    """The script in a YAML file: a list of rules, each with `fault` and what `Rule` and `Fault` take.

    Raises `ValueError` or `TypeError` for words it does not know, `OSError` if the file cannot be read.
    """
    return Script(rule_of(entry) for entry in yaml.safe_load(path.read_text(encoding="utf-8")) or ())


def rule_of(entry: Mapping[str, Any]) -> Rule:
    """One rule from its words, such as `{"provider": "openai", "fault": "503", "times": 2}`."""
    own = {name: entry[name] for name in ("provider", "model", "contains", "times", "skip") if name in entry}
    particulars = {name: value for name, value in entry.items() if name not in own and name != "fault"}
    return Rule(fault=Fault.of(str(entry["fault"]), **particulars), **own)


def _marker(body: Mapping[str, Any]) -> str | None:
    metadata = body.get("metadata")
    marker = body.get(FAULT_FIELD) or (metadata.get(FAULT_FIELD) if isinstance(metadata, dict) else None)
    return str(marker) if marker else None


def _is_for(wish: str, provider: str, model: str) -> bool:
    _, marked, whom = wish.rpartition("@")
    return not marked or whom in {provider, model}


def _striking(fault: Fault) -> Fault | None:
    return None if fault.kind is FaultKind.NONE else fault


def _mentions(messages: object, words: str) -> bool:
    return isinstance(messages, list) and any(
        isinstance(message, dict) and words in tokens.text_of(message) for message in messages
    )
