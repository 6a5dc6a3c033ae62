"""The one translator from `RouterError` to an HTTP status and OpenAI's error envelope."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from router_service.domain.error import AlreadyExists, InvalidRequest, Reason, RouterError, Violation

_MAX_MESSAGE = 2000
_LONGEST_RETRY_SECONDS = 86_400.0
# OpenAI's clients wait no longer than this for what a header says, and then go by their own, much shorter pauses.
_LONGEST_WAIT_OF_CLIENTS = 60.0

_INVALID, _SERVER = "invalid_request_error", "server_error"
_QUOTA, _RATE = "insufficient_quota", "rate_limit_error"

STATUSES: dict[Reason, tuple[int, str]] = {
    Reason.INVALID_REQUEST: (400, _INVALID),
    Reason.POLICY_NOT_FOUND: (404, _INVALID),
    Reason.MODEL_NOT_FOUND: (404, _INVALID),
    Reason.RECEIPT_NOT_FOUND: (404, _INVALID),
    Reason.KEY_NOT_FOUND: (404, _INVALID),
    Reason.NO_ELIGIBLE_CANDIDATE: (422, _INVALID),
    Reason.ALL_CANDIDATES_COOLING: (503, _SERVER),
    Reason.DECISION_TOKEN_INVALID: (400, _INVALID),
    Reason.DECISION_TOKEN_EXPIRED: (400, _INVALID),
    Reason.UPSTREAM_REJECTED: (400, _INVALID),
    Reason.CONTEXT_TOO_LONG: (400, _INVALID),
    Reason.CONTENT_FILTERED: (400, _INVALID),
    Reason.ATTEMPTS_EXHAUSTED: (502, _SERVER),
    Reason.STREAM_TRUNCATED: (502, _SERVER),
    Reason.DEADLINE_EXCEEDED: (504, _SERVER),
    # Nobody is there to read it.
    Reason.CANCELLED: (499, _SERVER),
    # Not 401: the caller's own key is in order.
    Reason.PROVIDER_REFUSES_KEY: (502, _SERVER),
    Reason.DRAINING: (503, _SERVER),
    Reason.OVERLOADED: (429, _RATE),
    Reason.RATE_LIMITED: (429, _RATE),
    Reason.BUDGET_EXHAUSTED: (429, _QUOTA),
    Reason.IDEMPOTENCY_CONFLICT: (409, _INVALID),
    Reason.ALREADY_EXISTS: (409, _INVALID),
    Reason.UNAUTHENTICATED: (401, "authentication_error"),
    Reason.PERMISSION_DENIED: (403, "permission_error"),
    Reason.INTERNAL: (500, _SERVER),
    Reason.STATE_UNAVAILABLE: (503, _SERVER),
    Reason.QUALITY_NOT_MET: (502, _SERVER),
    Reason.NOT_CONFIGURED: (501, _SERVER),
}
"""Of each reason the status and the envelope's type."""

# Asking again at once, or a little later, cannot help: OpenAI's clients would, by the status alone.
_POINTLESS = frozenset({Reason.ALREADY_EXISTS, Reason.NOT_CONFIGURED, Reason.DEADLINE_EXCEEDED})
_BY_WAITING = frozenset({Reason.RATE_LIMITED, Reason.BUDGET_EXHAUSTED})


class FailedCall(Exception):
    """A call that failed, with what is known of it.

    `dispatched` says that an upstream was called: a client must not repeat the call by itself. `headers` are the
    response's.
    """

    def __init__(self, error: Exception, *, dispatched: bool, headers: Sequence[tuple[str, str]] = ()) -> None:
        super().__init__(type(error).__name__)
        self.error = error
        self.dispatched = dispatched
        self.headers = tuple(headers)


class BadHttp(RouterError):
    """An HTTP request that is none of this API's, or no good one; `status` says how. `headers` are the response's."""

    reason = Reason.INVALID_REQUEST

    def __init__(self, status: int, message: str, *, headers: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers


@dataclass(frozen=True, slots=True)
class Refusal:
    """How a request is refused: the status, headers, and the envelope."""

    status: int
    headers: tuple[tuple[str, str], ...]
    envelope: dict[str, Any]


def invalid(field: str, description: str) -> InvalidRequest:
    """One bad field."""
    return InvalidRequest([Violation(field, description)])


def refusal(error: Exception, *, request_id: str) -> Refusal:
    """What the client is told. Of an error that is not a `RouterError` it learns the request id and nothing else."""
    dispatched = False
    headers: list[tuple[str, str]] = []
    if isinstance(error, FailedCall):
        dispatched = error.dispatched
        headers += error.headers
        error = error.error
    if not isinstance(error, RouterError):
        error = RouterError(f"The router failed. Its log knows more, under the request id {request_id}.")
    status, kind = STATUSES[error.reason]
    if isinstance(error, BadHttp):
        status = error.status
        headers += error.headers
    if error.reason is Reason.UNAUTHENTICATED:
        headers.append(("www-authenticate", "Bearer"))
    headers += _retry_headers(error, status, dispatched=dispatched)
    envelope: dict[str, Any] = {
        "message": error.message[:_MAX_MESSAGE],
        "type": kind,
        "param": _param(error),
        "code": error.reason.value,
    }
    if error.metadata:
        envelope["metadata"] = dict(error.metadata)
    if isinstance(error, AlreadyExists):
        # As this edge kept it: no other edge's keys lead here.
        envelope["llmrouter"] = msgspec.Raw(error.receipt)
    return Refusal(status, tuple(headers), envelope)


def _param(error: RouterError) -> str | None:
    if isinstance(error, InvalidRequest) and error.violations:
        return error.violations[0].field
    return "model" if error.reason in (Reason.MODEL_NOT_FOUND, Reason.POLICY_NOT_FOUND) else None


def _retry_headers(error: RouterError, status: int, *, dispatched: bool) -> list[tuple[str, str]]:
    """When, and whether, the client may ask again by itself. OpenAI's clients read these before their own rules."""
    headers = []
    wait = error.retry_after
    if wait is not None and math.isfinite(wait):
        wait = min(max(wait, 0.0), _LONGEST_RETRY_SECONDS)
        headers = [("retry-after", str(math.ceil(wait))), ("retry-after-ms", str(math.ceil(wait * 1000)))]
    if dispatched or error.reason in _POINTLESS or _cannot_wait(error) or status == 501:
        headers.append(("x-should-retry", "false"))
    return headers


def _cannot_wait(error: RouterError) -> bool:
    """Whether a limit or budget has room later than clients wait, or never."""
    return error.reason in _BY_WAITING and (error.retry_after is None or error.retry_after > _LONGEST_WAIT_OF_CLIENTS)
