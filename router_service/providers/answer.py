"""From what a provider sent to a `Reply`: whole answers and streams, verified to have finished."""

from __future__ import annotations

import re

import msgspec
from msgspec import Raw

from router_service.domain.chat import FinishReason, Opaque
from router_service.domain.error import UpstreamError, UpstreamFault
from router_service.domain.event import Delta, ReasoningDelta, TextDelta
from router_service.domain.upstream import Reply, UpstreamRequest
from router_service.providers.chunks import (
    NOTHING,
    Choice,
    Chunk,
    ContentPart,
    Output,
    ScoredChoice,
    decode_chunk,
    decode_damaged,
    decode_scored_chunk,
    read_usage,
)
from router_service.providers.echo import LEAST_ECHO, PrefixEcho
from router_service.providers.failure import stream_failure
from router_service.providers.logprobs import LogprobReader
from router_service.providers.opaque import OpaqueState, encode_opaque
from router_service.providers.sse import ErrorEvent
from router_service.providers.tool_calls import ToolCallBook

_FINISH_REASONS = {
    "stop": FinishReason.STOP,
    "end_turn": FinishReason.STOP,
    "stop_sequence": FinishReason.STOP,
    "eos": FinishReason.STOP,
    "length": FinishReason.LENGTH,
    "max_tokens": FinishReason.LENGTH,
    "model_length": FinishReason.LENGTH,
    "model_context_window_exceeded": FinishReason.LENGTH,
    "tool_calls": FinishReason.TOOL_CALLS,
    "function_call": FinishReason.TOOL_CALLS,
    "tool_use": FinishReason.TOOL_CALLS,
    "content_filter": FinishReason.CONTENT_FILTER,
    "refusal": FinishReason.CONTENT_FILTER,
    "sensitive": FinishReason.CONTENT_FILTER,
    "safety": FinishReason.CONTENT_FILTER,
    "recitation": FinishReason.CONTENT_FILTER,
    "prohibited_content": FinishReason.CONTENT_FILTER,
}
# What some put in the place of a finish reason when the answer is not finished.
_FAILED_REASONS = frozenset(
    {"error", "abort", "aborted", "cancelled", "network_error", "insufficient_system_resource", "timeout"}
)
_UNDECODABLE = (msgspec.DecodeError, UnicodeDecodeError)
# Names end up in receipts and spans.
_LONGEST_NAME = 256
_BLANK = b"\xef\xbb\xbf \t\r\n"
# Every chunk may say that there is no error.
_ERROR = re.compile(rb'"error"\s*:\s*(?:"[^"]|[\[{]\s*["\[{])')


