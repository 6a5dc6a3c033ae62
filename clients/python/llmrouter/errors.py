"""What may go wrong, as one tree of exceptions decoded from the status and its google.rpc details.

RouterError
├── InvalidRequest        INVALID_ARGUMENT: `violations` names the fields, where one is at fault
├── Unauthenticated       UNAUTHENTICATED
├── PermissionDenied      PERMISSION_DENIED
├── NotFound              NOT_FOUND: no such policy, model, deployment or receipt
├── FailedPrecondition    FAILED_PRECONDITION: no eligible candidate, content filtered, stale decision token
├── RateLimited           RESOURCE_EXHAUSTED: a limit, a budget or overload
├── Unavailable           UNAVAILABLE: every attempt failed, or no router could be reached
├── DeadlineExceeded      DEADLINE_EXCEEDED
├── Cancelled             CANCELLED, by the router or on the way to it
└── Internal              INTERNAL: the operator must act
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar, cast

import grpc
from google.protobuf.message import DecodeError, Message
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]
from grpc_status import rpc_status

from llmrouter.v1.error_pb2 import ReceiptSummary

_DOMAIN = "llmrouter"

DetailT = TypeVar("DetailT", bound=Message)


@dataclass(frozen=True, slots=True)
class Violation:
    """A bad field: its path in the request, such as "chat.messages[2].role", and what is wrong with it."""

    field: str
    description: str


class RouterError(Exception):
    """A call failed.

    `reason` is a name of the API's `ErrorReason` without its prefix, such as "ATTEMPTS_EXHAUSTED"; it is empty where
    the router was never reached. `retry_after` is in seconds, `None` where the router gave no hint.
    `receipt_summary` says what was attempted and spent; `receipt(error.request_id)` has the whole account.
    """

    def __init__(
        self,
        message: str,
        *,
        code: grpc.StatusCode,
        reason: str = "",
        metadata: Mapping[str, str] | None = None,
        retry_after: float | None = None,
        violations: Sequence[Violation] = (),
        receipt_summary: ReceiptSummary | None = None,
        request_id: str = "",
    ) -> None:
        super().__init__(f"{reason or code.name}: {message} (request {request_id})")
        self.message = message
        self.code = code
        self.reason = reason
        self.metadata: dict[str, str] = dict(metadata or {})
        self.retry_after = retry_after
        self.violations = tuple(violations)
        self.receipt_summary = receipt_summary
        self.request_id = request_id


class InvalidRequest(RouterError):
    """The router or the provider refuses the request as it is."""


class Unauthenticated(RouterError):
    """Credentials are missing or wrong."""


class PermissionDenied(RouterError):
    """The identity may not use this feature, model or policy."""


class NotFound(RouterError):
    """No policy, model, deployment or receipt has that name."""


class FailedPrecondition(RouterError):
    """The call cannot succeed as things are: repeating it does not help."""


class RateLimited(RouterError):
    """A limit or a budget is reached, or the router is overloaded."""


class Unavailable(RouterError):
    """Every attempt failed, or no router could be reached."""


class DeadlineExceeded(RouterError):
    """The call's deadline passed."""


class Cancelled(RouterError):
    """The call was cancelled, though not by this task."""


class Internal(RouterError):
    """A defect of the router or of its configuration."""


_BY_CODE: dict[grpc.StatusCode, type[RouterError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: InvalidRequest,
    grpc.StatusCode.UNAUTHENTICATED: Unauthenticated,
    grpc.StatusCode.PERMISSION_DENIED: PermissionDenied,
    grpc.StatusCode.NOT_FOUND: NotFound,
    grpc.StatusCode.FAILED_PRECONDITION: FailedPrecondition,
    grpc.StatusCode.RESOURCE_EXHAUSTED: RateLimited,
    grpc.StatusCode.UNAVAILABLE: Unavailable,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExceeded,
    grpc.StatusCode.CANCELLED: Cancelled,
    grpc.StatusCode.INTERNAL: Internal,
}


def router_error(error: grpc.RpcError, request_id: str) -> RouterError:
    """`error` as one of ours. `request_id` is the one that was sent."""
    status = _status(error)
    info = _detail(status, error_details_pb2.ErrorInfo)
    if info is not None and info.domain != _DOMAIN:
        info = None
    retry = _detail(status, error_details_pb2.RetryInfo)
    bad_request = _detail(status, error_details_pb2.BadRequest)
    return _BY_CODE.get(error.code(), RouterError)(
        error.details() or "",
        code=error.code(),
        reason=info.reason if info else "",
        metadata=info.metadata if info else None,
        retry_after=retry.retry_delay.ToNanoseconds() / 1e9 if retry else None,
        violations=[Violation(bad.field, bad.description) for bad in bad_request.field_violations]
        if bad_request
        else (),
        receipt_summary=_detail(status, ReceiptSummary),
        request_id=request_id,
    )


def _status(error: grpc.RpcError) -> status_pb2.Status:
    """The rich status, empty where there is none or a proxy on the way damaged it."""
    if not error.trailing_metadata():
        return status_pb2.Status()
    try:
        # RpcErrors are calls, which their type does not say.
        status: status_pb2.Status | None = rpc_status.from_call(cast(grpc.Call, error))
    except (ValueError, DecodeError):
        return status_pb2.Status()
    return status or status_pb2.Status()


def _detail(status: status_pb2.Status, kind: type[DetailT]) -> DetailT | None:
    for packed in status.details:
        if packed.Is(kind.DESCRIPTOR):
            detail = kind()
            packed.Unpack(detail)
            return detail
    return None
