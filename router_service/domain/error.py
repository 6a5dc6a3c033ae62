"""The one error tree. No gRPC or HTTP codes: each edge has one translator.

RouterError
├── InvalidRequest           a field is missing or out of range
├── NotFound                 no such policy, model, deployment, receipt or key
├── NoCandidate              every candidate was rejected; cooling if all would pass by themselves
├── InvalidDecisionToken     foreign, damaged, stale, or for another request
├── AttemptsFailed           every attempt failed, with the reason of the last one
├── QualityNotMet            providers answered, and no answer passed the policy's gates
├── Overloaded               a limit of ours
├── LimitReached             a request, token or concurrency limit
├── BudgetSpent              a budget has no room for the attempt
├── IdempotencyConflict      a call under the same key runs elsewhere
├── AlreadyExists            a call under the same key has finished; its answer is not kept
├── Unauthenticated          no credentials, or none that hold
├── PermissionDenied         the identity may not do this
├── NotConfigured            this router is not set up for what was asked
├── StateUnavailable         a database or shared state of ours cannot be reached
├── Draining                 shutting down
├── DeadlineExceeded         the caller's deadline passed
└── Cancelled                the caller left
UpstreamError                one attempt failed; never leaves the engine
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum


class Reason(StrEnum):
    """Every reason a call can fail for; the names equal the API's `ErrorReason`."""

    INVALID_REQUEST = "INVALID_REQUEST"
    POLICY_NOT_FOUND = "POLICY_NOT_FOUND"
    MODEL_NOT_FOUND = "MODEL_NOT_FOUND"
    RECEIPT_NOT_FOUND = "RECEIPT_NOT_FOUND"
    KEY_NOT_FOUND = "KEY_NOT_FOUND"
    NO_ELIGIBLE_CANDIDATE = "NO_ELIGIBLE_CANDIDATE"
    ALL_CANDIDATES_COOLING = "ALL_CANDIDATES_COOLING"
    DECISION_TOKEN_INVALID = "DECISION_TOKEN_INVALID"  # noqa: S105 - a reason's name
    DECISION_TOKEN_EXPIRED = "DECISION_TOKEN_EXPIRED"  # noqa: S105 - a reason's name
    UPSTREAM_REJECTED = "UPSTREAM_REJECTED"
    CONTEXT_TOO_LONG = "CONTEXT_TOO_LONG"
    CONTENT_FILTERED = "CONTENT_FILTERED"
    ATTEMPTS_EXHAUSTED = "ATTEMPTS_EXHAUSTED"
    STREAM_TRUNCATED = "STREAM_TRUNCATED"
    DEADLINE_EXCEEDED = "DEADLINE_EXCEEDED"
    CANCELLED = "CANCELLED"
    PROVIDER_REFUSES_KEY = "PROVIDER_REFUSES_KEY"
    DRAINING = "DRAINING"
    OVERLOADED = "OVERLOADED"
    RATE_LIMITED = "RATE_LIMITED"
    BUDGET_EXHAUSTED = "BUDGET_EXHAUSTED"
    IDEMPOTENCY_CONFLICT = "IDEMPOTENCY_CONFLICT"
    ALREADY_EXISTS = "ALREADY_EXISTS"
    UNAUTHENTICATED = "UNAUTHENTICATED"
    PERMISSION_DENIED = "PERMISSION_DENIED"
    INTERNAL = "INTERNAL"
    STATE_UNAVAILABLE = "STATE_UNAVAILABLE"
    QUALITY_NOT_MET = "QUALITY_NOT_MET"
    NOT_CONFIGURED = "NOT_CONFIGURED"