class AnswerReader:
    """Fills `reply` with the answer to `request`, from one body or from the pieces of a stream.

    `requires_finish_reason` is false for providers that end a stream with `[DONE]` alone. `echoes_prefix` is true for
    those that repeat the beginning that they go on from; a long one that comes again is an echo whoever sends it.
    """

    def __init__(
        self,
        request: UpstreamRequest,
        reply: Reply,
        *,
        requires_finish_reason: bool = True,
        echoes_prefix: bool = False,
    ) -> None:
        self._provider = request.deployment.provider
        self._origin = request.deployment.id
        self._reply = reply
        self._requires_finish_reason = requires_finish_reason
        self._tool_calls = ToolCallBook(request.attempt_id)
        self._opaque = OpaqueState()
        self._deltas: list[Delta] = []
        self._text: list[str] = []
        self._text_is_reasoning = False
        # `n` among the caller's extra fields brings several answers.
        self._index: object = None
        # Once the answer's id and model are known, of most chunks only the text is left to read.
        self._reads_text_alone = False
        may_echo = bool(request.prefix) and (echoes_prefix or len(request.prefix) >= LEAST_ECHO)
        self._echo = PrefixEcho(request.prefix) if may_echo else None
        self._logprobs = LogprobReader(request.logprobs, reply) if request.logprobs is not None else None
        self._decode = decode_chunk if request.logprobs is None else decode_scored_chunk

    @property
    def finished(self) -> bool:
        """Whether the provider said why it stopped."""
        return self._reply.finish_reason is not None

    def read_answer(self, body: bytes) -> list[Delta]:
        """The output of a whole answer. Raises `UpstreamError` unless it is one, and finished."""
        try:
            try:
                chunk = self._decode(body)
            except _UNDECODABLE:
                chunk = decode_damaged(body, self._decode)
        except (msgspec.DecodeError, RecursionError) as error:
            raise self._unreadable(body) from error
        try:
            self._read(chunk, body)
            if not chunk.choices:
                raise self.malformed("an answer without choices")
        finally:
            deltas = self.take()
        self.ended(done=True)
        return deltas

    def read_events(self, events: list[bytes]) -> bool:
        """Read the events of one piece of a stream; true once `[DONE]` was among them. Raises `UpstreamError`."""
        text_alone, decode = self._reads_text_alone, self._decode
        event = b""
        try:
            for event in events:
                if event == b"[DONE]":
                    self._add_rest()
                    return True
                if type(event) is ErrorEvent:
                    raise stream_failure(self._provider, event)
                if event.isspace():
                    continue
                try:
                    chunk = decode(event)
                except _UNDECODABLE:
                    chunk = decode_damaged(event, decode)
                if text_alone and (text := chunk.text_alone) is not None:
                    if text:
                        self._add_text(text, is_reasoning=False)
                else:
                    self._read(chunk, event)
                    text_alone = self._reads_text_alone
        except (msgspec.DecodeError, RecursionError) as error:
            raise self._unreadable(event) from error
        return False

    def take(self) -> list[Delta]:
        """The output since the last time, adjacent text merged; it is in the reply from now on."""
        self._flush_text()
        deltas, self._deltas = self._deltas, []
        if deltas:
            if self._logprobs is not None and (logprobs := self._logprobs.take()) is not None:
                deltas.append(logprobs)
            self._reply.add(deltas)
        return deltas

    def ended(self, *, done: bool) -> None:
        """Nothing more comes; `done` says that the provider said so itself. Raises `UpstreamError` unless finished."""
        if self.finished:
            return
        if done and not self._requires_finish_reason:
            self._reply.finish_reason = self._finish(FinishReason.STOP)
            return
        raise UpstreamError(
            UpstreamFault.TRUNCATED, f"{self._provider} ended the answer without saying why: it may be cut off."
        )

    @property
    def _has_output(self) -> bool:
        """Whether anything came so far. MiniMax ends a stream with a message that repeats it all."""
        return bool(self._text or self._deltas) or self._reply.has_output

    @property
    def _has_answer(self) -> bool:
        """Whether text or a tool call came so far."""
        return (
            bool(self._reply.text_parts or self._reply.tool_calls)
            or (bool(self._text) and not self._text_is_reasoning)
            or any(not isinstance(delta, ReasoningDelta) for delta in self._deltas)
        )

    def _unreadable(self, body: bytes) -> UpstreamError:
        if body.lstrip(_BLANK)[:1] in (b"[", b'"') or _ERROR.search(body):
            return stream_failure(self._provider, body)
        return self.malformed("something that is not JSON of the expected shape")

    def _read(self, chunk: Chunk, body: bytes) -> None:
        """Read a chunk decoded from `body`. Raises `UpstreamError` where it reports a failure."""
        if chunk.is_error:
            # A chunk may carry the last counts along with the error: they are what will be billed.
            self._read_usage(chunk)
            raise stream_failure(self._provider, body)
        reply = self._reply
        if not reply.response_id and isinstance(chunk.id, str | int):
            reply.response_id = str(chunk.id)[:_LONGEST_NAME]
        if not reply.response_model and isinstance(chunk.model, str):
            reply.response_model = chunk.model[:_LONGEST_NAME]
        self._reads_text_alone = bool(reply.response_id and reply.response_model) and self._logprobs is None
        self._read_usage(chunk)
        if chunk.choices and self._index is None:
            self._index = 0 if self._has_output else _first_index(chunk.choices)
        choice = chunk.choice(self._index)
        if choice is not None:
            output = choice.delta
            if output is None and not self._has_output:
                output = choice.message
            if output is not None:
                self._read_output(output)
                if self._logprobs is not None and isinstance(choice, ScoredChoice):
                    self._read_logprobs(self._logprobs, choice, output)
            if choice.finish_reason:
                self._read_finish(choice)

    def _read_usage(self, chunk: Chunk) -> None:
        report = chunk.reported_usage
        if report is not None:
            self._reply.usage = read_usage(report, self._reply.usage)

    def _read_output(self, output: Output) -> None:
        reasoning = output.reasoning_content or output.reasoning
        if reasoning and isinstance(reasoning, str):
            self._add_text(reasoning, is_reasoning=True)
        if isinstance(output.content, str):
            if output.content:
                self._add_text(output.content, is_reasoning=False)
        elif output.content:
            for part in output.content:
                self._read_part(part)
        if output.refusal and isinstance(output.refusal, str):
            self._add_text(output.refusal, is_reasoning=False)
        if output.extra_content is not NOTHING:
            self._keep(output.extra_content, None)
        if output.tool_calls:
            self._add_rest()
            self._flush_text()
            for call in output.tool_calls:
                delta = self._tool_calls.delta(call)
                self._deltas.append(delta)
                if call.extra_content is not NOTHING:
                    self._keep(call.extra_content, delta.index)

    def _read_logprobs(self, reader: LogprobReader, choice: ScoredChoice, output: Output) -> None:
        """Those of text: thinking has none, nor has what is not said because it repeats the prefix."""
        text = output.content or output.refusal
        thinks_only = not text and bool(output.reasoning_content or output.reasoning)
        if not thinks_only and (self._echo is None or self._has_answer):
            reader.read(choice.logprobs, text if isinstance(text, str) else "")

    def _read_part(self, part: ContentPart) -> None:
        if isinstance(part.thinking, str):
            self._add_text(part.thinking, is_reasoning=True)
        elif part.thinking:
            for thought in part.thinking:
                self._add_text(thought.text or "", is_reasoning=True)
        elif part.text:
            self._add_text(part.text, is_reasoning=False)

    def _keep(self, state: Raw, tool_call: int | None) -> None:
        # Gemini also marks visible thoughts in this field; only signatures are state.
        if b"thought_signature" not in bytes(state):
            return
        if tool_call is None:
            self._opaque.message = state.copy()
        else:
            self._opaque.tool_calls[self._tool_calls.id_at(tool_call)] = state.copy()
        self._reply.opaque = (Opaque(self._origin, encode_opaque(self._opaque)),)

    def _read_finish(self, choice: Choice) -> None:
        self._add_rest()
        # Gemini may add a detail: "content_filter: PROHIBITED_CONTENT".
        said = (choice.finish_reason or "").lower().partition(":")[0]
        if said in _FAILED_REASONS:
            raise UpstreamError(
                UpstreamFault.SERVER, f"{self._provider} gave up in the middle of the answer, by its finish reason."
            )
        reason = _FINISH_REASONS.get(said)
        if reason is None and not self._has_answer:
            raise self.malformed("nothing, and a finish reason that is not known")
        self._reply.finish_reason = self._finish(reason or FinishReason.STOP)

    def _finish(self, reason: FinishReason) -> FinishReason:
        called = any(not isinstance(delta, TextDelta | ReasoningDelta) for delta in self._deltas)
        if reason is FinishReason.STOP and (called or self._reply.tool_calls):
            return FinishReason.TOOL_CALLS
        return reason

    def _add_rest(self) -> None:
        """Add what was held back because it agreed with the prefix, now that nothing more comes."""
        if self._echo is not None and (rest := self._echo.rest()):
            self._add_text(rest, is_reasoning=False)

    def _add_text(self, text: str, *, is_reasoning: bool) -> None:
        if self._echo is not None and not is_reasoning and not (text := self._echo.new(text)):
            return
        if is_reasoning is not self._text_is_reasoning:
            self._flush_text()
            self._text_is_reasoning = is_reasoning
        self._text.append(text)

    def _flush_text(self) -> None:
        if self._text:
            text = "".join(self._text)
            self._text.clear()
            self._deltas.append(ReasoningDelta(text) if self._text_is_reasoning else TextDelta(text))

    def malformed(self, what: str) -> UpstreamError:
        """The error for an answer that cannot be read; `what` says what came instead, in our words."""
        return UpstreamError(UpstreamFault.MALFORMED, f"{self._provider} answered with {what}.")


def _first_index(choices: list[Choice]) -> object:
    """The lowest index there is, `None` where none is given."""
    return min((choice.index for choice in choices if type(choice.index) is int), default=None)
