"""Log-probabilities to protobuf."""

from __future__ import annotations

from llmrouter.v1 import chat_pb2
from router_service.domain.logprob import Logprobs, TokenLogprob, TopLogprob


def fill_logprobs(wire: chat_pb2.Logprobs, logprobs: Logprobs) -> None:
    """Put them into a message, in place."""
    wire.truncated = logprobs.truncated
    for token in logprobs.tokens:
        added = wire.tokens.add()
        _fill(added, token)
        for one in token.top:
            _fill(added.top_logprobs.add(), one)


def _fill(wire: chat_pb2.TokenLogprob | chat_pb2.TopLogprob, token: TokenLogprob | TopLogprob) -> None:
    wire.token = token.token
    if token.logprob is not None:
        wire.logprob = token.logprob
    if token.token_bytes:
        wire.raw_bytes = token.token_bytes
