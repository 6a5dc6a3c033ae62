"""Complete responses that are errors, as providers and the proxies before them word them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any, Final

import msgspec

from router_service.simulator.dialects import Dialect
from router_service.simulator.faults import Fault, FaultKind
from router_service.simulator.refusal import Refused
from router_service.simulator.wire import error

_DEFAULT_HINT_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """A whole response, ready to send."""

    status: int
    body: bytes
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)


def from_refusal(refused: Refused, dialect: Dialect) -> Response:
    """The answer to a request that is the client's mistake."""
    if refused.status == 422 and dialect.refused_fields:
        return _json(422, _unprocessable(refused.param or "body"))
    kind = "authentication_error" if refused.status == 401 else "invalid_request_error"
    return _json(refused.status, error(refused.message, kind, code=refused.code, param=refused.param))


def from_fault(fault: Fault, model: str, now: float) -> Response | None:
    """The answer a fault stands for, `None` where it is not a whole response. `now` is seconds since the epoch."""
    make = _REJECTIONS.get(fault.kind)
    return make(fault, model, now) if make else None


def html(status: int, title: str) -> Response:
    """A proxy's error page."""
    page = f"<!DOCTYPE html>\n<html><head><title>{title}</title></head>\n<body><h1>{title}</h1><hr></body></html>\n"
    return Response(status=status, body=page.encode(), content_type="text/html; charset=utf-8")


def _json(status: int, body: object, headers: Mapping[str, str] | None = None) -> Response:
    return Response(status=status, body=msgspec.json.encode(body), headers=headers or {})


def _unprocessable(param: str) -> dict[str, Any]:
    detail = {"type": "extra_forbidden", "loc": ["body", param], "msg": "Extra inputs are not permitted"}
    return {"object": "error", "message": {"detail": [detail]}, "type": "invalid_request_error", "code": "3230"}


Make = Callable[[Fault, str, float], Response]


def _plain(status: int, message: str, kind: str, code: str | None = None) -> Make:
    return lambda fault, model, now: _json(status, error(message.format(model=model), kind, code=code))


def _hint(fault: Fault) -> float:
    return _DEFAULT_HINT_SECONDS if fault.seconds is None else fault.seconds


def _rate_limited(hint: Callable[[Fault, float], Mapping[str, str]]) -> Make:
    said = error("Rate limit reached. Please try again later.", "requests", code="rate_limit_exceeded")
    return lambda fault, model, now: _json(429, said, hint(fault, now))


def _gemini(fault: Fault, *, daily: bool) -> Response:
    details: list[dict[str, Any]] = [
        {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": f"{_hint(fault):g}s"}
    ]
    if daily:
        violation = {
            "quotaMetric": "generativelanguage.googleapis.com/generate_content_free_tier_requests",
            "quotaId": "GenerateRequestsPerDayPerProjectPerModel-FreeTier",
            "quotaValue": "50",
        }
        details.insert(0, {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [violation]})
    exhausted = {
        "code": 429,
        "message": "You exceeded your current quota, please check your plan and billing details.",
        "status": "RESOURCE_EXHAUSTED",
        "details": details,
    }
    return _json(429, [{"error": exhausted}])


def _unavailable(fault: Fault, model: str, now: float) -> Response:
    headers = {} if fault.seconds is None else {"retry-after": f"{fault.seconds:g}"}
    return _json(503, error("The server is overloaded or not ready yet.", "service_unavailable_error"), headers)


def _overloaded(fault: Fault, model: str, now: float) -> Response:
    return _json(529, {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}})


def _http_date(fault: Fault, now: float) -> Mapping[str, str]:
    return {"retry-after": formatdate(math.ceil(now + _hint(fault)), usegmt=True)}


_REJECTIONS: Final[Mapping[FaultKind, Make]] = {
    FaultKind.BAD_REQUEST: _plain(400, "Invalid value for a field.", "invalid_request_error", "invalid_value"),
    FaultKind.CONTEXT_LENGTH: _plain(
        400,
        "This model's maximum context length is 8192 tokens. However, your messages resulted in 9000 tokens.",
        "invalid_request_error",
        "context_length_exceeded",
    ),
    FaultKind.CONTENT_FILTER: _plain(
        400, "The response was filtered due to the prompt.", "invalid_request_error", "content_filter"
    ),
    FaultKind.UNAUTHORIZED: _plain(401, "Incorrect API key provided.", "authentication_error", "invalid_api_key"),
    FaultKind.FORBIDDEN: _plain(403, "This key may not use this model.", "permission_error", "permission_denied"),
    FaultKind.NOT_FOUND: _plain(404, "The model `{model}` does not exist.", "invalid_request_error", "model_not_found"),
    FaultKind.REQUEST_TIMEOUT: _plain(408, "Request timeout.", "timeout"),
    FaultKind.CONFLICT: _plain(409, "Another request is changing this resource.", "conflict_error"),
    FaultKind.UNPROCESSABLE: lambda fault, model, now: _json(422, _unprocessable("stream_options")),
    FaultKind.RATE_LIMITED: _rate_limited(lambda fault, now: {}),
    FaultKind.RATE_LIMITED_SECONDS: _rate_limited(lambda fault, now: {"retry-after": f"{_hint(fault):g}"}),
    FaultKind.RATE_LIMITED_DATE: _rate_limited(_http_date),
    FaultKind.RATE_LIMITED_MS: _rate_limited(lambda fault, now: {"retry-after-ms": f"{_hint(fault) * 1000:g}"}),
    FaultKind.RATE_LIMITED_RESET: _rate_limited(
        lambda fault, now: {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": f"{_hint(fault):g}s"}
    ),
    FaultKind.RATE_LIMITED_RETRY_INFO: lambda fault, model, now: _gemini(fault, daily=False),
    FaultKind.DAILY_QUOTA: lambda fault, model, now: _gemini(fault, daily=True),
    FaultKind.INSUFFICIENT_QUOTA: _plain(
        429, "You exceeded your current quota, please check your plan.", "insufficient_quota", "insufficient_quota"
    ),
    FaultKind.SERVER_ERROR: _plain(500, "The server had an error while processing your request.", "server_error"),
    FaultKind.BAD_GATEWAY: lambda fault, model, now: html(502, "502 Bad Gateway"),
    FaultKind.UNAVAILABLE: _unavailable,
    FaultKind.GATEWAY_TIMEOUT: lambda fault, model, now: html(504, "504 Gateway Time-out"),
    FaultKind.WEB_SERVER_ERROR: lambda fault, model, now: html(520, "Web server is returning an unknown error"),
    FaultKind.ORIGIN_TIMEOUT: lambda fault, model, now: html(524, "A timeout occurred"),
    FaultKind.OVERLOADED: _overloaded,
    FaultKind.HTML: lambda fault, model, now: html(200, "Sign in to continue"),
}
