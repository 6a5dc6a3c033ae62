"""Everything a decision is made from that only a reload changes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches

from router_service.domain.call import Call
from router_service.domain.classifier import LearnedWeights
from router_service.domain.decision import Signals
from router_service.domain.deployment import Deployment
from router_service.domain.error import NotFound, Reason
from router_service.domain.policy import Feature, Policy, Rule
from router_service.routing.classify import Judge
from router_service.routing.complexity import BUILT_IN, COMPLEX, MODERATE, SIMPLE
from router_service.routing.experiment import Enrolment
from router_service.routing.index import RuleIndex
from router_service.routing.shadow import Shadowing

_NOTHING = Feature(name="")


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutingTable:
    """Policies with their rules indexed, deployments by id, models by name, features by name.

    `weights` are of the learned classifiers that policies name.
    """

    policies: Mapping[str, Policy]
    deployments: Mapping[str, Deployment]
    models: Mapping[str, tuple[Deployment, ...]]
    features: Mapping[str, Feature]
    default_policy: str
    fingerprint: str
    weights: Mapping[str, LearnedWeights] = field(default_factory=dict)
    _indexes: Mapping[str, RuleIndex] = field(init=False, repr=False, compare=False)
    _judges: Mapping[str, Judge] = field(init=False, repr=False, compare=False)
    _features: Mapping[str, Feature] = field(init=False, repr=False, compare=False)
    _enrolments: Mapping[str, Enrolment] = field(init=False, repr=False, compare=False)
    _shadowing: Mapping[str, Shadowing] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        indexes = {name: RuleIndex(policy.rules) for name, policy in self.policies.items()}
        object.__setattr__(self, "_indexes", indexes)
        judges = {name: Judge(policy.classification, self.weights) for name, policy in self.policies.items()}
        object.__setattr__(self, "_judges", judges)
        enrolments = {name: Enrolment(policy.experiments) for name, policy in self.policies.items()}
        object.__setattr__(self, "_enrolments", enrolments)
        shadowing = {name: Shadowing(policy.shadows) for name, policy in self.policies.items()}
        object.__setattr__(self, "_shadowing", shadowing)
        # Rules match names in any case; limits must not depend on it either.
        object.__setattr__(self, "_features", {name.lower(): feature for name, feature in self.features.items()})

    def policy(self, name: str) -> Policy:
        """The policy of that name, or the default one for "". Raises `NotFound` (POLICY_NOT_FOUND)."""
        policy = self.policies.get(name or self.default_policy)
        if policy is None:
            raise NotFound(
                f'There is no policy "{name or self.default_policy}". {_instead(name, self.policies)}',
                reason=Reason.POLICY_NOT_FOUND,
                metadata={"policy": name},
            )
        return policy

    def model(self, name: str) -> tuple[Deployment, ...]:
        """The deployments of a model. Raises `NotFound` (MODEL_NOT_FOUND)."""
        deployments = self.models.get(name)
        if not deployments:
            hint = f'"{name}" is a deployment: name it as such.' if name in self.deployments else None
            raise NotFound(
                f'There is no model "{name}". {hint or _instead(name, self.models)}',
                reason=Reason.MODEL_NOT_FOUND,
                metadata={"model": name},
            )
        return deployments

    def deployment(self, name: str) -> Deployment:
        """The deployment with that id. Raises `NotFound` (MODEL_NOT_FOUND)."""
        deployment = self.deployments.get(name)
        if deployment is None:
            hint = f'"{name}" is a model: name it as such.' if name in self.models else None
            raise NotFound(
                f'There is no deployment "{name}". {hint or _instead(name, self.deployments)}',
                reason=Reason.MODEL_NOT_FOUND,
                metadata={"deployment": name},
            )
        return deployment

    def feature(self, name: str) -> Feature:
        """The feature's limits and parameters; none for one that is not configured."""
        return self._features.get(name.lower(), _NOTHING)

    def match(self, policy: Policy, call: Call, signals: Signals) -> Rule | None:
        """The first rule of `policy` that matches, or `None`."""
        return self._indexes[policy.name].first_match(call.caller, signals)

    def judge(self, policy: Policy) -> Judge:
        """Who judges the complexity of the policy's calls."""
        return self._judges[policy.name]

    def enrolment(self, policy: Policy) -> Enrolment:
        """The policy's experiments."""
        return self._enrolments[policy.name]

    def shadowing(self, policy: Policy) -> Shadowing:
        """The policy's shadows."""
        return self._shadowing[policy.name]

    def understands_complexity(self, policy: Policy, label: str) -> bool:
        """Whether a caller's complexity label (lower case) means something in this policy."""
        return label in BUILT_IN or label in policy.complexities or label in self._indexes[policy.name].complexities

    def labels(self, policy: Policy) -> tuple[str, ...]:
        """The complexities that a model may choose from: the common ones from simple to complex, then others."""
        known = (policy.complexities | self._indexes[policy.name].complexities) or BUILT_IN
        common = [label for label in (SIMPLE, MODERATE, COMPLEX) if label in known]
        return (*common, *sorted(known.difference(common)))

    def named_by(self, policy: Policy) -> Mapping[str, Deployment]:
        """All deployments that the policy's rules name, by id."""
        return self._indexes[policy.name].deployments


def _instead(name: str, known: Iterable[str]) -> str:
    """What to ask for instead of a name nobody knows."""
    names = sorted(known)
    close = get_close_matches(name, names, n=3, cutoff=0.5)
    if close:
        return f"Did you mean {' or '.join(close)}?"
    return f"Known are {', '.join(names[:8])}{' ...' if len(names) > 8 else ''}." if names else "None is configured."
