from router_service.domain.event import ToolCallDelta
from router_service.providers.chunks import FunctionPart, ToolCallPart
from router_service.providers.tool_calls import ToolCallBook


def part(index: int | None, call_id: str | None, name: str | None, arguments: object = "") -> ToolCallPart:
    return ToolCallPart(index=index, id=call_id, function=FunctionPart(name=name, arguments=arguments))


def positions(*parts: ToolCallPart) -> list[int]:
    book = ToolCallBook("a")
    return [book.delta(each).index for each in parts]


def test_openai_names_a_call_once_and_then_numbers_its_pieces() -> None:
    assert positions(part(0, "x", "f"), part(0, None, None), part(1, "y", "g"), part(1, None, None)) == [0, 0, 1, 1]


def test_interleaved_pieces_find_their_call() -> None:
    assert positions(part(0, "x", "f"), part(1, "y", "g"), part(0, None, None), part(1, None, None)) == [0, 1, 0, 1]


def test_an_id_that_is_repeated_is_the_same_call() -> None:
    assert positions(part(0, "x", "f"), part(0, "x", "f"), part(0, "x", None)) == [0, 0, 0]


def test_a_new_id_with_a_name_is_a_new_call_even_at_the_same_index() -> None:
    assert positions(part(0, "x", "f"), part(0, "y", "f"), part(0, None, None)) == [0, 1, 1]


def test_a_new_id_without_a_name_continues_the_call_at_its_index() -> None:
    assert positions(part(0, "x", "f"), part(0, "y", None)) == [0, 0]


def test_without_an_index_a_name_begins_a_call() -> None:
    assert positions(part(None, "", "f"), part(None, "", None), part(None, "", "f")) == [0, 0, 1]


def test_indexes_need_not_begin_at_0() -> None:
    assert positions(part(3, "x", "f"), part(3, None, None), part(5, "y", "g")) == [0, 0, 1]


def test_the_id_and_the_name_come_with_the_first_delta_only() -> None:
    book = ToolCallBook("a")
    assert book.delta(part(0, "x", "f", "{")) == ToolCallDelta(index=0, id="x", name="f", arguments_json="{")
    assert book.delta(part(0, "x", "f", "}")) == ToolCallDelta(index=0, arguments_json="}")


def test_a_call_without_an_id_gets_one_that_can_be_answered() -> None:
    book = ToolCallBook("attempt-1")
    assert book.delta(part(None, None, "f")).id == "call_attempt-1_0"
    assert book.delta(part(None, "", "f")).id == "call_attempt-1_1"


def test_arguments_sent_as_an_object_become_json_text() -> None:
    assert ToolCallBook("a").delta(part(0, "x", "f", {"a": [1]})).arguments_json == '{"a":[1]}'
    assert ToolCallBook("a").delta(part(0, "x", "f", None)).arguments_json == ""


def test_a_name_after_whole_arguments_begins_a_call_where_all_have_index_0_and_no_id() -> None:
    parts = (part(0, "", "f", '{"a":1}'), part(0, "", "f", '{"b":2}'), part(0, "", None, ""))
    assert positions(*parts) == [0, 1, 1]
    book = ToolCallBook("a")
    assert [book.delta(each).id for each in parts[:2]] == ["call_a_0", "call_a_1"]


def test_a_name_that_is_repeated_within_the_arguments_is_the_same_call() -> None:
    assert positions(part(0, "", "f", ""), part(0, "", "f", '{"a"'), part(0, "", "f", ":1}")) == [0, 0, 0]
