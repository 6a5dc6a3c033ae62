"""The provider's own token counter: crude, fast and the truth of what the simulated provider bills."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

_PIECE = re.compile(
    r"\s*(?:[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]"  # one token per CJK character
    r"|[^\W\d_\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]{1,7}|\d{1,3}|[^\w\s]|\w)|\s+"
)
_MESSAGE_OVERHEAD = 4
_IMAGE_TOKENS = 255


def pieces(text: str) -> list[str]:
    """`text` cut into tokens; joined they are `text` again."""
    return _PIECE.findall(text)


def count(text: str) -> int:
    """How many tokens `text` has."""
    return len(_PIECE.findall(text))


def text_of(message: Mapping[str, Any]) -> str:
    """The text of an OpenAI message, whether its content is a string, a list of parts or null."""
    content = message.get("content")
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    return "".join(str(part.get("text") or "") for part in content if isinstance(part, dict))


def has_image(message: Mapping[str, Any]) -> bool:
    """Whether a message carries a picture."""
    content = message.get("content")
    return isinstance(content, list) and any(
        isinstance(part, dict) and part.get("type") == "image_url" for part in content
    )


def count_message(message: Mapping[str, Any]) -> int:
    """The prompt tokens of one message, with its tool calls and pictures."""
    content = message.get("content")
    images = (
        sum(part.get("type") == "image_url" for part in content if isinstance(part, dict))
        if isinstance(content, list)
        else 0
    )
    calls = message.get("tool_calls")
    called = count(msgspec.json.encode(calls).decode()) if calls else 0
    return _MESSAGE_OVERHEAD + count(text_of(message)) + images * _IMAGE_TOKENS + called


def count_tools(tools: Sequence[Any]) -> int:
    """The prompt tokens of the tool definitions."""
    return count(msgspec.json.encode(tools).decode()) if tools else 0
