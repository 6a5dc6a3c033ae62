"""What providers send: the shapes of answers and stream chunks, as tolerant as the world is varied.

Every field may be missing or null, and unknown fields are skipped. Only what makes up an answer has a type: a wrong one
elsewhere must not lose an answer that is paid for. One type serves whole answers and chunks alike: a whole answer has
`message` in its choice where a chunk has `delta`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import Raw, Struct

from router_service.domain.money import Usage

NOTHING = Raw()
"""The provider state of what carries none."""

_UNUSED = Usage()
_MOST_TOKENS = 1_000_000_000
_DIGITS = re.compile(r"[0-9]{1,10}")
_NO_ERROR = (None, 0, "0", "")
_ESCAPE = re.compile(
    rb"""\\u[dD][89abAB][0-9a-fA-F]{2} \\u[dD][c-fC-F][0-9a-fA-F]{2}
    | (?P<half> \\u[dD][89a-fA-F][0-9a-fA-F]{2})
    | \\.""",
    re.VERBOSE | re.DOTALL,
)
# What is no number in JSON, outside of texts. Texts match whole, closed or not, so that it is linear.
_NO_NUMBER = re.compile(rb'(?P<text>"(?:[^"\\]++|\\.)*+(?:"|\\?\Z))|(?P<minus>-)?\b(?:NaN|Infinity)\b', re.DOTALL)


class _Piece(Struct, gc=False):
    """JSON has no cycles: the garbage collector need not know of the hundreds of objects in a stream."""


class Thought(_Piece):
    """A piece of text inside a Mistral `thinking` part."""

    text: str | None = None


class ContentPart(_Piece):
    """Content as a list of parts."""

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
    reasoning_content: Any = None
    reasoning: Any = None
    refusal: Any = None
    tool_calls: list[ToolCallPart] | None = None
    extra_content: Raw = NOTHING


class Choice(_Piece):
    """One of the answers, of which only one is read. Moonshot puts the usage here."""

    index: Any = None
    delta: Output | None = None
    message: Output | None = None
    finish_reason: str | None = None
    usage: Any = None
    error: Any = None


class Chunk(_Piece):
    """A whole answer or one chunk of a stream, or an error in the place of either. `x_groq` and `base_resp` are
    envelopes of Groq's and MiniMax's own.
    """

    id: Any = None
    model: Any = None
    choices: list[Choice] | None = None
    usage: Any = None
    error: Any = None
    object: Any = None
    type: Any = None
    code: Any = None
    message: Any = None
    detail: Any = None
    x_groq: Any = None
    base_resp: Any = None

    @property
    def text_alone(self) -> str | None:
        """The text of a chunk that carries nothing else of interest, as most do; `None` for any other chunk."""
        if not self.choices or self.usage or self.error or self.x_groq or self.base_resp:
            return None
        choice = self.choices[0]
        output = choice.delta
        if output is None or choice.index or choice.finish_reason or choice.usage or choice.error:
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

    def choice(self, index: object) -> Choice | None:
        """The piece of the answer with this index; a piece without one belongs to any."""
        return next((each for each in self.choices or () if type(each.index) is not int or each.index == index), None)

    @property
    def is_error(self) -> bool:
        """Whether this reports a failure, in any of the ways that providers have found."""
        if self.error or self._has_bad_envelope:
            return True
        choices = self.choices
        if choices:
            return bool(choices[0].error)
        return (
            self.object == "error"
            or self.type == "error"
            or (choices is None and self.usage is None and self._complains)
        )

    @property
    def _has_bad_envelope(self) -> bool:
        return _field(self.base_resp, "status_code") not in _NO_ERROR or bool(_field(self.x_groq, "error"))

    @property
    def _complains(self) -> bool:
        if self.code is not None:
            return str(self.code) not in ("0", "200")
        return bool(self.message or self.detail)

    @property
    def reported_usage(self) -> object:
        """The usage as it was sent, wherever it is; `None` where there is none."""
        if self.usage is not None:
            return self.usage
        if self.choices and self.choices[0].usage is not None:
            return self.choices[0].usage
        return _field(self.x_groq, "usage")


class ScoredChoice(Choice):
    """A choice with log-probabilities: apart, so that the many that carry none cost nothing."""

    logprobs: Raw = NOTHING


class ScoredChunk(Chunk):
    """What comes where log-probabilities were asked for."""

    choices: list[ScoredChoice] | None = None  # type: ignore[assignment]


DecodeChunk = Callable[[bytes], Chunk]

decode_chunk: DecodeChunk = msgspec.json.Decoder(Chunk).decode
decode_scored_chunk: DecodeChunk = msgspec.json.Decoder(ScoredChunk).decode


def decode_damaged(body: bytes, decode: DecodeChunk = decode_chunk) -> Chunk:
    """The chunk in a body that could not be decoded, once characters that are none are replaced by U+FFFD, and numbers
    that are none, such as NaN, by null.

    Some providers cut text between the halves of a surrogate pair, or in the middle of UTF-8. Raises
    `msgspec.DecodeError` or `RecursionError` where more is wrong.
    """
    text = body.decode("utf-8", "replace").encode()
    text = _ESCAPE.sub(lambda match: rb"\ufffd" if match["half"] else match[0], text)
    if decode is decode_scored_chunk:
        # Python's JSON writes them where a log-probability is none.
        text = _NO_NUMBER.sub(lambda match: match["text"] or (b"-9999.0" if match["minus"] else b"null"), text)
    return decode(text)


def read_usage(report: object, earlier: Usage | None) -> Usage | None:
    """The counts of `report`, under the names that providers use; what it does not mention stays as in `earlier`.

    An explicit 0 is a count. A number too large or below 0 is none, nor is what is not a whole number; without a count
    of input or output, or with a bad one, nothing is believed: `earlier` is returned. Output includes reasoning: where
    a provider leaves it out of `completion_tokens` (xAI, Gemini), the total has it.
    """
    if not isinstance(report, dict):
        return earlier
    stated_input, stated_output = report.get("prompt_tokens"), report.get("completion_tokens")
    read_input, read_output = _count(stated_input), _count(stated_output)
    if read_input is None and (read_output is None or stated_input is not None):
        return earlier
    if read_output is None and stated_output is not None:
        return earlier
    before = earlier or _UNUSED
    inputs = report.get("prompt_tokens_details")
    reasoning_tokens = _field(report.get("completion_tokens_details"), "reasoning_tokens")
    prompt = before.input_tokens if read_input is None else read_input
    completion = before.output_tokens if read_output is None else read_output
    reasoning = _first(reasoning_tokens, before.reasoning_tokens)
    total = _count(report.get("total_tokens"))
    hidden = 0 if total is None else total - prompt - completion
    if hidden > 0 and read_output is not None:
        completion += hidden
        reasoning = max(reasoning, hidden)
    return Usage(
        input_tokens=prompt,
        output_tokens=completion,
        cached_input_tokens=_first(
            _field(inputs, "cached_tokens"),
            report.get("prompt_cache_hit_tokens"),
            report.get("cached_tokens"),
            report.get("cache_read_input_tokens"),
            before.cached_input_tokens,
        ),
        cache_write_tokens=_first(
            _field(inputs, "cache_write_tokens"),
            _field(inputs, "cache_creation_tokens"),
            report.get("cache_creation_input_tokens"),
            before.cache_write_tokens,
        ),
        reasoning_tokens=reasoning,
    )


def _field(envelope: object, name: str) -> Any:
    return envelope.get(name) if isinstance(envelope, dict) else None


def _first(*stated: object) -> int:
    for each in stated:
        if each is not None and (count := _count(each)) is not None:
            return count
    return 0


def _count(stated: object) -> int | None:
    """A number of tokens, however it is written; `None` for anything that cannot be one."""
    if type(stated) is int:
        number = stated
    elif (isinstance(stated, str) and _DIGITS.fullmatch(stated)) or (isinstance(stated, float) and stated.is_integer()):
        number = int(stated)
    else:
        return None
    return number if 0 <= number <= _MOST_TOKENS else None
