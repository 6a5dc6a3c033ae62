"""The classifiers that policies name, and the router files among them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from router_service.config.policy_shape import ClassifierShape
from router_service.config.router_file import is_router_file, read_router_file, shipped
from router_service.domain.asking import Asking
from router_service.domain.classifier import LEARNED, Classification, LearnedWeights
from router_service.domain.deployment import Deployment
from router_service.domain.policy import Policy


def classification(shape: ClassifierShape, named: Mapping[str, tuple[Deployment, ...]]) -> Classification:
    """As a policy runs it; `named` has the deployments of every name that the file may use."""
    llm = shape.llm
    return Classification(
        use=shape.use,
        band=shape.band,
        then=shape.then or "",
        moderate_from=shape.moderate_from,
        complex_from=shape.complex_from,
        asking=None if llm is None else asking(llm.use, llm.timeout, llm.max_cost_usd, named),
        prompt="" if llm is None else llm.prompt or "",
        remembered=0 if llm is None else llm.cache,
    )


def asking(
    names: Iterable[str], timeout: float, max_cost_nano_usd: int, named: Mapping[str, tuple[Deployment, ...]]
) -> Asking:
    """Whom a question goes to, each deployment once, and what it may take."""
    return Asking(
        deployments=tuple({one.id: one for name in names for one in named[name]}.values()),
        timeout=timeout,
        max_cost_nano_usd=max_cost_nano_usd,
    )


def weights_of(policies: Iterable[Policy], directory: Path) -> dict[str, LearnedWeights]:
    """What the learned classifiers know that the policies name, by the name they are given there.

    Raises `RouterFileError` and `OSError` for a file that changed since it was checked.
    """
    settings = [policy.classification for policy in policies]
    named = {name for one in settings for name in (one.use, one.then) if name == LEARNED or is_router_file(name)}
    return {
        name: read_router_file(directory / name, name) if is_router_file(name) else shipped() for name in sorted(named)
    }


def digests(weights: Mapping[str, LearnedWeights]) -> list[str]:
    """What tells one set of weights from another, for the configuration's fingerprint."""
    return [weights[name].digest for name in sorted(weights)]


def files_of(weights: Mapping[str, LearnedWeights], directory: Path) -> list[str]:
    """The router files among them: a change of one is a change of the configuration."""
    return [str(directory / name) for name in weights if is_router_file(name)]
