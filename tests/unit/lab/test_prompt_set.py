"""Prompt sets in their three forms, and every mistake in them at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from router_service.domain.chat import JsonSchemaFormat, Role
from router_service.lab.prompt_set import PromptSetError, read_prompt_set

EXAMPLE = Path(__file__).parents[3] / "docs" / "examples" / "evaluation" / "prompts.jsonl"


def written(folder: Path, name: str, text: str) -> Path:
    file = folder / name
    file.write_text(text)
    return file


def test_the_example_is_a_prompt_set() -> None:
    prompts = read_prompt_set(EXAMPLE)
    assert len(prompts) == len({prompt.id for prompt in prompts}) == 16
    assert {prompt.feature for prompt in prompts} == {"arithmetic", "triage", "reply", "extraction"}


def test_jsonl_holds_all_that_can_be_said_of_a_prompt(tmp_path: Path) -> None:
    file = written(
        tmp_path,
        "set.jsonl",
        '{"id": 7, "prompt": "One\u2028two?", "feature": "faq", "tier": "free", "system": "Be brief.", '
        '"max_output_tokens": 50, "expected": ["yes", "Yes, sir"], "rubric": "Kind."}\n\n'
        '{"messages": [{"role": "user", "content": "A"}, {"role": "assistant", "content": "B"}, '
        '{"role": "user", "content": "C"}], "schema": {"type": "object"}}\n',
    )
    one, other = read_prompt_set(file)
    assert (one.id, one.feature, one.tier, one.rubric) == ("7", "faq", "free", "Kind.")
    assert [(message.role, message.text) for message in one.chat.messages] == [
        (Role.SYSTEM, "Be brief."),
        (Role.USER, "One\u2028two?"),
    ]
    assert one.chat.parameters.max_output_tokens == 50
    assert one.expected is not None
    assert one.expected.holds("  YES,   sir. ")
    assert not one.expected.holds("yes and no")
    assert other.id == "3"
    assert other.text == "user: A\n\nassistant: B\n\nuser: C"
    assert isinstance(other.chat.response_format, JsonSchemaFormat)
    assert one.digest != other.digest


def test_csv_has_a_column_for_each_check(tmp_path: Path) -> None:
    file = written(
        tmp_path,
        "set.csv",
        "id,prompt,feature,expected,expected_regex,expected_one_of,schema,max_output_tokens\n"
        'a,"What, now?",faq,Yes,,,,\n'
        'b,"Two\nlines",,,^[0-9]+$,,,10\n'
        "c,Choose,,,,red|green,,\n"
        'd,Give JSON,,,,,"{""type"": ""object""}",\n',
    )
    a, b, c, d = read_prompt_set(file)
    assert [prompt.expected and prompt.expected.holds(answer) for prompt, answer in
            ((a, "yes."), (b, "42"), (c, "Green"), (d, ""))] == [True, True, True, None]  # fmt: skip
    assert b.chat.parameters.max_output_tokens == 10
    assert a.chat.messages[0].text == "What, now?"
    assert d.chat.response_format is not None


def test_any_other_text_is_a_prompt_a_line(tmp_path: Path) -> None:
    prompts = read_prompt_set(written(tmp_path, "set.txt", "First?\n\n Second? \n"))
    assert [(prompt.id, prompt.text) for prompt in prompts] == [("1", "First?"), ("3", "Second?")]


def test_every_mistake_is_told_with_its_line(tmp_path: Path) -> None:
    file = written(
        tmp_path,
        "set.jsonl",
        '{"prompt": "fine", "id": "same"}\n'
        "nonsense\n"
        '["a list"]\n'
        '{"prompt": ""}\n'
        '{"prompt": "a", "messages": [{"role": "user", "content": "b"}]}\n'
        '{"prompt": "a", "expcted": "b"}\n'
        '{"prompt": "a", "expected": {"regex": "("}}\n'
        '{"prompt": "a", "expected": {"is": "b"}}\n'
        '{"prompt": "a", "expected": []}\n'
        '{"prompt": "a", "max_output_tokens": "many", "feature": 3}\n'
        '{"prompt": "a", "schema": "text"}\n'
        '{"messages": [{"role": "robot", "content": "b"}]}\n'
        '{"prompt": "again", "id": "same"}\n',
    )
    with pytest.raises(PromptSetError) as caught:
        read_prompt_set(file)
    lines = str(caught.value).splitlines()
    told = [
        (2, "not a JSON object"),
        (3, "not a JSON object such as"),
        (4, "`prompt` is text, and not empty"),
        (5, "either `prompt` or `messages`"),
        (6, "no field `expcted`"),
        (7, "the pattern is none that RE2 knows"),
        (8, "one of exact, one_of, contains, regex, number"),
        (9, "holds texts, at least one"),
        (10, "`feature` is text"),
        (10, "`max_output_tokens` is a whole number"),
        (11, "`schema`: the schema is no object"),
        (12, "messages[0] is"),
        (13, 'the id "same" is that of line 1 already'),
    ]
    assert len(lines) == len(told)
    for line, (number, words) in zip(lines, told, strict=True):
        assert line.startswith(f"{file}:{number}: ")
        assert words in line


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("prompt,speed\na,b\n", ":1: no column is called 'speed'"),
        ("question\na\n", ":1: there is no column `prompt`"),
        ("prompt,expected,expected_regex\na,b,c\n", ":2: only one of"),
        ("prompt,schema\na,{\n", ":2: `schema` is JSON"),
        ("prompt\na,b\n", ":2: it has more values"),
    ],
)
def test_mistakes_in_csv_are_told_with_their_line(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(PromptSetError) as caught:
        read_prompt_set(written(tmp_path, "set.csv", text))
    assert told in str(caught.value)


def test_a_file_without_prompts_is_told(tmp_path: Path) -> None:
    with pytest.raises(PromptSetError, match="holds no prompts"):
        read_prompt_set(written(tmp_path, "set.txt", "\n"))
    with pytest.raises(PromptSetError, match="cannot be read: No such file"):
        read_prompt_set(tmp_path / "none.txt")
    (tmp_path / "latin.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(PromptSetError, match="save it as UTF-8"):
        read_prompt_set(tmp_path / "latin.txt")
