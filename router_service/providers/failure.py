"""What a provider's error means: HTTP status, headers and body, or an error inside a 200, as one `UpstreamError`.

Bodies are searched for known codes and phrases and then forgotten: no text of a provider enters a message.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import msgspec

from router_service.domain.error import UpstreamError, UpstreamFault
from router_service.providers.hints import duration_seconds, retry_hint

MAX_ERROR_BYTES = 64 * 1024

_CODE = re.compile(r"[A-Za-z0-9_.:-]{1,64}")
_MAX_DEPTH = 8

_CONTEXT = (
    "context_length_exceeded",
    "context length",
    "context window",
    "context_window",
    "exceed_context_size",
    "context size",
    "maximum context",
    "prompt is too long",
    "input is too long",
    "too many tokens",
    "too large for model",
    "request too large",
    "request_too_large",
    "exceeds the maximum number of tokens",
    "range of input length",
)
_FILTERED = (
    "content_filter",
    "content_policy",
    "content policy",
    "content management policy",
    "responsibleaipolicyviolation",
    "data_inspection_failed",
    "datainspectionfailed",
    "inappropriate content",
    "content exists risk",
    "flagged",
    "moderation",
    "sensitive content",
    "safety_violation",
    "new_sensitive",
    "敏感内容",
)
_QUOTA = (
    "insufficient_quota",
    "insufficient quota",
    "quota_exceeded_daily",
    "billing_hard_limit",
    "billing_not_active",
    "insufficient balance",
    "insufficient_balance",
    "balance is insufficient",
    "balance insufficient",
    "insufficient credits",
    "credit balance",
    "out of credits",
    "arrearage",
    "overdue",
    "per day",
    "daily limit",
    "daily quota",
    "余额不足",
    "欠费",
)
_UNKNOWN_MODEL = (
    "model_not_found",
    "model not found",
    "model_not_exist",
    "model not exist",
    "invalid_model",
    "invalid model",
    "unknown model",
    "not a valid model",
    "model_not_supported",
    "modelnotfound",
    "deploymentnotfound",
    "decommissioned",
)
_BAD_KEY = ("api_key_invalid", "api key not valid", "invalid_api_key", "invalid api key", "incorrect api key")
_DIALECT = (
    "unsupported_parameter",
    "unsupported parameter",
    "unsupported_value",
    "unsupported value",
    "unknown_parameter",
    "unknown parameter",
    "unknown name",
    "unrecognized request argument",
    "unrecognized field",
    "extra_forbidden",
    "extra inputs are not permitted",
    "unexpected keyword",
    "is unsupported",
    "is not supported",
    "not support",
)
_DIALECT_CODE = "unsupported_parameter"

# What an error inside a 200 calls itself, and the HTTP status it would have had.
_NAMED_STATUS = (
    ("insufficient_quota", 429),
    ("rate_limit", 429),
    ("rate limit", 429),
    ("too_many_requests", 429),
    ("resource_exhausted", 429),
    ("overloaded", 529),
    ("authentication", 401),
    ("invalid_api_key", 401),
    ("unauthorized", 401),
    ("permission", 403),
    ("not_found", 404),
    ("timeout", 504),
    ("timed out", 504),
    ("invalid_request", 400),
    ("bad_request", 400),
    ("badrequest", 400),
    ("context", 400),
    ("content_filter", 400),
)

# MiniMax answers 200 and gives numbers of its own.
_MINIMAX_STATUS = {1002: 429, 1004: 401, 1008: 402, 1026: 400, 1027: 400, 1039: 400, 2013: 400, 2049: 401}

# Where providers put their own words; other fields may repeat the prompt, which must not decide anything.
_TEXT_KEYS = frozenset(
    {"", "error", "message", "msg", "status_msg", "detail", "code", "type", "reason", "reasons", "status", "raw"}
)
_CODE_KEYS = ("code", "reason", "type")

_WORDS = {
    UpstreamFault.RATE_LIMITED: "limits our request rate",
    UpstreamFault.QUOTA: "says that the account's quota or balance is used up",
    UpstreamFault.SERVER: "failed",
    UpstreamFault.GATEWAY_TIMEOUT: "timed out on its side",
    UpstreamFault.AUTH: "refuses our key or its permissions: check the provider's api_key",
    UpstreamFault.MODEL_NOT_FOUND: "does not know the model, or the path is wrong: check model and base_url",
    UpstreamFault.CONTEXT_LENGTH: "says that the prompt is too long for the model",
    UpstreamFault.BAD_REQUEST: "rejected the request",
    UpstreamFault.CONTENT_FILTER: "refused the content",
}


@dataclass(frozen=True, slots=True)
class _Report:
    """What is of use in an error body: the provider's words in lower case, its code, and what it says of waiting."""

    text: str = ""
    code: str = ""
    status: int | None = None
    delay: float | None = None
    per_day: bool = False
    per_minute: bool = False


