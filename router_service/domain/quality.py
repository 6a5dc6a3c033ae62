"""Whether an answer is good enough: the gates that judge it, what they found, and what follows a refusal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from router_service.domain.deployment import Deployment


class GateKind(StrEnum):
    """What a gate looks at; `quality.gates` has one for each."""

    NOT_EMPTY = "not_empty"
    LONG_ENOUGH = "long_enough"
    NOT_TRUNCATED = "not_truncated"
    NOT_REFUSAL = "not_refusal"
    NOT_HEDGING = "not_hedging"
    NOT_REPETITIVE = "not_repetitive"
    STRUCTURED = "structured"
    SAME_LANGUAGE = "same_language"
    JSON = "json"
    JSON_SCHEMA = "json_schema"
    REGEX = "regex"
    NUMBER_OF_ANSWERS = "number_of_answers"
    ARITHMETIC = "arithmetic"
    CODE_PARSES = "code_parses"
    CONFIDENT = "confident"


class GateDelivery(StrEnum):
    """How a stream is delivered whose answer is judged.

    HOLD keeps output back until it has passed. OPTIMISTIC lets it flow and takes it back where it is refused; callers
    that accept no discards are held for all the same.
    """

    HOLD = "hold"
    OPTIMISTIC = "optimistic"


class Unsatisfied(StrEnum):
    """What the caller gets where no answer passes: the best one, marked as below the threshold, or an error."""

    ANSWER = "answer"
    FAIL = "fail"


class Quality(StrEnum):
    """What gates made of the answer that the caller got."""

    UNJUDGED = "unjudged"
    PASSED = "passed"
    BELOW_THRESHOLD = "below_threshold"


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """One gate of a policy.

    `weight` is its share in the combined score. A `required` one refuses the answer by itself. The rest is for the
    kinds it means something to: `at_least` and `at_most` are characters or answers, `pattern` is in RE2's syntax,
    `schema_json` is a JSON Schema as JSON text, empty for the call's own. `least_margin` is in probability, `quantile`
    says at which token of an answer it is taken, counted from the least sure one, and `calibration` has points (margin,
    score) between which the score is a straight line; empty makes the margin itself the score.
    """

    kind: GateKind
    weight: float = 1.0
    required: bool = False
    at_least: int | None = None
    at_most: int | None = None
    pattern: str = ""
    schema_json: str = ""
    least_margin: float | None = None
    quantile: float | None = None
    calibration: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """The least combined score, from 0 to 1, that passes; the highest of those that apply to the call.

    `least` applies always; `None` asks every gate to pass where nothing else applies. The others are by the call's
    complexity and the caller's tier, both in lower case, and by the deployment that answered.
    """

    least: float | None = None
    by_complexity: Mapping[str, float] = field(default_factory=dict)
    by_tier: Mapping[str, float] = field(default_factory=dict)
    by_deployment: Mapping[str, float] = field(default_factory=dict)

    def of(self, *, complexity: str, tier: str, deployment: str) -> float | None:
        """What applies; `None` asks every gate to pass."""
        found = (
            self.least,
            self.by_complexity.get(complexity),
            self.by_tier.get(tier.lower()),
            self.by_deployment.get(deployment),
        )
        return max((one for one in found if one is not None), default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Escalation:
    """Which gates judge an answer, and who is asked next where they refuse it.

    `to`, empty, means the candidates after the one that answered. At most `most` answers are asked for beyond the
    first. `skip` passes over a deployment, by id, where the complexity score is at least so high.
    """

    gates: tuple[Gate, ...] = ()
    to: tuple[Deployment, ...] = ()
    threshold: Threshold = Threshold()
    delivery: GateDelivery = GateDelivery.HOLD
    unsatisfied: Unsatisfied = Unsatisfied.ANSWER
    most: int = 2
    skip: Mapping[str, float] = field(default_factory=dict)

    @property
    def weighs_margins(self) -> bool:
        """Whether a gate looks at log-probabilities, so that providers have to be asked for them."""
        return any(gate.kind is GateKind.CONFIDENT for gate in self.gates)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one gate found. `score` is from 0 to 1; `reason` is in the router's words and quotes no answer."""

    gate: str
    passed: bool
    score: float
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What all gates together made of the answer of `attempt`. `threshold` is 1 where every gate had to pass."""

    attempt: int
    passed: bool
    score: float
    threshold: float
    verdicts: tuple[Verdict, ...]

    @property
    def refused_by(self) -> tuple[str, ...]:
        """The gates that did not pass, each once."""
        return tuple(dict.fromkeys(verdict.gate for verdict in self.verdicts if not verdict.passed))
