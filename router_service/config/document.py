"""The file's content piece by piece, each checked against its shape by itself: one mistake hides no other."""

from __future__ import annotations

import difflib
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from router_service.config.identity_shape import IdentityShape
from router_service.config.ledger_shape import LedgerShape
from router_service.config.limits_shape import BudgetShape, LimitShape, RedisShape
from router_service.config.policy_shape import FileShape, PolicyShape, RetryBudgetShape, RuleShape
from router_service.config.server_shape import ServerShape
from router_service.config.shape import (
    DecisionTokensShape,
    FeatureShape,
    ModelShape,
    ProviderShape,
    Shape,
    TelemetryShape,
)
from router_service.config.source import Location, Source
from router_service.config.storage_shape import StorageShape

S = TypeVar("S", bound=Shape)


@dataclass(frozen=True, slots=True)
class Piece(Generic[S]):
    """A part of the file.

    `shape` is what could be used of it, `None` where nothing could; `dropped` names the fields that were left out
    because they are wrong, so that nobody draws conclusions from their absence.
    """

    at: Location
    shape: S | None
    dropped: frozenset[str] = frozenset()

    @property
    def usable(self) -> S:
        """The shape of a piece without mistakes."""
        if self.shape is None:
            raise ValueError("a file with problems cannot be compiled")
        return self.shape


