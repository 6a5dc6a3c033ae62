"""What of a continuation is new to the caller."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router_service.domain.event import ReasoningDelta, TextDelta, ToolCallDelta
from router_service.engine.continuation import Continuation

SAID = "The tides follow the moon"


def appended(said, pieces):
    """What the caller reads in the end."""
    continuation = Continuation(said)
    deltas = [delta for piece in pieces for delta in continuation.take([TextDelta(piece)])]
    return said + "".join(delta.text for delta in [*deltas, *continuation.rest()])


def test_a_continuation_is_appended_as_it_comes():
    assert appended(SAID, [" and", " the sun."]) == SAID + " and the sun."


def test_what_is_new_is_shown_at_once():
    assert Continuation(SAID).take([TextDelta(" and")]) == [TextDelta(" and")]


def test_an_echo_of_what_was_given_is_not_shown_again():
    assert appended(SAID, [SAID + " and the sun."]) == SAID + " and the sun."


def test_a_beginning_that_only_looks_like_an_echo_is_shown_whole():
    assert appended(SAID, ["The tides", " rise."]) == SAID + "The tides rise."


def test_an_answer_that_ends_like_the_start_of_an_echo_loses_nothing():
    assert appended(SAID, ["The"]) == SAID + "The"


def test_a_short_beginning_that_comes_again_is_no_echo():
    assert appended("No", ["No", " way."]) == "NoNo way."


def test_white_space_that_was_not_sent_does_not_come_twice():
    assert Continuation("One,\n\n").prefix == "One,"
    assert appended("One,\n\n", ["\n", "\ntwo"]) == "One,\n\ntwo"
    assert appended("One ", ["two"]) == "One two"
    assert appended("One ", ["\ttwo"]) == "One \ttwo"


def test_an_echo_with_its_white_space_is_not_shown_again():
    assert appended(SAID + " ", [SAID, " and"]) == SAID + " and"


def test_thinking_in_the_middle_of_an_answer_is_left_out():
    assert Continuation(SAID).take([ReasoningDelta("hm"), TextDelta(".")]) == [TextDelta(".")]


def test_what_was_held_back_comes_before_a_tool_call():
    call = ToolCallDelta(index=0, id="1", name="tide")
    continuation = Continuation(SAID)
    assert continuation.take([TextDelta("The tides"), call]) == [TextDelta("The tides"), call]


@pytest.mark.parametrize("echoes", [False, True])
@given(data=st.data())
def test_however_the_provider_cuts_it_the_caller_reads_the_same(data, echoes):
    rest = data.draw(st.text(alphabet="ab \n", max_size=20))
    said = data.draw(st.sampled_from([SAID, SAID + " ", "Hi ", "x" * 40]))
    whole = (said.rstrip() if echoes and len(said.rstrip()) >= 16 else "") + rest
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=6)))
    pieces = [whole[start:end] for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    assert appended(said, pieces) == appended(said, [whole])
