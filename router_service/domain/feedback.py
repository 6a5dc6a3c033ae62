"""What somebody made of an answer, later: a judgement tied to the request id of a call."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Thumbs(StrEnum):
    """A judgement in one gesture."""

    UP = "up"
    DOWN = "down"


class FeedbackSource(StrEnum):
    """Who judged: somebody who was given the answer, somebody whose task it is, or a program."""

    USER = "user"
    REVIEWER = "reviewer"
    AUTOMATIC = "automatic"


@dataclass(frozen=True, slots=True, kw_only=True)
class Feedback:
    """One judgement of a call's answer; at least one of `score`, `thumbs`, `label` and `comment` is given.

    `score` is from 0 to 1. `label` is a word of the caller's own. `author` is an opaque id of who judged: a call has
    one feedback of each source and author. `comment` may be anything, so it goes to the database and nowhere else.
    """

    score: float | None = None
    thumbs: Thumbs | None = None
    label: str = ""
    comment: str = ""
    source: FeedbackSource = FeedbackSource.USER
    author: str = ""