@dataclass(frozen=True, slots=True)
class PolicyPiece:
    """A policy and its rules, which are checked one by one."""

    policy: Piece[PolicyShape]
    rules: tuple[Piece[RuleShape], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """All pieces of the file; wrong ones are there too, so that references to them are not reported as well."""

    server: Piece[ServerShape]
    telemetry: Piece[TelemetryShape]
    decision_tokens: Piece[DecisionTokensShape]
    retry_budget: Piece[RetryBudgetShape]
    storage: Piece[StorageShape]
    identity: Piece[IdentityShape]
    ledger: Piece[LedgerShape]
    providers: Mapping[str, Piece[ProviderShape]]
    models: Mapping[str, Piece[ModelShape]]
    features: Mapping[str, Piece[FeatureShape]]
    limits: Mapping[str, Piece[LimitShape]]
    budgets: Mapping[str, Piece[BudgetShape]]
    redis: Piece[RedisShape] | None
    policies: Mapping[str, PolicyPiece]
    default_policy: str | None


def nearest(name: str, known: Iterable[str]) -> str:
    """The question whether a known name was meant, or nothing where none is near."""
    lower = {one.lower(): one for one in known}
    found = difflib.get_close_matches(name.lower(), lower, n=1, cutoff=0.6)
    return f"Did you mean {lower[found[0]]}?" if found else ""


def check(source: Source) -> Document:
    """Check every piece against its shape; what is wrong is noted in the source."""
    data = source.data
    checker = _Checker(source)
    for key in data:
        if key not in FileShape.model_fields:
            checker.unknown_key(FileShape, (key,))
    default_policy = data.get("default_policy")
    if default_policy is not None and not isinstance(default_policy, str):
        source.report(("default_policy",), "is not text", "Name one of the policies")
        default_policy = None
    return Document(
        server=checker.piece(ServerShape, data.get("server"), ("server",)),
        telemetry=checker.piece(TelemetryShape, data.get("telemetry"), ("telemetry",)),
        decision_tokens=checker.piece(DecisionTokensShape, data.get("decision_tokens"), ("decision_tokens",)),
        retry_budget=checker.piece(RetryBudgetShape, data.get("retry_budget"), ("retry_budget",)),
        storage=checker.piece(StorageShape, data.get("storage"), ("storage",)),
        identity=checker.piece(IdentityShape, data.get("identity"), ("identity",)),
        ledger=checker.piece(LedgerShape, data.get("ledger"), ("ledger",)),
        providers=checker.named(ProviderShape, "providers"),
        models=checker.named(ModelShape, "models"),
        features=checker.named(FeatureShape, "features"),
        limits=checker.named(LimitShape, "limits"),
        budgets=checker.named(BudgetShape, "budgets"),
        redis=checker.piece(RedisShape, data["redis"], ("redis",)) if "redis" in data else None,
        policies={name: checker.policy(raw, ("policies", name)) for name, raw in checker.mapping("policies").items()},
        default_policy=default_policy,
    )


class _Checker:
    def __init__(self, source: Source) -> None:
        self._source = source

    def mapping(self, section: str) -> dict[str, Any]:
        raw = self._source.data.get(section)
        if isinstance(raw, dict):
            return raw
        if raw is not None:
            self._source.report(
                (section,), "is not a mapping", f"Write `{section}:` and names with their settings below"
            )
        return {}

    def named(self, shape: type[S], section: str) -> dict[str, Piece[S]]:
        return {name: self.piece(shape, raw, (section, name)) for name, raw in self.mapping(section).items()}

    def policy(self, raw: Any, at: Location) -> PolicyPiece:
        raw_rules = raw.get("rules") if isinstance(raw, dict) else None
        rules: tuple[Piece[RuleShape], ...] = ()
        if isinstance(raw_rules, list):
            rules = tuple(self.piece(RuleShape, rule, (*at, "rules", number)) for number, rule in enumerate(raw_rules))
            if rules:
                # The rules have been checked one by one; here they only need to be there.
                raw = {**raw, "rules": [{"use": "checked"}]}
        return PolicyPiece(self.piece(PolicyShape, raw, at), rules)

    def piece(self, shape: type[S], raw: Any, at: Location) -> Piece[S]:
        if raw is None:
            raw = {}
        if not isinstance(raw, dict):
            self._source.report(at, "is not a mapping", f"Give its settings: {', '.join(_keys(shape))}")
            return Piece(at, None)
        try:
            return Piece(at, shape.model_validate(raw))
        except ValidationError as exc:
            errors = exc.errors(include_url=False)
        for error in errors:
            self._explain(shape, error, at)
        dropped = frozenset(str(error["loc"][0]) for error in errors if error["loc"])
        usable = {key: value for key, value in raw.items() if key not in dropped}
        try:
            return Piece(at, shape.model_validate(usable), dropped)
        except ValidationError:
            return Piece(at, None, dropped)

    def unknown_key(self, shape: type[BaseModel] | None, location: Location) -> None:
        known = _keys(shape) if shape else ()
        fix = nearest(str(location[-1]), known)
        if not fix and known:
            fix = f"Known here: {', '.join(known)}"
        self._source.report(location, "unknown key", fix, at_key=True)

    def _explain(self, shape: type[BaseModel], error: ErrorDetails, at: Location) -> None:
        source, kind = self._source, error["type"]
        location = source.known((*at, *error["loc"]))
        if location in source.unusable:
            return
        context = error.get("ctx", {})
        if kind == "extra_forbidden":
            self.unknown_key(_shape_at(shape, error["loc"][:-1]), location)
        elif kind == "missing":
            key = str(error["loc"][-1])
            source.report((*location, key), "is required", _what_to_write(_shape_at(shape, error["loc"][:-1]), key))
        elif kind == "refused":
            source.report(location, context["message"], context["fix"])
        elif kind in ("enum", "literal_error"):
            choices = context["expected"].replace("'", "").replace(" or ", ", ").split(", ")
            found = error["input"] if isinstance(error["input"], str) and location not in source.environment else ""
            source.report(
                location,
                f"{found or 'the value'} is not one of {', '.join(choices)}",
                nearest(found, choices) if found else "Use one of these; `no` and `on` need quotes",
            )
        elif kind == "string_type":
            fix = "Put it in quotes" if isinstance(error["input"], bool | int | float) else "Write one text"
            source.report(location, "is not text", fix)
        elif kind in ("model_type", "dict_type", "model_attributes_type"):
            source.report(location, "is not a mapping", "Write keys and values below it")
        else:
            message = error["msg"][0].lower() + error["msg"][1:]
            source.report(location, message.replace("input should", "should"), _fix(kind, context))


_FIXES = {
    "bool": "Write true or false",
    "finite": "Write a number such as 0.5",
    "float": "Write a number such as 0.5",
    "greater_than": "Write a larger number",
    "int": "Write a whole number such as 1000",
    "less_than": "Write a smaller number",
    "list": "Write a list such as [one, two]",
    "string_too_short": "Write a text, or leave the key out",
    "too_short": "Write at least one, such as `- {use: gpt-4o}` below it",
}


def _fix(kind: str, context: Mapping[str, Any]) -> str:
    if "ge" in context:
        return f"Write a number from {context['ge']:g}"
    if "le" in context:
        return f"Write a number up to {context['le']:g}"
    return next((fix for start, fix in _FIXES.items() if kind.startswith(start)), "")


def _what_to_write(shape: type[BaseModel] | None, key: str) -> str:
    field = shape.model_fields.get(key) if shape else None
    return f"Write `{key}:` and its value: {(field.description or '').removesuffix('.')}" if field else ""


def _keys(shape: type[BaseModel]) -> tuple[str, ...]:
    return tuple(field.alias or name for name, field in shape.model_fields.items())


def _shape_at(shape: type[BaseModel], steps: tuple[str | int, ...]) -> type[BaseModel] | None:
    """The shape of what these steps below `shape` lead to."""
    current: type[BaseModel] | None = shape
    for step in steps:
        if current is None or step not in current.model_fields:
            continue
        inner = _shapes_in(current.model_fields[str(step)].annotation)
        current = inner[0] if inner else None
    return current


def _shapes_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [shape for part in typing.get_args(annotation) for shape in _shapes_in(part)]
