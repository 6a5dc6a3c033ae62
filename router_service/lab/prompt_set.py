"""Prompt sets: the prompts that subjects are compared on, and what a right answer to each is.

JSONL, a line for each prompt, with `prompt` or `messages` and whatever else is known:
    {"prompt": "...", "id": "q1", "feature": "faq", "tier": "free", "system": "...", "max_output_tokens": 200,
     "expected": "42", "schema": {...}, "rubric": "..."}
CSV, with a header of the same names; `expected` is one text, `expected_regex` and `expected_one_of` (a|b|c) beside it.
Any other text file: a prompt a line.
"""

from __future__ import annotations

import csv
import hashlib
import io
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from router_service.domain.chat import Chat, JsonSchemaFormat, Message, Parameters, Role, TextPart
from router_service.lab.expected import Expected, ExpectedError, expected_of
from router_service.quality.schema import Schema, SchemaUnclear

_TEXTS = ("id", "feature", "tier", "system", "rubric")
_FIELDS = frozenset({*_TEXTS, "prompt", "messages", "max_output_tokens", "expected", "schema"})
_COLUMNS = frozenset({*_FIELDS, "expected_regex", "expected_one_of"}) - {"messages"}
_ROLES = {"system": Role.SYSTEM, "developer": Role.SYSTEM, "user": Role.USER, "assistant": Role.ASSISTANT}
_AS_MANY_AS_IT_TAKES = 2**24
_LONGEST_NAME = 128


