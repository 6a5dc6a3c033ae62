"""Everything that fuzzing began with and found holds: without the fuzzer, in every run of the tests."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stream_invariants import an_input, check
from stream_seeds import seeds

SEEDS = seeds()
DICTIONARY = [
    b"data: ",
    b"data:",
    b"\n",
    b"\r",
    b"\n\n",
    b"\r\n\r\n",
    b": ping\n\n",
    b"event: error\n",
    b"[DONE]",
    b"{}",
]
CHUNKS = [
    b'{"choices":[{"delta":{"content":"a"}}]}',
    b'{"choices":[{"delta":{"reasoning":"b"}}]}',
    b'{"choices":[{"delta":{},"finish_reason":"stop"}]}',
    b'{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"name":"f","arguments":"{"}}]}}]}',
    b'{"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2}}',
    b'{"error":{"message":"x","code":429}}',
    b"\xff\xfe",
    b"\xe6\x97",
    b"<html>",
    b'{"choices":[{"delta":{"content":"\\ud800"}}]}',
]


@pytest.mark.parametrize("name", sorted(SEEDS))
def test_a_seed_or_finding_holds(name: str) -> None:
    check(SEEDS[name])


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from([*DICTIONARY, *CHUNKS]), max_size=24), st.lists(st.integers(0, 600), max_size=8))
def test_any_mixture_of_what_providers_send_holds(pieces: list[bytes], cuts: list[int]) -> None:
    check(an_input(b"".join(pieces), *cuts))


def test_a_check_sees_a_reader_that_depends_on_the_cuts(monkeypatch: pytest.MonkeyPatch) -> None:
    def by_piece(pieces: list[bytes], limits: dict[str, int]) -> tuple[list[tuple[str, bytes]], bool]:
        return [("bytes", piece) for piece, _ in pairwise([*pieces, b""])], False

    monkeypatch.setattr("stream_invariants._events", by_piece)
    with pytest.raises(AssertionError):
        check(an_input(b"data: a\n\n", 3))
