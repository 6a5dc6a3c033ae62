"""Going on from the beginning of an answer, where a request gives one in a way that the dialect knows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from router_service.domain.vendor import Prefill
from router_service.simulator import tokens
from router_service.simulator.models import SimulatedModel
from router_service.simulator.refusal import Refused


def begun(
    model: SimulatedModel, messages: list[dict[str, Any]], body: Mapping[str, Any]
) -> tuple[list[dict[str, Any]], str]:
    """The messages that the answer is to, and its beginning; all of them and "" where it begins anew.

    Raises `Refused` where the model refuses a last message of the assistant.
    """
    last, dialect = messages[-1], model.dialect
    if last.get("role") != "assistant" or last.get("tool_calls"):
        return messages, ""
    if not _asked_for(dialect.prefill, last, body):
        if dialect.prefill_refusal:
            raise Refused(400, dialect.prefill_refusal, param="messages")
        return messages, ""
    prefix = tokens.text_of(last)
    if dialect.refuses_trailing_space and prefix != prefix.rstrip():
        raise Refused(400, "messages: final assistant content cannot end with trailing whitespace", param="messages")
    return messages[:-1], prefix


def continuation(whole: Sequence[str], prefix: str) -> tuple[str, ...]:
    """What follows `prefix` in the answer `whole`, in tokens.

    A beginning that this model would not have chosen takes the place of as many tokens of its own answer.
    """
    said = "".join(whole)
    if said.startswith(prefix):
        return tuple(tokens.pieces(said[len(prefix) :]))
    return tuple(whole[tokens.count(prefix) :]) or tuple(whole[-1:])


def _asked_for(way: Prefill, last: Mapping[str, Any], body: Mapping[str, Any]) -> bool:
    match way:
        case Prefill.NONE:
            return False
        case Prefill.PLAIN:
            return True
        case Prefill.CONTINUE_FINAL:
            return body.get("continue_final_message") is True and body.get("add_generation_prompt") is False
        case _:
            return last.get(way.value) is True
