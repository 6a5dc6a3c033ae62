"""What providers send: the shapes of answers and stream chunks, as tolerant as the world is varied.

Every field may be missing or null, and unknown fields are skipped. One type serves whole answers and chunks alike: a
whole answer has `message` in its choice where a chunk has `delta`.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Raw, Struct

from router_service.domain.money import Usage

NOTHING = Raw()
"""The provider state of what carries none."""


class _Piece(Struct, gc=False):
    """JSON has no cycles: the garbage collector need not know of the hundreds of objects in a stream."""


class Thought(_Piece):
    """A piece of text inside a Mistral `thinking` part."""

    text: str | None = None


class ContentPart(_Piece):
    """Content as a list of parts."""

    type: str | None = None
    text: str | None = None
    thinking: list[Thought] | str | None = None


class FunctionPart(_Piece):
    """A tool call's function. Some send the arguments as an object instead of JSON text."""

    name: str | None = None
    arguments: Any = None


class ToolCallPart(_Piece):
    """A tool call, or a piece of one."""

    index: int | None = None
    id: str | None = None
    function: FunctionPart | None = None
    extra_content: Raw = NOTHING


class Output(_Piece):
    """A message, or a piece of one."""

    content: str | list[ContentPart] | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    refusal: str | None = None
    tool_calls: list[ToolCallPart] | None = None
    extra_content: Raw = NOTHING


class CachedDetails(_Piece):
    """Details of the input tokens."""

    cached_tokens: int | None = None
    cache_write_tokens: int | None = None
    cache_creation_tokens: int | None = None


class ReasoningDetails(_Piece):
    """Details of the output tokens."""

    reasoning_tokens: int | None = None


class UsageReport(_Piece):
    """Token counts under the names that providers use."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None
    prompt_tokens_details: CachedDetails | None = None
    completion_tokens_details: ReasoningDetails | None = None
    prompt_cache_hit_tokens: int | None = None
    cached_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None


class Choice(_Piece):
    """One of the answers; only the first is ever asked for. Moonshot puts the usage here."""

    index: int | None = None
    delta: Output | None = None
    message: Output | None = None
    finish_reason: str | None = None
    usage: UsageReport | None = None
    error: Any = None


class GroqExtra(_Piece):
    """Groq's own envelope."""

    usage: UsageReport | None = None
    error: Any = None


class MinimaxStatus(_Piece):
    """MiniMax's own envelope: anything but 0 is an error."""

    status_code: int | None = None


class Chunk(_Piece):
    """A whole answer or one chunk of a stream, or an error in the place of either."""

    id: str | int | None = None
    model: str | None = None
    choices: list[Choice] | None = None
    usage: UsageReport | None = None
    error: Any = None
    object: str | None = None
    type: str | None = None
    code: Any = None
    message: Any = None
    detail: Any = None
    x_groq: GroqExtra | None = None
    base_resp: MinimaxStatus | None = None

    @property
    def text_alone(self) -> str | None:
        """The text of a chunk that carries nothing else of interest, as most do; `None` for any other chunk."""
        if not self.choices or self.usage or self.error or self.x_groq:
            return None
        choice = self.choices[0]
        output = choice.delta
        if output is None or choice.finish_reason or choice.usage or choice.error:
            return None
        if (
            output.reasoning_content
            or output.reasoning
            or output.refusal
            or output.tool_calls
            or output.extra_content is not NOTHING
        ):
            return None
        return output.content if isinstance(output.content, str) else None

    @property
    def is_error(self) -> bool:
        """Whether this reports a failure, in any of the ways that providers have found."""
        if self.error:
            return True
        choices = self.choices
        if choices:
            return bool(choices[0].error)
        return (
            self.object == "error"
            or self.type == "error"
            or (self.base_resp is not None and bool(self.base_resp.status_code))
            or (self.x_groq is not None and bool(self.x_groq.error))
            or (choices is None and self.usage is None and self._complains)
        )

    @property
    def _complains(self) -> bool:
        if self.code is not None:
            return str(self.code) not in ("0", "200")
        return bool(self.message or self.detail)

    @property
    def reported_usage(self) -> UsageReport | None:
        """The usage, wherever it is."""
        if self.usage is not None:
            return self.usage
        if self.choices and self.choices[0].usage is not None:
            return self.choices[0].usage
        return None if self.x_groq is None else self.x_groq.usage


decode_chunk = msgspec.json.Decoder(Chunk).decode


def read_usage(report: UsageReport, earlier: Usage | None) -> Usage:
    """The counts of `report`; what it does not mention stays as it was in `earlier`. An explicit 0 is a count.

    Output includes reasoning: where a provider leaves it out of `completion_tokens` (xAI, Gemini), the total has it.
    """
    before = earlier or Usage()
    inputs = report.prompt_tokens_details
    outputs = report.completion_tokens_details
    prompt = _first(report.prompt_tokens, before.input_tokens)
    completion = _first(report.completion_tokens, before.output_tokens)
    reasoning = _first(None if outputs is None else outputs.reasoning_tokens, before.reasoning_tokens)
    hidden = 0 if report.total_tokens is None else report.total_tokens - prompt - completion
    if hidden > 0 and report.completion_tokens is not None:
        completion += hidden
        reasoning = max(reasoning, hidden)
    return Usage(
        input_tokens=prompt,
        output_tokens=completion,
        cached_input_tokens=_first(
            None if inputs is None else inputs.cached_tokens,
            report.prompt_cache_hit_tokens,
            report.cached_tokens,
            report.cache_read_input_tokens,
            before.cached_input_tokens,
        ),
        cache_write_tokens=_first(
            None if inputs is None else inputs.cache_write_tokens,
            None if inputs is None else inputs.cache_creation_tokens,
            report.cache_creation_input_tokens,
            before.cache_write_tokens,
        ),
        reasoning_tokens=reasoning,
    )


def _first(*counts: int | None) -> int:
    for count in counts:
        if count is not None:
            return max(0, count)
    return 0