def http_failure(provider: str, status: int, headers: Mapping[str, str], body: bytes, *, now: float) -> UpstreamError:
    """The error for a response that is not a success. `headers` have lower-case names, `now` is epoch seconds."""
    if 300 <= status < 400:
        return UpstreamError(
            UpstreamFault.MODEL_NOT_FOUND,
            f"{provider} redirects (HTTP {status}), which is not followed: set base_url to where the API is now.",
            status=status,
        )
    report = _report(body)
    fault = _fault(status, report)
    hint = retry_hint(headers, report.delay, now=now)
    return UpstreamError(
        fault,
        f"{provider} {_WORDS[fault]} (HTTP {status}).",
        status=status,
        retry_after=hint.after,
        retryable=hint.retryable,
        code=_code(fault, report),
    )


def stream_failure(provider: str, body: bytes) -> UpstreamError:
    """The error for one reported inside a 200, whole or in the middle of a stream."""
    report = _report(body)
    status = report.status if report.status is not None else _named_status(report)
    fault = _fault(status, report)
    hint = retry_hint({}, report.delay, now=0.0)
    return UpstreamError(
        fault,
        f"{provider} {_WORDS[fault]}, and said so inside a successful response.",
        status=status,
        retry_after=hint.after,
        retryable=hint.retryable,
        code=_code(fault, report),
    )


def _fault(status: int, report: _Report) -> UpstreamFault:  # noqa: PLR0911 - a table with conditions
    text = report.text
    if status == 429:
        if _any(_CONTEXT[-5:], text):
            return UpstreamFault.CONTEXT_LENGTH
        if report.per_day or (not report.per_minute and _any(_QUOTA, text)):
            return UpstreamFault.QUOTA
        return UpstreamFault.RATE_LIMITED
    if status == 402 or (status < 500 and _any(_QUOTA, text)):
        return UpstreamFault.QUOTA
    if status == 401 or _any(_BAD_KEY, text):
        return UpstreamFault.AUTH
    if _any(_CONTEXT, text) or status == 413:
        return UpstreamFault.CONTEXT_LENGTH
    if _any(_FILTERED, text):
        return UpstreamFault.CONTENT_FILTER
    if status == 404 or (status < 500 and _any(_UNKNOWN_MODEL, text)):
        return UpstreamFault.MODEL_NOT_FOUND
    if status == 403:
        return UpstreamFault.AUTH
    if status in (408, 504, 524):
        return UpstreamFault.GATEWAY_TIMEOUT
    if status >= 500 or status in (409, 425):
        return UpstreamFault.SERVER
    return UpstreamFault.BAD_REQUEST


def _any(phrases: tuple[str, ...], text: str) -> bool:
    return any(phrase in text for phrase in phrases)


def _code(fault: UpstreamFault, report: _Report) -> str:
    if fault is UpstreamFault.BAD_REQUEST and _any(_DIALECT, report.text):
        return _DIALECT_CODE
    return report.code


def _named_status(report: _Report) -> int:
    return next((status for name, status in _NAMED_STATUS if name in report.text), 500)


def _report(body: bytes) -> _Report:
    """Read an error body of any shape: nested, a list, a bare string, or not JSON at all."""
    try:
        content = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        # Pages of proxies say nothing about the request and would match phrases by accident.
        text = "" if body.lstrip()[:1] == b"<" else body[:MAX_ERROR_BYTES].decode("utf-8", "replace").lower()
        return _Report(text=text)
    strings: list[str] = []
    codes: dict[str, str] = {}
    quotas: list[str] = []
    status, delay = None, None
    for key, value in _leaves(content, "", 0):
        if isinstance(value, str):
            if key in _TEXT_KEYS:
                strings.append(value.lower())
            if key in _CODE_KEYS and not value.isdigit() and _CODE.fullmatch(value):
                codes.setdefault(key, value)
            elif key == "retryDelay":
                delay = duration_seconds(value)
            elif key == "quotaId":
                quotas.append(value)
        if key in ("code", "status_code", "http_code") and status is None:
            status = _http_status(value)
    return _Report(
        text="\n".join(strings),
        code=next((codes[key] for key in _CODE_KEYS if key in codes), ""),
        status=status,
        delay=delay,
        per_day=any("PerDay" in quota for quota in quotas),
        per_minute=any("PerMinute" in quota for quota in quotas) or delay is not None,
    )


def _leaves(content: object, key: str, depth: int) -> Iterator[tuple[str, object]]:
    if depth > _MAX_DEPTH:
        return
    if isinstance(content, dict):
        for name, value in content.items():
            yield from _leaves(value, str(name), depth + 1)
    elif isinstance(content, list):
        for value in content:
            yield from _leaves(value, key, depth + 1)
    else:
        yield key, content


def _http_status(value: object) -> int | None:
    number = int(value) if isinstance(value, str) and value.isdecimal() and len(value) <= 4 else value
    if not isinstance(number, int):
        return None
    return number if 400 <= number <= 599 else _MINIMAX_STATUS.get(number)
