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
    """A line of the file is not a prompt; the message says which and what is expected."""


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


def read_prompts(file: Path, limit: int | None = None) -> list[DemoPrompt]:
    """The file's prompts: a JSON object a line with `prompt`, `messages` or `turns`, and optionally `feature`, `tier`,
    `stream` and other options of a call; other fields are ignored. Raises `PromptFileError` or `OSError`."""
    lines = [
        (number, line) for number, line in enumerate(file.read_text("utf-8").splitlines(), start=1) if line.strip()
    ]
    return [_prompt(file, number, line) for number, line in lines[:limit]]


def _prompt(file: Path, number: int, line: str) -> DemoPrompt:
    where = f"{file}:{number}"
    try:
        data = msgspec.json.decode(line)
    except msgspec.DecodeError as error:
        raise PromptFileError(f"{where}: not a JSON object: {error}") from error
    if not isinstance(data, dict):
        raise PromptFileError(f"{where}: expected a JSON object with `prompt`, `messages` or `turns`")
    messages = data.get("messages") or []
    turns = [data["prompt"]] if "prompt" in data else list(data.get("turns") or [])
    if not messages and not turns:
        raise PromptFileError(f"{where}: has none of `prompt`, `messages` and `turns`; give it one")
    if not all(isinstance(turn, str) for turn in turns):
        raise PromptFileError(f"{where}: `prompt` must be text, and `turns` a list of texts")
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
        content = " ".join(str(part.get("text", "")) for part in content)
    return str(content or "")
