"""Feedback as it is given, checked."""

from __future__ import annotations

from collections.abc import Mapping

from llmrouter.v1 import feedback_pb2, router_service_pb2
from router_service.domain.error import PermissionDenied
from router_service.domain.feedback import Feedback, FeedbackSource, Thumbs
from router_service.domain.identity import Identity
from router_service.domain.receipt import Receipt
from router_service.edge.bounds import MAX_ID
from router_service.edge.request_id import is_request_id
from router_service.edge.violations import Violations

MAX_FEEDBACK_LABEL = 64
MAX_COMMENT = 4096

_THUMBS: Mapping[int, Thumbs | None] = {
    feedback_pb2.THUMBS_UNSPECIFIED: None,
    feedback_pb2.THUMBS_UP: Thumbs.UP,
    feedback_pb2.THUMBS_DOWN: Thumbs.DOWN,
}
_SOURCES: Mapping[int, FeedbackSource] = {
    feedback_pb2.FEEDBACK_SOURCE_UNSPECIFIED: FeedbackSource.USER,
    feedback_pb2.FEEDBACK_SOURCE_USER: FeedbackSource.USER,
    feedback_pb2.FEEDBACK_SOURCE_REVIEWER: FeedbackSource.REVIEWER,
    feedback_pb2.FEEDBACK_SOURCE_AUTOMATIC: FeedbackSource.AUTOMATIC,
}


def feedback_of(request: router_service_pb2.RecordFeedbackRequest) -> Feedback:
    """The feedback of a request. Raises `InvalidRequest` with every bad field."""
    violations = Violations()
    wire = request.feedback
    if not is_request_id(request.request_id):
        violations.add("request_id", "must be 1 to 128 printable ASCII characters")
    score = wire.score if wire.HasField("score") else None
    if score is not None:
        violations.number("feedback.score", score, 0, 1)
    if wire.thumbs not in _THUMBS:
        violations.add("feedback.thumbs", "must be up or down, or unset")
    if wire.source not in _SOURCES:
        violations.add("feedback.source", "must be user, reviewer or automatic, or unset")
    violations.identifier("feedback.label", wire.label, MAX_FEEDBACK_LABEL)
    violations.identifier("feedback.author", wire.author, MAX_ID)
    if len(wire.comment) > MAX_COMMENT:
        violations.add("feedback.comment", f"must not be longer than {MAX_COMMENT} characters")
    if score is None and not (wire.thumbs or wire.label or wire.comment):
        violations.add("feedback", "must have a score, thumbs, a label or a comment")
    violations.raise_any()
    return Feedback(
        score=score,
        thumbs=_THUMBS[wire.thumbs],
        label=wire.label,
        comment=wire.comment,
        source=_SOURCES[wire.source],
        author=wire.author,
    )


def check_may_judge(identity: Identity, receipt: Receipt) -> None:
    """Raise `PermissionDenied` unless the caller may use the feature of the call, or administers its tenant."""
    if identity.may_use_feature(receipt.feature) or identity.may_administer(receipt.tenant):
        return
    named = f"the feature {receipt.feature!r}" if receipt.feature else "no feature"
    raise PermissionDenied(
        f"The call is of {named}, which the caller is not granted; feedback takes the same grant as the call.",
        metadata={"feature": receipt.feature},
    )
