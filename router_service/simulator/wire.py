"""A completion as a provider puts it on the wire: one JSON body, or the events of a stream, in its dialect."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any

import msgspec

from router_service.domain.money import Usage
from router_service.simulator.completion import Called, Completion
from router_service.simulator.dialects import Dialect, ToolIndex, UsagePlace
from router_service.simulator.logprobs import report


class Mark(Enum):
    """What an event of a stream is."""

    OTHER = "other"
    OUTPUT = "output"
    FINISH = "finish"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class Event:
    """One event of a stream. `tokens` of output are in it; `usage` says whether it reports usage."""

    data: bytes
    mark: Mark
    tokens: int = 0
    usage: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """What every chunk of one answer repeats. `created` is in seconds since the epoch."""

    id: str
    model: str
    created: int
    dialect: Dialect

    def chunk(self, choices: list[dict[str, Any]], **more: Any) -> bytes:
        """One `chat.completion.chunk` as an event."""
        return self.event(
            {
                "id": self.id,
                "object": "chat.completion.chunk",
                "created": self.created,
                "model": self.model,
                "choices": choices,
                **more,
            }
        )

    def event(self, payload: object) -> bytes:
        """Any payload as an event."""
        return self.dialect.data_prefix + msgspec.json.encode(payload) + self.dialect.separator


def error(message: str, kind: str, *, code: object = None, param: str | None = None) -> dict[str, Any]:
    """OpenAI's error envelope."""
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def usage_fields(usage: Usage, dialect: Dialect) -> dict[str, Any]:
    """The `usage` object."""
    fields: dict[str, Any] = {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_input_tokens},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }
    if dialect.cache_hit_fields:
        fields["prompt_cache_hit_tokens"] = usage.cached_input_tokens
        fields["prompt_cache_miss_tokens"] = usage.input_tokens - usage.cached_input_tokens
    return fields


def body(completion: Completion, envelope: Envelope) -> dict[str, Any]:
    """The response of a call that does not stream."""
    dialect = envelope.dialect
    message: dict[str, Any] = {"role": "assistant", "content": completion.echo + "".join(completion.text) or None}
    if completion.reasoning:
        message[dialect.reasoning_field] = "".join(completion.reasoning)
    if completion.calls:
        message["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": "".join(call.arguments)}}
            for call in completion.calls
        ]
    scores = {} if completion.scores is None else {"logprobs": report(completion.scores, dialect)}
    return {
        "id": envelope.id,
        "object": "chat.completion",
        "created": envelope.created,
        "model": envelope.model,
        "choices": [{"index": 0, "message": message, "finish_reason": _finish(completion, dialect), **scores}],
        "usage": usage_fields(completion.usage, dialect),
    }


def events(completion: Completion, envelope: Envelope, *, include_usage: bool) -> Iterator[Event]:
    """The events of a stream, one output token each (a whole tool call where the dialect says so)."""
    dialect = envelope.dialect
    if dialect.preamble:
        yield Event(dialect.preamble, Mark.OTHER)
    if dialect.empty_choices_first:
        filtered = [{"prompt_index": 0, "content_filter_results": {"hate": {"filtered": False, "severity": "safe"}}}]
        yield Event(envelope.chunk([], prompt_filter_results=filtered), Mark.OTHER)
    yield Event(envelope.chunk([_choice({"role": "assistant", "content": ""})]), Mark.OTHER)
    sent = 0
    scores = None if completion.scores is None else iter(completion.scores)
    for number, (delta, size) in enumerate(_deltas(completion, dialect), 1):
        sent += size
        said = _choice(delta)
        if scores is not None:
            said["logprobs"] = report([next(scores)], dialect) if size and "content" in delta else None
        comment = b": keep-alive\n\n" if dialect.comment_every and number % dialect.comment_every == 0 else b""
        data = comment + envelope.chunk([said], **_running(completion, dialect, sent))
        yield Event(data, Mark.OUTPUT, size, dialect.usage is UsagePlace.EVERY_CHUNK)
    yield from _ending(completion, envelope, include_usage)


def _ending(completion: Completion, envelope: Envelope, include_usage: bool) -> Iterator[Event]:
    dialect = envelope.dialect
    usage = {"usage": usage_fields(completion.usage, dialect)}
    with_finish = dialect.usage is not UsagePlace.LAST_CHUNK
    if dialect.sends_finish_reason:
        choice = _choice({}, _finish(completion, dialect))
        yield Event(envelope.chunk([choice], **(usage if with_finish else {})), Mark.FINISH, usage=with_finish)
    if include_usage and not with_finish:
        yield Event(envelope.chunk([], **usage), Mark.OTHER, usage=True)
    if dialect.sends_done:
        yield Event(dialect.data_prefix + b"[DONE]" + dialect.separator, Mark.DONE)


def _deltas(completion: Completion, dialect: Dialect) -> Iterator[tuple[dict[str, Any], int]]:
    for piece in completion.reasoning:
        yield {dialect.reasoning_field: piece}, 1
    if completion.echo:
        yield {"content": completion.echo}, 0
    for piece in completion.text:
        yield {"content": piece}, 1
    for position, call in enumerate(completion.calls):
        yield from _call_deltas(call, position, dialect)


def _call_deltas(call: Called, position: int, dialect: Dialect) -> Iterator[tuple[dict[str, Any], int]]:
    indexes: dict[ToolIndex, dict[str, Any]] = {
        ToolIndex.NUMBERED: {"index": position},
        ToolIndex.ALWAYS_ZERO: {"index": 0},
        ToolIndex.NULL: {"index": None},
        ToolIndex.MISSING: {},
    }
    index = indexes[dialect.tool_index]
    first, rest = call.arguments[:1], call.arguments[1:]
    if dialect.whole_tool_calls:
        first, rest = call.arguments, ()
    function = {"name": call.name, "arguments": "".join(first)}
    yield {"tool_calls": [{**index, "id": call.id, "type": "function", "function": function}]}, len(first)
    for piece in rest:
        yield {"tool_calls": [{**index, "function": {"arguments": piece}}]}, 1


def _running(completion: Completion, dialect: Dialect, sent: int) -> dict[str, Any]:
    if dialect.usage is not UsagePlace.EVERY_CHUNK:
        return {}
    return {"usage": usage_fields(completion.usage_after(sent), dialect)}


def _choice(delta: dict[str, Any], finish_reason: str | None = None) -> dict[str, Any]:
    return {"index": 0, "delta": delta, "finish_reason": finish_reason}


def _finish(completion: Completion, dialect: Dialect) -> str:
    return dialect.tool_finish if completion.finish_reason == "tool_calls" else completion.finish_reason
