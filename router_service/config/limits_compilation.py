"""From checked shapes to limits, budgets and providers' rates; and what shapes cannot see of them."""

from __future__ import annotations

from collections.abc import Mapping

from router_service.config.document import Document, Piece, nearest
from router_service.config.limits_shape import BudgetShape, LimitShape, ScopedShape
from router_service.config.source import Source
from router_service.domain.limit import (
    Budget,
    BudgetMode,
    DeploymentRate,
    Dimension,
    Limit,
    LimitRules,
    Scope,
    Unit,
)

_DEGRADE_FROM = 0.8
_CHOSEN_BY_CALLERS = {Dimension.FEATURE, Dimension.TIER}


def limit_rules(document: Document) -> LimitRules:
    """All limits and budgets of the file."""
    return LimitRules(
        limits=tuple(_limit(name, piece.usable) for name, piece in document.limits.items()),
        budgets=tuple(_budget(name, piece.usable) for name, piece in document.budgets.items()),
    )


def deployment_rates(document: Document) -> Mapping[str, DeploymentRate]:
    """What providers allow, by deployment; only of those for which the file says something."""
    rates = {
        name: DeploymentRate(
            requests_per_minute=piece.usable.rpm,
            tokens_per_minute=piece.usable.tpm,
            max_concurrent=piece.usable.max_concurrent,
        )
        for name, piece in document.models.items()
    }
    return {name: rate for name, rate in rates.items() if rate != DeploymentRate()}


def check_limits(source: Source, document: Document, environ: Mapping[str, str]) -> None:
    """Note models that do not exist, names that are taken, and a Redis that is nowhere."""
    models = {(piece.shape.model if piece.shape else None) or name for name, piece in document.models.items()}
    scoped: list[tuple[str, Piece[LimitShape] | Piece[BudgetShape]]] = [*document.limits.items()]
    scoped += document.budgets.items()
    for name, piece in scoped:
        for model in piece.shape.match.get(Dimension.MODEL, ()) if piece.shape else ():
            if model not in models:
                fix = nearest(model, models) or "Name the `model` of a deployment; without one, its own name"
                source.report((*piece.at, "match", "model"), f"there is no model {model}", fix)
        if piece.at[0] == "budgets" and name in document.limits:
            source.report(piece.at, f"{name} is the name of a limit too", "Give one of the two another name")
    redis = document.redis
    nowhere = redis and redis.shape and redis.shape.url is None and "url" not in redis.dropped
    if redis and nowhere and not environ.get("REDIS_URL"):
        source.report((*redis.at, "url"), "is required: REDIS_URL is not set either", "Write redis://host:6379/0")


def _limit(name: str, shape: LimitShape) -> Limit:
    stated = {Unit.REQUESTS: shape.requests, Unit.TOKENS: shape.tokens, Unit.CONCURRENT: shape.concurrent}
    unit, amount = next((unit, amount) for unit, amount in stated.items() if amount is not None)
    return Limit(name=name, unit=unit, amount=amount, window=shape.window or 0.0, scope=_scope(shape), fail=shape.fail)


def _budget(name: str, shape: BudgetShape) -> Budget:
    degrade_from = shape.degrade_from
    if degrade_from is None and shape.mode is BudgetMode.DEGRADE:
        degrade_from = _DEGRADE_FROM
    return Budget(
        name=name,
        nano_usd=shape.usd,
        period=shape.period,
        scope=_scope(shape),
        mode=shape.mode,
        degrade_from=degrade_from,
        fail=shape.fail,
    )


def _scope(shape: ScopedShape) -> Scope:
    return Scope(
        per=tuple(dict.fromkeys(shape.per)),
        match={
            dimension: frozenset(one.lower() if dimension in _CHOSEN_BY_CALLERS else one for one in values)
            for dimension, values in shape.match.items()
        },
    )
