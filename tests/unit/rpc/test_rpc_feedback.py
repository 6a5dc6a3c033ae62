"""Feedback requests, checked."""

from __future__ import annotations

from typing import Any

import pytest

from llmrouter.v1 import feedback_pb2
from llmrouter.v1.router_service_pb2 import RecordFeedbackRequest
from router_service.domain.error import InvalidRequest
from router_service.domain.feedback import Feedback, FeedbackSource, Thumbs
from router_service.rpc.feedback import feedback_of


def given(request_id: str = "r-1", **said: Any) -> RecordFeedbackRequest:
    return RecordFeedbackRequest(request_id=request_id, feedback=feedback_pb2.Feedback(**said))


def test_a_whole_feedback_comes_through() -> None:
    request = given(
        score=0.0,
        thumbs=feedback_pb2.THUMBS_DOWN,
        label="wrong",
        comment="no\nway",
        source=feedback_pb2.FEEDBACK_SOURCE_REVIEWER,
        author="ann",
    )
    assert feedback_of(request) == Feedback(
        score=0.0,
        thumbs=Thumbs.DOWN,
        label="wrong",
        comment="no\nway",
        source=FeedbackSource.REVIEWER,
        author="ann",
    )


@pytest.mark.parametrize(
    "said", [{"score": 0.0}, {"thumbs": feedback_pb2.THUMBS_UP}, {"label": "x"}, {"comment": "x" * 4096}]
)
def test_one_word_is_enough_and_a_user_said_it(said: dict[str, Any]) -> None:
    assert feedback_of(given(**said)).source is FeedbackSource.USER


@pytest.mark.parametrize(
    ("request_", "fields"),
    [
        (given("", score=1.0), ["request_id"]),
        (given("a\nb", score=1.0), ["request_id"]),
        (given(), ["feedback"]),
        (given(author="ann", source=feedback_pb2.FEEDBACK_SOURCE_AUTOMATIC), ["feedback"]),
        (given(score=1.01), ["feedback.score"]),
        (given(score=-0.1), ["feedback.score"]),
        (given(score=float("nan")), ["feedback.score"]),
        (given(thumbs=7), ["feedback.thumbs"]),
        (given(score=1.0, source=9), ["feedback.source"]),
        (given(label="x" * 65), ["feedback.label"]),
        (given(label="a\x00"), ["feedback.label"]),
        (given(score=1.0, author="x" * 257), ["feedback.author"]),
        (given(comment="x" * 4097), ["feedback.comment"]),
        (given("", score=2.0, label="\n"), ["request_id", "feedback.score", "feedback.label"]),
    ],
)
def test_every_bad_field_is_named(request_: RecordFeedbackRequest, fields: list[str]) -> None:
    with pytest.raises(InvalidRequest) as caught:
        feedback_of(request_)
    assert [violation.field for violation in caught.value.violations] == fields
