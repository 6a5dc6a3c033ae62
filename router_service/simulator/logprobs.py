"""How sure the simulated models are of each token: surer the better the model and the easier the prompt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log
from random import Random
from typing import Any

from router_service.simulator.dialects import Dialect, LogprobShape
from router_service.simulator.refusal import Refused

_MOST = 20
_DECIDES = 0.3
_OTHERS = tuple(f" {letter}" for letter in "abcdefghijklmnopqrstuvwxyz")


@dataclass(frozen=True, slots=True)
class Scored:
    """A token of the answer, its log-probability and that of others in its place, the likeliest first."""

    token: str
    logprob: float
    top: tuple[tuple[str, float], ...]


def wanted(body: Mapping[str, Any], *, reasoning: bool, dialect: Dialect) -> int | None:
    """How many alternatives a request asks for, `None` for no log-probabilities. Raises `Refused` as providers do."""
    asked, top = body.get("logprobs"), body.get("top_logprobs")
    if dialect.logprobs is LogprobShape.LISTS:
        if asked is not None and (type(asked) is not int or not 0 <= asked <= _MOST):
            raise Refused(
                422, f"logprobs must be an integer from 0 to {_MOST}.", code="invalid_value", param="logprobs"
            )
        return asked or None
    if asked is not None and type(asked) is not bool:
        raise Refused(400, "logprobs must be a boolean.", code="invalid_type", param="logprobs")
    if top is not None and (not asked or type(top) is not int or not 0 <= top <= _MOST):
        what = f"top_logprobs must be from 0 to {_MOST}, and needs logprobs."
        raise Refused(400, what, code="invalid_value", param="top_logprobs")
    if asked and reasoning:
        raise Refused(
            400, "You are not allowed to request logprobs from this model.", code="unsupported_value", param="logprobs"
        )
    return (top or 0) if asked else None


def scored(pieces: Sequence[str], *, margin: float, top: int, rng: Random) -> tuple[Scored, ...]:
    """The tokens of an answer, each scored; `margin`, from 0 to 1, is how sure the model is where it decides."""
    found = []
    for piece in pieces:
        sure = rng.uniform(0.97, 0.9999)
        if rng.random() < _DECIDES:
            sure = min(0.9999, max(0.34, 0.5 + margin / 2 + rng.uniform(-0.1, 0.1)))
        left, others = 1 - sure, []
        for other in rng.sample([one for one in _OTHERS if one != piece], max(top - 1, 0)):
            others.append((other, log(left * 0.9)))
            left *= 0.1
        ordered = sorted([(piece, log(sure)), *others], key=lambda one: -one[1])[:top]
        found.append(Scored(piece, log(sure), tuple(ordered)))
    return tuple(found)


def report(tokens: Sequence[Scored], dialect: Dialect) -> dict[str, Any]:
    """The `logprobs` of a choice."""
    if dialect.logprobs is LogprobShape.LISTS:
        return {
            "tokens": [token.token for token in tokens],
            "token_logprobs": [token.logprob for token in tokens],
            "top_logprobs": [dict(token.top) for token in tokens],
        }
    content = [
        {**_entry(token.token, token.logprob), "top_logprobs": [_entry(*one) for one in token.top]} for token in tokens
    ]
    return {"content": content, "refusal": None}


def _entry(token: str, logprob: float) -> dict[str, Any]:
    return {"token": token, "logprob": logprob, "bytes": list(token.encode())}