class PromptSetError(Exception):
    """The file holds no prompts, or some that are none; the message has a line for each problem."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalPrompt:
    """A prompt to compare on, and the evidence there can be of a good answer. `digest` changes with what is asked."""

    id: str
    chat: Chat
    feature: str = ""
    tier: str = ""
    expected: Expected | None = None
    rubric: str = ""
    digest: str = ""

    @property
    def text(self) -> str:
        """What is asked, for people: the words of a single user, else who says what."""
        messages = self.chat.messages
        if len(messages) == 1:
            return messages[0].text
        return "\n\n".join(f"{message.role.value}: {message.text}" for message in messages)


def read_prompt_set(file: Path) -> list[EvalPrompt]:
    """All prompts of a .jsonl, .csv or text file. Raises `PromptSetError` with every problem found."""
    try:
        text = file.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise PromptSetError(f"{file}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise PromptSetError(f"{file}: is not UTF-8 text; save it as UTF-8") from error
    read = {".csv": _from_csv, ".jsonl": _from_jsonl, ".ndjson": _from_jsonl}.get(file.suffix.lower(), _from_lines)
    prompts: list[EvalPrompt] = []
    problems: list[str] = []
    at: dict[str, int] = {}
    for number, row in read(text):
        try:
            prompt = _prompt(row, number)
            if first := at.get(prompt.id):
                raise _NotAPrompt(f'the id "{prompt.id}" is that of line {first} already')
            at[prompt.id] = number
            prompts.append(prompt)
        except _NotAPrompt as error:
            problems.extend(f"{file}:{number}: {problem}" for problem in error.problems)
    if problems:
        raise PromptSetError("\n".join(problems))
    if not prompts:
        raise PromptSetError(f'{file}: holds no prompts; write one a line, such as {{"prompt": "Hello"}}')
    return prompts


class _NotAPrompt(Exception):
    def __init__(self, *problems: str) -> None:
        super().__init__(*problems)
        self.problems = problems


_Row = Mapping[str, Any] | str
"""What stands in a line; a text is what is wrong with it."""


def _from_jsonl(text: str) -> Iterator[tuple[int, _Row]]:
    # Not splitlines(): JSON's strings may hold what Unicode calls a line's end.
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = msgspec.json.decode(line)
        except (msgspec.DecodeError, RecursionError) as error:
            yield number, f"not a JSON object: {error}"
            continue
        yield number, row if isinstance(row, dict) else 'not a JSON object such as {"prompt": "Hello"}'


def _from_csv(text: str) -> Iterator[tuple[int, _Row]]:
    csv.field_size_limit(min(sys.maxsize, _AS_MANY_AS_IT_TAKES))
    reader = csv.DictReader(io.StringIO(text, newline=""))
    header = reader.fieldnames or ()
    if "prompt" not in header or (unknown := sorted(set(header) - _COLUMNS)):
        problem = "there is no column `prompt`" if "prompt" not in header else f"no column is called {unknown[0]!r}"
        yield 1, f"{problem}; columns are {', '.join(sorted(_COLUMNS))}"
        return
    try:
        for row in reader:
            if None in row:
                yield reader.line_num, "it has more values than there are columns; quote those with a comma"
                continue
            yield reader.line_num, _of_columns({name: value for name, value in row.items() if value})
    except csv.Error as error:
        yield reader.line_num, f"not CSV: {error}"


def _of_columns(row: dict[str, Any]) -> _Row:
    checks = {kind: row.pop(f"expected_{kind}", "") for kind in ("regex", "one_of")}
    given = {kind: text.split("|") if kind == "one_of" else text for kind, text in checks.items() if text}
    if len(given) + ("expected" in row) > 1:
        return "only one of `expected`, `expected_regex` and `expected_one_of` may be given"
    if given:
        row["expected"] = given
    try:
        if "schema" in row:
            row["schema"] = msgspec.json.decode(row["schema"])
        if "max_output_tokens" in row:
            row["max_output_tokens"] = int(row["max_output_tokens"])
    except ValueError as error:
        return f"`schema` is JSON and `max_output_tokens` a number: {error}"
    return row


def _from_lines(text: str) -> Iterator[tuple[int, _Row]]:
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            yield number, {"prompt": line.strip()}


def _prompt(row: _Row, number: int) -> EvalPrompt:
    if isinstance(row, str):
        raise _NotAPrompt(row)
    problems = [f"it has no field `{name}`; there are {', '.join(sorted(_FIELDS))}" for name in row.keys() - _FIELDS]
    texts: dict[str, str] = {}
    for name in _TEXTS:
        value = row.get(name)
        if value is None:
            continue
        if isinstance(value, int) and not isinstance(value, bool) and name == "id":
            value = str(value)
        if not isinstance(value, str):
            problems.append(f"`{name}` is text")
        elif name in {"feature", "tier", "id"} and (len(value) > _LONGEST_NAME or not value.isprintable()):
            problems.append(f"`{name}` is one line of at most {_LONGEST_NAME} characters")
        else:
            texts[name] = value
    messages = _messages(row, texts.get("system", ""), problems)
    limit = row.get("max_output_tokens")
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 1):
        problems.append("`max_output_tokens` is a whole number from 1")
    expected = None
    if row.get("expected") is not None:
        try:
            expected = expected_of(row["expected"])
        except ExpectedError as error:
            problems.append(f"`expected`: {error}")
    schema = _schema(row.get("schema"), problems)
    if problems:
        raise _NotAPrompt(*problems)
    chat = Chat(
        messages=tuple(messages),
        response_format=JsonSchemaFormat(name="answer", schema_json=schema) if schema else None,
        parameters=Parameters(max_output_tokens=limit),
    )
    asked = (chat.messages, schema, limit, texts.get("feature", ""), texts.get("tier", ""))
    return EvalPrompt(
        id=texts.get("id") or str(number),
        chat=chat,
        feature=texts.get("feature", ""),
        tier=texts.get("tier", ""),
        expected=expected,
        rubric=texts.get("rubric", ""),
        digest=hashlib.sha256(msgspec.json.encode(asked)).hexdigest()[:16],
    )


def _schema(given: Any, problems: list[str]) -> str:
    if given is None:
        return ""
    text = msgspec.json.encode(given).decode()
    try:
        Schema(text)
    except SchemaUnclear as error:
        problems.append(f"`schema`: {error}")
    return text


def _messages(row: Mapping[str, Any], system: str, problems: list[str]) -> Sequence[Message]:
    prompt, given = row.get("prompt"), row.get("messages")
    told = [_message(Role.SYSTEM, system)] if system else []
    if (prompt is None) == (given is None):
        problems.append("it needs either `prompt` or `messages`")
        return ()
    if prompt is not None:
        if not isinstance(prompt, str) or not prompt.strip():
            problems.append("`prompt` is text, and not empty")
            return ()
        return [*told, _message(Role.USER, prompt)]
    if not isinstance(given, list) or not given:
        problems.append('`messages` is a list such as [{"role": "user", "content": "Hello"}]')
        return ()
    said = []
    for at, message in enumerate(given):
        match message:
            case {"role": str(role), "content": str(content)} if role in _ROLES and content and len(message) == 2:
                said.append(_message(_ROLES[role], content))
            case _:
                problems.append(f'messages[{at}] is {{"role": {"|".join(_ROLES)}, "content": text}}, and nothing else')
    return [*told, *said]


def _message(role: Role, text: str) -> Message:
    return Message(role=role, parts=(TextPart(text),))
