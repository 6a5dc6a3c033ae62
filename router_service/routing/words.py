"""Rules in words, for decisions that explain themselves."""

from __future__ import annotations

from collections.abc import Iterable

from router_service.domain.policy import RangeMatch, TextMatch, When

_LISTED = 6


def in_words(when: When) -> str:
    """A rule's conditions, such as "tier is free and feature is draft or summary"; "every call" where it has none."""
    conditions = [
        _text(name, condition)
        for name, condition in (
            ("feature", when.feature),
            ("tier", when.tier),
            ("task type", when.task_type),
            ("complexity", when.complexity),
            ("language", when.language),
        )
        if condition is not None
    ]
    conditions += [_text(f"label {name}", condition) for name, condition in when.labels.items()]
    if when.input_tokens is not None:
        conditions.append(_range("input tokens", when.input_tokens))
    if when.turns is not None:
        conditions.append(_range("turns", when.turns))
    if when.needs:
        conditions.append(f"it needs {_listed(when.needs, 'and')}")
    if when.needs_none_of:
        conditions.append(f"it does not need {_listed(when.needs_none_of, 'or')}")
    return " and ".join(conditions) or "every call"


def _text(name: str, condition: TextMatch) -> str:
    parts = []
    if condition.any_of is not None:
        parts.append(f"is {_listed(condition.any_of, 'or')}")
    if condition.none_of:
        parts.append(f"is not {_listed(condition.none_of, 'or')}")
    return f"{name} {' and '.join(parts) or 'is anything'}"


def _range(name: str, condition: RangeMatch) -> str:
    if condition.at_least is None:
        return f"{name} at most {condition.at_most}"
    if condition.at_most is None:
        return f"{name} at least {condition.at_least}"
    return f"{name} from {condition.at_least} to {condition.at_most}"


def _listed(values: Iterable[str], conjunction: str) -> str:
    names = [value or "empty" for value in sorted(values)]
    if len(names) > _LISTED:
        return f"{', '.join(names[:_LISTED])} {conjunction} {len(names) - _LISTED} more"
    return f"{', '.join(names[:-1])} {conjunction} {names[-1]}" if len(names) > 1 else "".join(names)
