"""The shape of escalation: gates, thresholds, and whom to ask next."""

from __future__ import annotations

import itertools
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, GetJsonSchemaHandler, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from router_service.config.quantity import Count, CountFromZero, refuse
from router_service.config.shape import Shape, Texts
from router_service.domain.quality import GateDelivery, GateKind, Unsatisfied

Score = Annotated[float, Field(ge=0, le=1)]
_Point = Annotated[list[Score], Field(min_length=2, max_length=2)]

_OPTIONS: dict[str, frozenset[GateKind]] = {
    "min": frozenset({GateKind.LONG_ENOUGH, GateKind.NUMBER_OF_ANSWERS}),
    "max": frozenset({GateKind.NUMBER_OF_ANSWERS}),
    "pattern": frozenset({GateKind.REGEX}),
    "schema": frozenset({GateKind.JSON_SCHEMA}),
    "min_margin": frozenset({GateKind.CONFIDENT}),
    "quantile": frozenset({GateKind.CONFIDENT}),
    "calibration": frozenset({GateKind.CONFIDENT}),
}


class _Or:
    """Says in the JSON Schema that a value may also be written in a short way."""

    def __init__(self, short: dict[str, Any]) -> None:
        self._short = short

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"anyOf": [self._short, handler(core)]}


class GateShape(Shape):
    """One gate; its name alone stands for one without options."""

    gate: GateKind = Field(description="What it looks at.")
    weight: float = Field(default=1.0, gt=0, description="Its share in the combined score, beside the others'.")
    required: bool = Field(
        default=False, description="Whether it refuses the answer by itself, also where a threshold is met."
    )
    min: CountFromZero | None = Field(
        default=None, description="Of long_enough: characters, default 10. Of number_of_answers: default 1."
    )
    max: CountFromZero | None = Field(
        default=None, description="Of number_of_answers: the most there may be. Default: `min`."
    )
    pattern: str | None = Field(
        default=None,
        min_length=1,
        max_length=2000,
        description="Of regex: what must be found in the answer, in RE2's syntax. Needs the extra `re2`.",
    )
    schema_: dict[str, Any] | None = Field(
        default=None, alias="schema", description="Of json_schema: a JSON Schema. Default: the one the call asks for."
    )

    min_margin: Score | None = Field(
        default=None,
        description="Of confident: by how much probability the token at `quantile` has to lead the next likely one. "
        "0 to 1, default 0.1.",
    )
    quantile: Score | None = Field(
        default=None,
        description="Of confident: which of the answer's tokens is looked at, 0 the least sure one, 0.5 the median. "
        "Default: 0.1.",
    )
    calibration: list[_Point] | None = Field(
        default=None,
        min_length=1,
        max_length=100,
        description="Of confident: points [margin, score] in rising order, as `llmrouter calibrate` prints them; "
        "between them the score is a straight line. Default: the margin is the score.",
    )

    @model_validator(mode="after")
    def _options_of_its_kind(self) -> Self:
        given = self.model_dump(by_alias=True, exclude_none=True)
        for option, kinds in _OPTIONS.items():
            if option in given and self.gate not in kinds:
                refuse(f"{self.gate.value} has no {option}", f"Only {', '.join(sorted(kinds))} has it")
        if self.gate is GateKind.REGEX:
            if self.pattern is None:
                refuse("regex needs a pattern", 'Write for example {gate: regex, pattern: "^Ticket-[0-9]+"}')
            _check_pattern(self.pattern)
        points = self.calibration or []
        if any(left >= right or low > high for (left, low), (right, high) in itertools.pairwise(points)):
            refuse("the calibration does not rise", "Write the margins in rising order, with no score below one before")
        if self.min is not None and self.max is not None and self.min > self.max:
            refuse("its minimum is above its maximum", "Swap the two")
        return self


def _check_pattern(pattern: str) -> None:
    try:
        import re2  # noqa: PLC0415
    except ImportError:
        refuse("regex needs RE2, which is not installed", 'Install the extra: pip install "llmrouter[re2]"')
    options = re2.Options()
    options.log_errors = False
    try:
        re2.compile(pattern, options)
    except re2.error:
        refuse(
            "the pattern is not in RE2's syntax",
            "RE2 knows no look-around and no back-references; \\d, \\w, \\b are fine",
        )


def _gate(value: Any) -> Any:
    return {"gate": value} if isinstance(value, str) else value


class ThresholdShape(Shape):
    """The least combined score that passes; the highest of those that apply to a call. A number is `least`."""

    least: Score | None = Field(default=None, description="For every call. 0 to 1.")
    complexity: dict[str, Score] = Field(default_factory=dict, description="By the call's complexity. 0 to 1.")
    tier: dict[str, Score] = Field(default_factory=dict, description="By the caller's tier. 0 to 1.")
    model: dict[str, Score] = Field(
        default_factory=dict, description="By the model or deployment that answered. 0 to 1."
    )


def _threshold(value: Any) -> Any:
    return {"least": value} if isinstance(value, int | float | str) and not isinstance(value, bool) else value


_GATE_NAME = {"enum": [str(kind) for kind in GateKind]}
_SCORE = {"type": "number", "minimum": 0, "maximum": 1}


class EscalationShape(Shape):
    """Gates that judge an answer, and who is asked next where they refuse it. Without gates nothing is judged."""

    gates: list[Annotated[GateShape, BeforeValidator(_gate), _Or(_GATE_NAME)]] = Field(
        description="What judges an answer. Without a threshold every gate has to pass."
    )
    to: Texts = Field(
        default_factory=list,
        description="Models or deployments that are asked after a refusal, in this order. Default: the candidates "
        "after the one that answered.",
    )
    threshold: Annotated[ThresholdShape, BeforeValidator(_threshold), _Or(_SCORE)] = Field(
        default_factory=ThresholdShape,
        description="The least weighted mean of the gates' scores that passes: a number, or by complexity, tier and "
        "model. Default: every gate has to pass.",
    )
    streams: GateDelivery = Field(
        default=GateDelivery.HOLD,
        description="hold keeps a stream's output back until it has passed; optimistic lets it flow and takes it back "
        "where it is refused, for callers that accept discards, and is hold for all others.",
    )
    unsatisfied: Unsatisfied = Field(
        default=Unsatisfied.ANSWER,
        description="Where no answer passes: answer gives the best one, marked as below the threshold; fail ends the "
        "call with QUALITY_NOT_MET.",
    )
    max_escalations: Count = Field(default=2, description="Answers asked for beyond the first, at most. From 1.")
    skip: dict[str, Score] = Field(
        default_factory=dict,
        description="Models or deployments that are passed over where the complexity score is at least so high, such "
        "as {Qwen3-8B: 0.6}; they are asked after all others.",
    )
