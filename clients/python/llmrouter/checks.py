"""Mistakes that are better told here than by the router, or by nobody."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any


def check_names(options: Mapping[str, Any], known: frozenset[str]) -> None:
    """Raise `TypeError` for options that the call does not have, as Python does for other keyword arguments."""
    unknown = options.keys() - known
    if unknown:
        raise TypeError("; ".join(_unknown(name, known) for name in sorted(unknown)))


def _unknown(name: str, known: frozenset[str]) -> str:
    near = get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"this call takes {', '.join(sorted(known))}"
    return f"There is no option {name!r}: {hint}"


def check_labels(labels: Any) -> None:
    """Raise `ValueError` unless labels map text to text."""
    if labels is None:
        return
    if not isinstance(labels, Mapping):
        raise ValueError(f"labels map names to texts, such as {{'team': 'a'}}; they are no {type(labels).__name__}")
    for name, value in labels.items():
        if not isinstance(name, str) or not isinstance(value, str):
            raise ValueError(f"Labels are texts: write {str(name)!r}: {str(value)!r}, not {name!r}: {value!r}")


def check_metadata(metadata: Iterable[tuple[str, Any]]) -> None:
    """Raise `ValueError` for what cannot travel as gRPC metadata; values, which may be secret, are not repeated."""
    for name, value in metadata:
        if not isinstance(value, str) or not (value.isascii() and value.isprintable()):
            raise ValueError(f"{_SAID[name]} is printable ASCII text without a line break")


def check_timeout(timeout: Any) -> None:
    """Raise `ValueError` unless a deadline lies ahead."""
    if not timeout > 0:
        raise ValueError(f"timeout is a number of seconds above 0, not {timeout!r}")


_SAID = {
    "authorization": "An API key",
    "x-request-id": "A request_id",
    "traceparent": "A traceparent",
    "tracestate": "A tracestate",
}
