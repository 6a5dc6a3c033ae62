"""Log-probabilities as providers send them, read so that nothing in them can cost the answer they come with.

OpenAI's shape is a list of tokens, each with others that could have stood in its place; the older one, of Together
and others, has a list for each of these; some streams have the bare number of the chunk's own text.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from math import exp
from typing import Any

import msgspec
from msgspec import Raw

from router_service.domain.logprob import LEAST_LOGPROB, Logprobs, LogprobWish, TokenLogprob, TopLogprob
from router_service.domain.upstream import Reply
from router_service.providers.chunks import NOTHING

# What is kept for the caller of one answer, as it is sent; a message of 4 MiB has to hold it beside the answer.
_MOST_SHOWN_BYTES = 2 * 1024 * 1024
_BYTES_OF_A_TOKEN = 20
# What is read at once. Every piece of JSON becomes an object many times its size.
_MOST_RAW_BYTES = 4 * 1024 * 1024
# About as much of an answer as gates read of its text.
_MOST_MARGINS = 8192
_LONGEST_TOKEN = 256
_MOST_TOP = 32
# A probability of one may be calculated as a little more.
_ROUNDING = 1e-3
_NOTHING: tuple[()] = ()

_object = msgspec.json.Decoder(dict[str, Raw]).decode
_list = msgspec.json.Decoder(list[Raw]).decode
_any = msgspec.json.Decoder().decode
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class LogprobReader:
    """Reads those of one answer as `wish` says: margins into `reply`, for gates; the rest for the caller, by `take`."""

    def __init__(self, wish: LogprobWish, reply: Reply) -> None:
        self._reply = reply
        self._shown = wish.shown
        self._judged = wish.judged
        self._fresh: list[TokenLogprob] = []
        self._bytes_left = _MOST_SHOWN_BYTES
        self._is_truncated = False

    def read(self, report: Raw, text: str) -> None:
        """Read what came with `text`; what cannot be read is left out."""
        if report is NOTHING:
            return
        if memoryview(report).nbytes > _MOST_RAW_BYTES:
            self._is_truncated = True
            return
        for token in _tokens(report, text):
            if self._judged:
                self._judge(token)
            if self._shown is not None:
                self._show(token, self._shown)
            elif not self._judges_more:
                return

    def take(self) -> Logprobs | None:
        """Those that were read since the last time."""
        if not self._fresh:
            return None
        fresh, self._fresh = tuple(self._fresh), []
        return Logprobs(fresh, self._is_truncated)

    @property
    def _judges_more(self) -> bool:
        return self._reply.margins is None or len(self._reply.margins) < _MOST_MARGINS

    def _judge(self, token: TokenLogprob) -> None:
        margin = _margin(token)
        if margin is not None and self._judges_more:
            if self._reply.margins is None:
                self._reply.margins = array("f")
            self._reply.margins.append(margin)

    def _show(self, token: TokenLogprob, most: int) -> None:
        if self._is_truncated:
            return
        kept = TokenLogprob(token.token, token.logprob, token.token_bytes, token.top[:most])
        self._bytes_left -= _size(kept) + sum(map(_size, kept.top))
        if self._bytes_left < 0:
            self._is_truncated = True
        else:
            self._fresh.append(kept)


def _size(token: TokenLogprob | TopLogprob) -> int:
    """About what it takes on the wire, rather more than less."""
    return _BYTES_OF_A_TOKEN + 3 * len(token.token) + len(token.token_bytes)


def _margin(token: TokenLogprob) -> float | None:
    """By how much probability a token leads the next likely one, from -1 to 1; `None` where its own is not known.

    Where no other is given the next one has what the token leaves, at most.
    """
    if token.logprob is None:
        return None
    probability = exp(token.logprob)
    others = (
        exp(one.logprob)
        for one in token.top
        if one.logprob is not None and (one.token, one.token_bytes) != (token.token, token.token_bytes)
    )
    return probability - max(others, default=1 - probability)


def _tokens(report: Raw, text: str) -> Iterator[TokenLogprob]:
    """The tokens in a report of any shape; none where it is of none."""
    try:
        if not _begins(report, b"{"):
            if text and (logprob := _logprob(_any(report))) is not None:
                yield TokenLogprob(text[:_LONGEST_TOKEN], logprob)
            return
        fields = _object(report)
        listed = next((fields[name] for name in ("content", "refusal") if _is_list(fields.get(name))), None)
        if listed is None:
            yield from _listed_apart(fields)
            return
        entries = _list(listed)
    except _UNREADABLE:
        return
    for entry in entries:
        try:
            read = _any(entry)
        except _UNREADABLE:
            continue
        if isinstance(read, dict) and isinstance(token := read.get("token"), str):
            yield TokenLogprob(
                token[:_LONGEST_TOKEN],
                _logprob(read.get("logprob")),
                _bytes(read, token),
                _top(read.get("top_logprobs")),
            )


def _is_list(report: Raw | None) -> bool:
    return report is not None and _begins(report, b"[")


def _begins(report: Raw, mark: bytes) -> bool:
    return memoryview(report)[:1] == mark


def _listed_apart(fields: dict[str, Raw]) -> Iterator[TokenLogprob]:
    """The older shape: `tokens`, `token_logprobs` and `top_logprobs` side by side."""
    tokens, logprobs, tops = (
        _any(fields[name]) if _is_list(fields.get(name)) else _NOTHING
        for name in ("tokens", "token_logprobs", "top_logprobs")
    )
    for at, token in enumerate(tokens):
        if isinstance(token, str):
            logprob = _logprob(logprobs[at]) if at < len(logprobs) else None
            yield TokenLogprob(token[:_LONGEST_TOKEN], logprob, b"", _top(tops[at] if at < len(tops) else None))


def _top(stated: object) -> tuple[TopLogprob, ...]:
    if isinstance(stated, dict):
        return tuple(TopLogprob(token[:_LONGEST_TOKEN], _logprob(stated[token])) for token in list(stated)[:_MOST_TOP])
    if not isinstance(stated, list):
        return _NOTHING
    return tuple(
        TopLogprob(token[:_LONGEST_TOKEN], _logprob(one.get("logprob")), _bytes(one, token))
        for one in stated[:_MOST_TOP]
        if isinstance(one, dict) and isinstance(token := one.get("token"), str)
    )


def _logprob(stated: object) -> float | None:
    """A log-probability; `None` for anything that cannot be one."""
    if type(stated) is not float and type(stated) is not int:
        return None
    # An integer may be too large for a float, and NaN is not below anything.
    return float(min(0, max(stated, LEAST_LOGPROB))) if stated <= _ROUNDING else None


def _bytes(stated: dict[str, Any], token: str) -> bytes:
    """The token's bytes where its text does not say them."""
    given: Sequence[object] | None = stated.get("bytes")
    if not isinstance(given, list) or len(given) > _LONGEST_TOKEN:
        return b""
    try:
        read = bytes(given)
    except (TypeError, ValueError):
        return b""
    return b"" if read == token.encode() else read