class RouterError(Exception):
    """A call failed. `message` says what happened and what to do; it never holds prompts, secrets or upstream text.

    `retry_after` is in seconds, where coming back later helps. `metadata` holds short strings for machines.
    """

    reason: Reason = Reason.INTERNAL

    def __init__(
        self,
        message: str,
        *,
        reason: Reason | None = None,
        metadata: Mapping[str, str] | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason or type(self).reason
        self.metadata: dict[str, str] = dict(metadata or {})
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class Violation:
    """A bad field: its path in the request, such as "chat.messages[2].role", and what is wrong with it."""

    field: str
    description: str


class InvalidRequest(RouterError):
    """One or more fields are missing or out of range."""

    reason = Reason.INVALID_REQUEST

    def __init__(self, violations: Sequence[Violation]) -> None:
        listed = "; ".join(f"{violation.field}: {violation.description}" for violation in violations[:8])
        super().__init__(f"The request is not valid: {listed}")
        self.violations = tuple(violations)


class NotFound(RouterError):
    """No policy, model, deployment, receipt or key has that name."""

    reason = Reason.MODEL_NOT_FOUND


class NoCandidate(RouterError):
    """No deployment may serve the call: `NO_ELIGIBLE_CANDIDATE`, or `ALL_CANDIDATES_COOLING` if waiting helps."""

    reason = Reason.NO_ELIGIBLE_CANDIDATE


class InvalidDecisionToken(RouterError):
    """The decision token is foreign, damaged or stale."""

    reason = Reason.DECISION_TOKEN_INVALID


class AttemptsFailed(RouterError):
    """Every attempt failed. The reason is one of UPSTREAM_REJECTED, CONTEXT_TOO_LONG, CONTENT_FILTERED,
    PROVIDER_REFUSES_KEY, STREAM_TRUNCATED and ATTEMPTS_EXHAUSTED."""

    reason = Reason.ATTEMPTS_EXHAUSTED


class QualityNotMet(RouterError):
    """No answer passed the policy's gates, and the policy gives none that does not.

    `metadata` has `gates` (those that refused the last answer), its `score`, the `threshold`, and `escalation`: why
    nobody else was asked, as a reason, where it was an error.
    """

    reason = Reason.QUALITY_NOT_MET


class Overloaded(RouterError):
    """Too many calls at once."""

    reason = Reason.OVERLOADED


class LimitReached(RouterError):
    """A request, token or concurrency limit has no room; `retry_after` is `None` where waiting does not help.

    `metadata` has `limit` (its name), `scope`, `unit`, `amount` and `used`.
    """

    reason = Reason.RATE_LIMITED


class BudgetSpent(RouterError):
    """A hard budget has no room for the attempt; `retry_after` is when its period ends.

    `metadata` has `budget` (its name), `scope`, `unit`, `amount` and `used`.
    """

    reason = Reason.BUDGET_EXHAUSTED


class IdempotencyConflict(RouterError):
    """A call under the same idempotency key runs in another process; `retry_after` says when to ask again."""

    reason = Reason.IDEMPOTENCY_CONFLICT


class AlreadyExists(RouterError):
    """The call under this idempotency key has finished and its answer is not kept; `receipt` is what it left."""

    reason = Reason.ALREADY_EXISTS

    def __init__(self, message: str, *, receipt: bytes) -> None:
        super().__init__(message)
        self.receipt = receipt


class Unauthenticated(RouterError):
    """The call brings no credentials, or none that hold. Whether a key exists is told to nobody who lacks it."""

    reason = Reason.UNAUTHENTICATED


class PermissionDenied(RouterError):
    """The caller is known, and may not do this. `metadata` names what was denied."""

    reason = Reason.PERMISSION_DENIED


class NotConfigured(RouterError):
    """This router is not set up for what was asked; the message says what to configure, `metadata` in which
    `section`."""

    reason = Reason.NOT_CONFIGURED


class StateUnavailable(RouterError):
    """A database or shared state that the answer depends on cannot be reached. Nothing was sent to a provider;
    `metadata` holds which `state`."""

    reason = Reason.STATE_UNAVAILABLE


SHUT_DOWN = "the replica is shutting down"
"""What a call is cancelled with that this replica has no more time for: its caller is still there."""


class Draining(RouterError):
    """This replica is shutting down."""

    reason = Reason.DRAINING


class DeadlineExceeded(RouterError):
    """The caller's deadline passed."""

    reason = Reason.DEADLINE_EXCEEDED


class Cancelled(RouterError):
    """The caller left. Only ever recorded: nobody is there to read it."""

    reason = Reason.CANCELLED


class UpstreamFault(StrEnum):
    """What went wrong with one attempt: the rows of the error taxonomy (`engine.taxonomy` says what follows)."""

    CONNECT = "connect_error"
    RATE_LIMITED = "rate_limited"
    QUOTA = "insufficient_quota"
    SERVER = "server_error"
    GATEWAY_TIMEOUT = "gateway_timeout"
    READ_TIMEOUT = "read_timeout"
    CONNECTION_LOST = "connection_lost"
    AUTH = "auth"
    MODEL_NOT_FOUND = "model_not_found"
    CONTEXT_LENGTH = "context_length"
    BAD_REQUEST = "bad_request"
    CONTENT_FILTER = "content_filter"
    MALFORMED = "malformed_response"
    TRUNCATED = "stream_interrupted"
    FIRST_TOKEN_TIMEOUT = "first_token_timeout"  # noqa: S105 - a fault's name
    STALL = "stall_timeout"
    TOTAL_TIMEOUT = "timeout"


_TOLD_BY_NAME = frozenset({UpstreamFault.CONTENT_FILTER, UpstreamFault.CONTEXT_LENGTH})


class UpstreamError(Exception):
    """One attempt failed.

    `message` is the router's own words; the upstream's body is never kept. `status` is the HTTP status where there
    was one. `retry_after` is the provider's hint in seconds, `None` where it gave none. `retryable` is the
    provider's own word on trying again (`x-should-retry`), `None` where it gave none. `blameless` says that the
    failure says nothing about the deployment's health.
    """

    def __init__(
        self,
        fault: UpstreamFault,
        message: str,
        *,
        status: int | None = None,
        retry_after: float | None = None,
        retryable: bool | None = None,
        code: str = "",
        blameless: bool = False,
    ) -> None:
        super().__init__(message)
        self.fault = fault
        self.message = message
        self.status = status
        self.retry_after = retry_after
        self.retryable = retryable
        self.code = code
        self.blameless = blameless

    @property
    def error_type(self) -> str:
        """What telemetry and receipts call it: the HTTP status where it says enough, else the fault."""
        if self.fault in _TOLD_BY_NAME:
            return self.fault.value
        return str(self.status) if self.status is not None and self.status >= 400 else self.fault.value


STATUS_NAMES: dict[Reason, str] = {
    Reason.INVALID_REQUEST: "INVALID_ARGUMENT",
    Reason.POLICY_NOT_FOUND: "NOT_FOUND",
    Reason.MODEL_NOT_FOUND: "NOT_FOUND",
    Reason.RECEIPT_NOT_FOUND: "NOT_FOUND",
    Reason.KEY_NOT_FOUND: "NOT_FOUND",
    Reason.NO_ELIGIBLE_CANDIDATE: "FAILED_PRECONDITION",
    Reason.ALL_CANDIDATES_COOLING: "UNAVAILABLE",
    Reason.DECISION_TOKEN_INVALID: "FAILED_PRECONDITION",
    Reason.DECISION_TOKEN_EXPIRED: "FAILED_PRECONDITION",
    Reason.UPSTREAM_REJECTED: "INVALID_ARGUMENT",
    Reason.CONTEXT_TOO_LONG: "INVALID_ARGUMENT",
    Reason.CONTENT_FILTERED: "FAILED_PRECONDITION",
    Reason.ATTEMPTS_EXHAUSTED: "UNAVAILABLE",
    Reason.STREAM_TRUNCATED: "UNAVAILABLE",
    Reason.DEADLINE_EXCEEDED: "DEADLINE_EXCEEDED",
    Reason.CANCELLED: "CANCELLED",
    Reason.PROVIDER_REFUSES_KEY: "INTERNAL",
    Reason.DRAINING: "UNAVAILABLE",
    Reason.OVERLOADED: "RESOURCE_EXHAUSTED",
    Reason.RATE_LIMITED: "RESOURCE_EXHAUSTED",
    Reason.BUDGET_EXHAUSTED: "RESOURCE_EXHAUSTED",
    Reason.IDEMPOTENCY_CONFLICT: "ABORTED",
    Reason.ALREADY_EXISTS: "ALREADY_EXISTS",
    Reason.UNAUTHENTICATED: "UNAUTHENTICATED",
    Reason.PERMISSION_DENIED: "PERMISSION_DENIED",
    Reason.INTERNAL: "INTERNAL",
    Reason.STATE_UNAVAILABLE: "UNAVAILABLE",
    Reason.QUALITY_NOT_MET: "FAILED_PRECONDITION",
    Reason.NOT_CONFIGURED: "FAILED_PRECONDITION",
}
"""The canonical status name of each reason, for receipts; every edge translates from these names."""
