"""Whatever stands where log-probabilities should be, and however a stream is cut, the answer is the same."""

from __future__ import annotations

import itertools
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from router_service.domain.chat import Chat
from router_service.domain.deployment import Deployment
from router_service.domain.logprob import LEAST_LOGPROB, LogprobWish
from router_service.domain.upstream import Reply, UpstreamRequest
from router_service.providers.answer import AnswerReader
from router_service.providers.stream import StreamReader

REQUEST = UpstreamRequest(
    attempt_id="a-1",
    deployment=Deployment(id="small", model="small", provider="acme", upstream_name="small"),
    chat=Chat(messages=()),
    parameters=Chat(messages=()).parameters,
    max_output_tokens=None,
    connect_timeout=1.0,
    read_timeout=1.0,
    logprobs=LogprobWish(top=2, shown=2, judged=True),
)
NUMBERS = st.one_of(st.floats(), st.integers(), st.just(-9999.0))
LEAVES = st.one_of(st.none(), st.booleans(), NUMBERS, st.text(max_size=8))
KEYS = st.sampled_from(
    ["content", "refusal", "token", "logprob", "bytes", "top_logprobs", "tokens", "token_logprobs", "x"]
)
REPORTS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(KEYS, inner, max_size=4)),
    max_leaves=20,
)


def event(text: str, report: Any) -> bytes:
    # As Python writes it: NaN and infinities too.
    choice = {"delta": {"content": text}, "logprobs": report}
    return b"data: " + json.dumps({"id": "c", "model": "m", "choices": [choice]}).encode() + b"\n\n"


END = b'data: {"id":"c","choices":[{"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'


def read(*pieces: bytes) -> Reply:
    reply = Reply()
    reader = StreamReader(AnswerReader(REQUEST, reply))
    for piece in pieces:
        if not reader.done:
            reader.feed(piece)
    reader.finish()
    return reply


@given(REPORTS)
def test_nothing_in_their_place_costs_the_answer(report: Any) -> None:
    reply = read(event("Hello", report) + event(" there", None) + END)
    assert reply.message().text == "Hello there"
    for token in reply.tokens:
        for one in (token, *token.top):
            assert one.logprob is None or LEAST_LOGPROB <= one.logprob <= 0
            one.token.encode()
    assert all(-1 <= margin <= 1 for margin in reply.margins or ())


SOME = [
    {"token": "Hé", "logprob": -0.25, "top_logprobs": [{"token": "He", "logprob": -2}]},
    {"token": "!", "logprob": -1},
]
STREAM = event("Hé", {"content": SOME[:1]}) + event("!", {"content": SOME[1:]}) + END


@given(st.lists(st.integers(0, len(STREAM)), max_size=8))
def test_any_cut_of_a_stream_gives_the_same(cuts: list[int]) -> None:
    places = sorted({0, *cuts, len(STREAM)})
    cut = read(*(STREAM[start:end] for start, end in itertools.pairwise(places)))
    whole = read(STREAM)
    assert cut.message() == whole.message()
    assert cut.tokens == whole.tokens
    assert [token.token for token in cut.tokens] == ["Hé", "!"]
    assert cut.margins == whole.margins
