"""What gates are shown, and the protocol they share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from router_service.domain.call import Call
from router_service.domain.chat import FinishReason, Role
from router_service.domain.quality import Verdict

# Beyond this an answer is judged by its beginning and its end, so that judging stays far below a millisecond.
_HEAD, _TAIL = 16_000, 4_000


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenAnswer:
    """A verified answer. `language` and `asked_language` are lower-case primary tags, empty where undetermined.

    `margins` are by how much probability each of its tokens led the next likely one, from -1 to 1; `None` where nobody
    says.
    """

    text: str
    finish_reason: FinishReason
    calls_tools: bool = False
    language: str = ""
    asked_language: str = ""
    margins: Sequence[float] | None = None

    @property
    def excerpt(self) -> str:
        """The text, or its beginning and end where it is long."""
        text = self.text
        return text if len(text) <= _HEAD + _TAIL else f"{text[:_HEAD]}\n{text[-_TAIL:]}"


class Judge(Protocol):
    """One gate. It is pure, quick whatever the answer holds, and quotes nothing of it."""

    def judge(self, call: Call, answer: GivenAnswer) -> Verdict:
        """What it makes of the answer to the call."""


def last_question(call: Call) -> str:
    """The text of the last user message, empty where no user speaks."""
    return next((message.text for message in reversed(call.chat.messages) if message.role is Role.USER), "")
