"""The shape of questions that the router asks a model for itself."""

from __future__ import annotations

from typing import Any

from pydantic import Field, model_validator

from router_service.config.quantity import CountFromZero, NanoUsd, Timeout
from router_service.config.shape import Shape, Texts

# In nano-USD: a label costs a thousandth of that with a cheap model, and no more than that with a dear one.
LABEL_COST, GRADE_COST = 10_000_000, 50_000_000
LABEL_TIMEOUT, GRADE_TIMEOUT = 2.0, 5.0


class LabelShape(Shape):
    """The models that say how complex a call is; their names alone stand for one without options."""

    use: Texts = Field(min_length=1, description="Models or deployments, in order: the next where one fails.")
    prompt: str | None = Field(
        default=None,
        max_length=8000,
        description="What the model is told about the labels, beside what it is told anyway. Default: nothing more.",
    )
    timeout: Timeout = Field(
        default=LABEL_TIMEOUT,
        description="For all of them together; half of what is left until the caller's deadline, if that is less. "
        "A duration, longer than 0.",
    )
    max_cost_usd: NanoUsd = Field(
        default=LABEL_COST, description="A model whose estimate for the question is higher is not asked. In USD."
    )
    cache: CountFromZero = Field(
        default=10_000, description="Labels that a router remembers, so that a repeated prompt is not paid for again."
    )

    @model_validator(mode="before")
    @classmethod
    def _written_short(cls, value: Any) -> Any:
        return {"use": value} if isinstance(value, str | list) else value
