"""The rules of one policy, indexed: finding the first match costs a few look-ups, with ten rules or ten thousand.

A set of rules is an integer with one bit per rule, the first rule lowest. Each dimension (feature, tier, a label ...)
maps a value to the rules that accept it; the intersection over all dimensions leaves the rules to look at.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from router_service.domain.call import Caller
from router_service.domain.decision import Signals
from router_service.domain.deployment import Deployment
from router_service.domain.policy import Rule, TextMatch, When


@dataclass(frozen=True, slots=True)
class _Dimension:
    """Which rules accept a value; `otherwise` are those that accept a value nobody names."""

    by_value: Mapping[str, int]
    otherwise: int

    def accepting(self, value: str) -> int:
        return self.by_value.get(value, self.otherwise)


class RuleIndex:
    """Finds the first of a policy's rules that matches a call."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._rules = tuple(rules)
        self._all = (1 << len(self._rules)) - 1
        whens = [rule.when for rule in self._rules]
        self._feature = _dimension(when.feature for when in whens)
        self._tier = _dimension(when.tier for when in whens)
        self._task_type = _dimension(when.task_type for when in whens)
        self._complexity = _dimension(when.complexity for when in whens)
        self._language = _dimension(when.language for when in whens)
        label_names = sorted({name for when in whens for name in when.labels})
        self._labels = [(name, _dimension(when.labels.get(name) for when in whens)) for name in label_names]
        self.complexities = frozenset(
            label
            for when in whens
            if when.complexity is not None
            for label in (when.complexity.any_of or frozenset()) | when.complexity.none_of
        )
        self.deployments: Mapping[str, Deployment] = {
            deployment.id: deployment for rule in self._rules for deployment in rule.candidates
        }

    def first_match(self, caller: Caller, signals: Signals) -> Rule | None:
        """The first rule all of whose conditions hold, or `None`."""
        rules = self._all
        rules &= self._feature.accepting(caller.feature.lower())
        rules &= self._tier.accepting(caller.tier.lower())
        rules &= self._task_type.accepting(caller.task_type.lower())
        rules &= self._complexity.accepting(signals.complexity)
        rules &= self._language.accepting(signals.language.partition("-")[0])
        for name, dimension in self._labels:
            rules &= dimension.accepting(caller.labels.get(name, "").lower())
        while rules:
            lowest = rules & -rules
            rule = self._rules[lowest.bit_length() - 1]
            if _holds_beyond_index(rule.when, signals):
                return rule
            rules ^= lowest
        return None


def _dimension(conditions: Iterable[TextMatch | None]) -> _Dimension:
    otherwise = 0
    named: dict[str, int] = {}
    refused: dict[str, int] = {}
    for position, condition in enumerate(conditions):
        bit = 1 << position
        if condition is None:
            otherwise |= bit
            continue
        for value in condition.none_of:
            refused[value] = refused.get(value, 0) | bit
        if condition.any_of is None:
            otherwise |= bit
        else:
            for value in condition.any_of:
                named[value] = named.get(value, 0) | bit
    values = named.keys() | refused.keys()
    by_value = {value: (otherwise | named.get(value, 0)) & ~refused.get(value, 0) for value in values}
    return _Dimension(by_value, otherwise)


def _holds_beyond_index(when: When, signals: Signals) -> bool:
    return (
        (when.input_tokens is None or when.input_tokens.accepts(signals.input_tokens))
        and (when.turns is None or when.turns.accepts(signals.turns))
        and when.needs <= signals.needs
        and not (when.needs_none_of & signals.needs)
    )
