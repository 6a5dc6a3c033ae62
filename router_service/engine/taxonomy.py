"""What follows from each fault of an upstream: one table, read by retry, fallback, health and accounting."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from router_service.domain.error import Reason, UpstreamError, UpstreamFault
from router_service.domain.money import Billed


class Retry(StrEnum):
    """Whether the same deployment may be asked again."""

    NEVER = "never"
    ONCE = "once"
    YES = "yes"


class Fallback(StrEnum):
    """Whether the next candidate may be asked."""

    YES = "yes"
    LARGER_CONTEXT = "larger_context"
    IF_DIALECT = "if_dialect"
    BY_POLICY = "by_policy"


class Ejection(StrEnum):
    """How a fault counts against the deployment's health."""

    NONE = "none"
    FAILURE = "failure"
    RATE = "rate"
    QUOTA = "quota"
    AUTH = "auth"


@dataclass(frozen=True, slots=True)
class Consequences:
    """A row of the table. `reason` is what the call fails with when this fault was its last."""

    retry: Retry
    fallback: Fallback
    billed: Billed
    ejection: Ejection
    reason: Reason = Reason.ATTEMPTS_EXHAUSTED


TAXONOMY: dict[UpstreamFault, Consequences] = {
    UpstreamFault.CONNECT: Consequences(Retry.YES, Fallback.YES, Billed.NO, Ejection.FAILURE),
    UpstreamFault.RATE_LIMITED: Consequences(Retry.YES, Fallback.YES, Billed.NO, Ejection.RATE),
    UpstreamFault.QUOTA: Consequences(Retry.NEVER, Fallback.YES, Billed.NO, Ejection.QUOTA),
    UpstreamFault.SERVER: Consequences(Retry.YES, Fallback.YES, Billed.MAYBE, Ejection.FAILURE),
    UpstreamFault.GATEWAY_TIMEOUT: Consequences(Retry.ONCE, Fallback.YES, Billed.LIKELY, Ejection.FAILURE),
    UpstreamFault.READ_TIMEOUT: Consequences(Retry.ONCE, Fallback.YES, Billed.LIKELY, Ejection.FAILURE),
    UpstreamFault.CONNECTION_LOST: Consequences(Retry.ONCE, Fallback.YES, Billed.LIKELY, Ejection.FAILURE),
    UpstreamFault.AUTH: Consequences(Retry.NEVER, Fallback.YES, Billed.NO, Ejection.AUTH, Reason.PROVIDER_REFUSES_KEY),
    UpstreamFault.MODEL_NOT_FOUND: Consequences(Retry.NEVER, Fallback.YES, Billed.NO, Ejection.AUTH),
    UpstreamFault.CONTEXT_LENGTH: Consequences(
        Retry.NEVER, Fallback.LARGER_CONTEXT, Billed.NO, Ejection.NONE, Reason.CONTEXT_TOO_LONG
    ),
    UpstreamFault.BAD_REQUEST: Consequences(
        Retry.NEVER, Fallback.IF_DIALECT, Billed.NO, Ejection.NONE, Reason.UPSTREAM_REJECTED
    ),
    UpstreamFault.CONTENT_FILTER: Consequences(
        Retry.NEVER, Fallback.BY_POLICY, Billed.MAYBE, Ejection.NONE, Reason.CONTENT_FILTERED
    ),
    UpstreamFault.MALFORMED: Consequences(Retry.ONCE, Fallback.YES, Billed.MAYBE, Ejection.FAILURE),
    UpstreamFault.TRUNCATED: Consequences(Retry.ONCE, Fallback.YES, Billed.LIKELY, Ejection.FAILURE),
    # Silence already cost its share of the deadline: another deployment is the better use of what is left.
    UpstreamFault.FIRST_TOKEN_TIMEOUT: Consequences(Retry.NEVER, Fallback.YES, Billed.LIKELY, Ejection.FAILURE),
    UpstreamFault.STALL: Consequences(Retry.NEVER, Fallback.YES, Billed.LIKELY, Ejection.FAILURE),
    UpstreamFault.TOTAL_TIMEOUT: Consequences(Retry.NEVER, Fallback.YES, Billed.LIKELY, Ejection.FAILURE),
}

# Codes with which providers refuse a field that another provider accepts.
_DIALECT_CODES = frozenset({"unsupported_parameter", "unsupported_value", "unknown_parameter", "extra_forbidden"})


def may_retry(error: UpstreamError, tries: int) -> bool:
    """Whether the deployment that failed with `error` on its `tries`-th try may be asked again."""
    if error.retryable is False:
        return False
    retry = TAXONOMY[error.fault].retry
    if error.retryable and error.fault is UpstreamFault.BAD_REQUEST:
        # An unusual status that the provider itself says will pass; of keys and models it cannot know better than we.
        retry = Retry.ONCE
    return retry is Retry.YES or (retry is Retry.ONCE and tries == 1)


def may_fall_back(error: UpstreamError, *, on_content_filter: bool) -> bool:
    """Whether another candidate may be asked after `error`."""
    match TAXONOMY[error.fault].fallback:
        case Fallback.IF_DIALECT:
            return refuses_a_field(error)
        case Fallback.BY_POLICY:
            return on_content_filter
        case _:
            return True


def refuses_a_field(error: UpstreamError) -> bool:
    """Whether the provider refused a field, or its value, that another provider accepts."""
    return error.code in _DIALECT_CODES


def needs_larger_context(error: UpstreamError) -> bool:
    """Whether only a candidate with a larger context window makes sense after `error`."""
    return TAXONOMY[error.fault].fallback is Fallback.LARGER_CONTEXT
