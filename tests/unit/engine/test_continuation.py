"""What of a continuation the caller lacks."""

from hypothesis import given
from hypothesis import strategies as st

from router_service.domain.event import ReasoningDelta, TextDelta, ToolCallDelta
from router_service.engine.continuation import Continuation


def appended(said, pieces):
    """What the caller reads in the end."""
    continuation = Continuation(said)
    return said + "".join(delta.text for piece in pieces for delta in continuation.take([TextDelta(piece)]))


def test_a_continuation_is_appended_as_it_comes():
    assert appended("The tides", [" follow", " the moon."]) == "The tides follow the moon."


def test_white_space_that_was_not_sent_does_not_come_twice():
    assert Continuation("One,\n\n").prefix == "One,"
    assert appended("One,\n\n", ["\n", "\ntwo"]) == "One,\n\ntwo"
    assert appended("One ", ["two"]) == "One two"
    assert appended("One ", ["\ttwo"]) == "One \ttwo"
    assert appended("One  ", [" two"]) == "One  two"


def test_thinking_in_the_middle_of_an_answer_is_left_out():
    assert Continuation("Hel").take([ReasoningDelta("hm"), TextDelta("lo")]) == [TextDelta("lo")]


def test_a_tool_call_is_passed_on():
    call = ToolCallDelta(index=0, id="1", name="tide")
    assert Continuation("Hel").take([TextDelta("lo"), call]) == [TextDelta("lo"), call]


@given(data=st.data())
def test_however_the_provider_cuts_it_the_caller_reads_the_same(data):
    whole = data.draw(st.text(alphabet="ab \n", max_size=20))
    said = data.draw(st.sampled_from(["Hello", "Hello ", "Hello \n ", " "]))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=6)))
    pieces = [whole[start:end] for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    assert appended(said, pieces) == appended(said, [whole])
