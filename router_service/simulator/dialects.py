"""How the simulated providers differ in what they send: data, read by `wire`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from router_service.domain.vendor import Prefill


class UsagePlace(StrEnum):
    """Where a stream reports usage."""

    LAST_CHUNK = "last_chunk"
    """In a chunk of its own without choices, only where asked for."""
    FINISH_CHUNK = "finish_chunk"
    """In the chunk with the finish reason, asked for or not."""
    EVERY_CHUNK = "every_chunk"
    """Cumulative in every chunk, asked for or not."""


class ToolIndex(StrEnum):
    """How a stream numbers its tool calls."""

    NUMBERED = "numbered"
    ALWAYS_ZERO = "always_zero"
    NULL = "null"
    MISSING = "missing"


class LogprobShape(StrEnum):
    """How log-probabilities are asked for and told."""

    ENTRIES = "entries"
    """By `logprobs: true` and `top_logprobs`; told token by token, with others in the place of each."""
    LISTS = "lists"
    """By a number in `logprobs`; told in lists side by side (Together)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """Differences from OpenAI's stream; the defaults are OpenAI's own.

    `preamble` is sent before the first chunk. `whole_tool_calls` sends each tool call in one piece.
    `comment_every` puts an SSE comment before every n-th chunk. `tool_finish` and `reasoning_field` name what they
    say. `refused_fields` are answered with 422.

    `prefill` is how it is asked to go on from the beginning of an answer, `echoes_prefix` says that it repeats that
    beginning first. `prefill_refusal` is what it answers, with a 400, to a last message of the assistant that does not
    ask so; where it is empty the answer begins anew. `refuses_trailing_space` refuses a beginning that ends in white
    space.
    """

    name: str
    usage: UsagePlace = UsagePlace.LAST_CHUNK
    tool_index: ToolIndex = ToolIndex.NUMBERED
    tool_finish: str = "tool_calls"
    reasoning_field: str = "reasoning_content"
    empty_choices_first: bool = False
    whole_tool_calls: bool = False
    preamble: bytes = b""
    body_preamble: bytes = b""
    comment_every: int = 0
    data_prefix: bytes = b"data: "
    separator: bytes = b"\n\n"
    sends_finish_reason: bool = True
    sends_done: bool = True
    cache_hit_fields: bool = False
    refused_fields: frozenset[str] = frozenset()
    prefill: Prefill = Prefill.NONE
    prefill_refusal: str = ""
    echoes_prefix: bool = False
    refuses_trailing_space: bool = False
    logprobs: LogprobShape = LogprobShape.ENTRIES


OPENAI = Dialect(name="openai")

DIALECTS = {
    dialect.name: dialect
    for dialect in (
        OPENAI,
        Dialect(name="azure", empty_choices_first=True),
        Dialect(
            name="gemini",
            usage=UsagePlace.EVERY_CHUNK,
            tool_index=ToolIndex.NULL,
            tool_finish="stop",
            whole_tool_calls=True,
            separator=b"\r\n\r\n",
        ),
        Dialect(
            name="ollama",
            tool_index=ToolIndex.ALWAYS_ZERO,
            tool_finish="stop",
            reasoning_field="reasoning",
            whole_tool_calls=True,
            prefill=Prefill.PLAIN,
        ),
        Dialect(
            name="deepseek",
            usage=UsagePlace.FINISH_CHUNK,
            preamble=b": keep-alive\n\n",
            body_preamble=b"\n\n\n",
            cache_hit_fields=True,
            prefill=Prefill.PREFIX,
        ),
        Dialect(
            name="mistral",
            usage=UsagePlace.FINISH_CHUNK,
            tool_index=ToolIndex.MISSING,
            whole_tool_calls=True,
            refused_fields=frozenset({"stream_options", "max_completion_tokens"}),
            prefill=Prefill.PREFIX,
            prefill_refusal="Expected last role User or Tool (or Assistant with prefix True) for serving but got"
            " assistant",
            echoes_prefix=True,
        ),
        Dialect(name="anthropic", prefill=Prefill.PLAIN, refuses_trailing_space=True),
        Dialect(
            name="anthropic_4_6",
            prefill_refusal="This model does not support assistant message prefill. The conversation must end with a"
            " user message.",
        ),
        Dialect(name="together", usage=UsagePlace.FINISH_CHUNK, logprobs=LogprobShape.LISTS),
        Dialect(name="groq", refused_fields=frozenset({"logprobs", "top_logprobs"})),
        Dialect(name="moonshot", prefill=Prefill.PARTIAL),
        Dialect(
            name="openrouter",
            reasoning_field="reasoning",
            preamble=b": OPENROUTER PROCESSING\n\n: OPENROUTER PROCESSING\n\n",
            comment_every=16,
        ),
        Dialect(name="vllm", usage=UsagePlace.EVERY_CHUNK, data_prefix=b"data:", prefill=Prefill.CONTINUE_FINAL),
        Dialect(name="bare_done", sends_finish_reason=False),
        Dialect(name="bare_finish", sends_done=False),
    )
}
"""The dialects by name: providers' own, and two that end a stream with `[DONE]` alone or a finish reason alone."""
