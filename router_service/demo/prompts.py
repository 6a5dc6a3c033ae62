"""Prompts of the demo, or of one's own, from a JSONL file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

SHIPPED = Path(__file__).parent.parent / "demo_data" / "prompts.jsonl"

# Fields that are passed on to the client as they are.
_OPTIONS = frozenset(
    {
        "feature", "tier", "task_type", "user", "conversation_id", "language", "complexity", "labels", "policy",
        "model", "deployment", "max_output_tokens", "temperature", "tools", "tool_choice",
        "response_format", "reasoning_effort",
    }
)  # fmt: skip


class PromptFileError(Exception):
    """The file holds no prompts, or lines that are none; the message says which and what is expected."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoPrompt:
    """A conversation to send: `messages` in OpenAI's shape, then each of `turns` after the answer to what came before.

    `options` are the client's keyword arguments. `title` is for the table.
    """

    title: str
    messages: tuple[Mapping[str, Any], ...]
    turns: tuple[str, ...] = ()
    stream: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)


def titled(title: str, turn: int) -> str:
    """A call's title; later turns of a conversation say which they are."""
    return title if turn == 1 else f"{title} (turn {turn})"


def read_prompts(file: Path, limit: int | None = None) -> list[DemoPrompt]:
    """The file's prompts: a JSON object a line with `prompt`, `messages` or `turns`, and optionally `feature`, `tier`,
    `stream` and other options of a call; other fields are ignored. Raises `PromptFileError` with
    all lines that are no prompts."""
    try:
        text = file.read_text("utf-8-sig")
    except OSError as error:
        raise PromptFileError(f"{file}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise PromptFileError(f"{file}: is not UTF-8 text; save it as UTF-8") from error
    # Not splitlines(): JSON's strings may hold what Unicode calls a line's end.
    lines = [(number, line) for number, line in enumerate(text.split("\n"), start=1) if line.strip()]
    if not lines:
        raise PromptFileError(f'{file}: holds no prompts; write one a line, such as {{"prompt": "Hello"}}')
    prompts, problems = [], []
    for number, line in lines[:limit]:
        try:
            prompts.append(_prompt(line))
        except PromptFileError as error:
            problems.append(f"{file}:{number}: {error}")
    if problems:
        raise PromptFileError("\n".join(problems))
    return prompts


def _prompt(line: str) -> DemoPrompt:
    try:
        data = msgspec.json.decode(line)
    except msgspec.DecodeError as error:
        raise PromptFileError(f"not a JSON object: {error}") from error
    if not isinstance(data, dict):
        raise PromptFileError("expected a JSON object with `prompt`, `messages` or `turns`")
    messages = data.get("messages") or []
    turns = [data["prompt"]] if "prompt" in data else data.get("turns") or []
    if not messages and not turns:
        raise PromptFileError("has none of `prompt`, `messages` and `turns`; give it one")
    if not isinstance(messages, list) or not all(isinstance(message, dict) for message in messages):
        raise PromptFileError('`messages` must be a list such as [{"role": "user", "content": "Hello"}]')
    if not isinstance(turns, list) or not all(isinstance(turn, str) for turn in turns):
        raise PromptFileError("`prompt` must be text, and `turns` a list of texts")
    return DemoPrompt(
        title=str(data.get("note") or data.get("title") or (turns[0] if turns else _last_text(messages))),
        messages=tuple(messages),
        turns=tuple(turns),
        stream=bool(data.get("stream", False)),
        options={name: value for name, value in data.items() if name in _OPTIONS and value is not None},
    )


def _last_text(messages: list[Mapping[str, Any]]) -> str:
    content = messages[-1].get("content")
    if isinstance(content, list):
        content = " ".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return str(content or "")
