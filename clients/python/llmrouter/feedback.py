"""What is sent of somebody's judgement of an answer."""

from __future__ import annotations

from typing import TypeVar

from llmrouter.options import FeedbackOptions
from llmrouter.v1.feedback_pb2 import Feedback, FeedbackSource, Thumbs
from llmrouter.v1.router_service_pb2 import RecordFeedbackRequest

NumberT = TypeVar("NumberT", bound=int)

_THUMBS = {name.removeprefix("THUMBS_").lower(): number for name, number in Thumbs.items() if number}
_SOURCES = {name.removeprefix("FEEDBACK_SOURCE_").lower(): number for name, number in FeedbackSource.items() if number}


def feedback_request(request_id: str, options: FeedbackOptions) -> RecordFeedbackRequest:
    """Feedback on a call. Raises `ValueError` for thumbs or a source that do not exist."""
    return RecordFeedbackRequest(
        request_id=request_id,
        feedback=Feedback(
            score=options.get("score"),
            thumbs=_number("thumbs", options.get("thumbs"), Thumbs.THUMBS_UNSPECIFIED, _THUMBS),
            label=options.get("label") or "",
            comment=options.get("comment") or "",
            source=_number("source", options.get("source"), FeedbackSource.FEEDBACK_SOURCE_UNSPECIFIED, _SOURCES),
            author=options.get("author") or "",
        ),
    )


def _number(option: str, name: str | None, unset: NumberT, known: dict[str, NumberT]) -> NumberT:
    if name is None:
        return unset
    if name not in known:
        raise ValueError(f"There is no {option} {name!r}: it is one of {', '.join(known)}")
    return known[name]
