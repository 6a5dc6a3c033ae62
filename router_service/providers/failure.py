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

# Phrases are sought in free text, which may quote the caller's names and schemas: they decide about one call, or hold
# spaces that no name has. Codes are sought only where a provider puts its own codes.
_TOO_LARGE = (
    "too large for model",
    "request too large",
    "request_too_large",
    "exceeds the maximum number of tokens",
    "range of input length",
)
_CONTEXT = (
    "context_length_exceeded",
    "context length",
    "context window",
    "context_window",
    "exceed_context_size",
    "context size",
    "context limit",
    "maximum context",
    "prompt is too long",
    "prompt tokens limit exceeded",
    "prompt 超长",
    "prompt超长",
    "input is too long",
    "too many tokens",
    *_TOO_LARGE,
)
_CONTEXT_CODES = ("context_length_exceeded", "exceed_context_size", "context_window_exceeded")
# What llama.cpp says with a 500.
_CONTEXT_FULL = "context size has been exceeded"
_PER_MINUTE = ("per min", "(tpm)", "(rpm)")
_FILTERED = (
    "content policy",
    "content management policy",
    "inappropriate content",
    "content exists risk",
    "sensitive content",
    "input new_sensitive",
    "output new_sensitive",
    "input flagged",
    "input was flagged",
    "prompt was flagged",
    "敏感内容",
)
_FILTERED_CODES = (
    "content_filter",
    "content_policy",
    "content_moderation",
    "moderation_blocked",
    "responsibleaipolicyviolation",
    "data_inspection_failed",
    "datainspectionfailed",
    "sensitivecontent",
    "safety_violation",
)
_QUOTA = (
    "insufficient quota",
    "insufficient balance",
    "balance is insufficient",
    "balance insufficient",
    "insufficient credits",
    "credit balance is too low",
    "out of credits",
    "余额不足",
    "欠费",
)
_QUOTA_CODES = (
    "insufficient_quota",
    "insufficient_balance",
    "exceeded_current_quota",
    "quota_exceeded_daily",
    "billing_hard_limit",
    "billing_not_active",
    "arrearage",
    "overdue",
)
# Where the status already says that an account or a limit is the cause, less is enough.
_QUOTA_IN_A_REFUSAL = (*_QUOTA, *_QUOTA_CODES, "credit balance", "per day", "daily limit", "daily quota")
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
_BAD_KEY = ("api key not valid", "invalid api key", "incorrect api key")
_BAD_KEY_CODES = ("api_key_invalid", "invalid_api_key")
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
    "expected last role",
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
    ("content_filter", 400),
    *((phrase, 400) for phrase in (*_CONTEXT, *_FILTERED, *_FILTERED_CODES)),
)

# MiniMax answers 200 and gives numbers of its own.
_MINIMAX_STATUS = {1002: 429, 1004: 401, 1008: 402, 1026: 400, 1027: 400, 1039: 400, 2013: 400, 2049: 401}

# Where providers put their own words; other fields may repeat the prompt, which must not decide anything.
_TEXT_KEYS = frozenset(
    {"", "error", "message", "msg", "status_msg", "detail", "code", "type", "reason", "reasons", "status", "raw"}
)
_CODE_KEYS = ("code", "reason", "type")

# Below 500, and about the provider's side all the same; 498 is Groq's for a lack of capacity, 418 a firewall's.
_SERVER_SIDE = frozenset({409, 418, 421, 424, 425, 498, 499})

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
    """What is of use in an error body: the provider's words in lower case, its codes, and what it says of waiting.

    `codes` are all of them in lower case; `code` is the most telling one, as it was.
    """

    text: str = ""
    codes: str = ""
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
    hint = retry_hint(headers, report.delay, status=status, now=now)
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
    hint = retry_hint({}, report.delay, status=status, now=0.0)
    return UpstreamError(
        fault,
        f"{provider} {_WORDS[fault]}, and said so inside a successful response.",
        status=status,
        retry_after=hint.after,
        retryable=hint.retryable,
        code=_code(fault, report),
    )


def _fault(status: int, report: _Report) -> UpstreamFault:  # noqa: PLR0911 - a table with conditions
    refused = status < 500
    text = report.text
    if status == 429:
        return _limit(report)
    if status == 402:
        return UpstreamFault.CONTEXT_LENGTH if _any(_CONTEXT, text) else UpstreamFault.QUOTA
    if refused and _is_about_quota(status, report):
        return UpstreamFault.QUOTA
    if status == 401 or (refused and _says(_BAD_KEY, _BAD_KEY_CODES, report)):
        return UpstreamFault.AUTH
    if status == 413 or (refused and _any(_CONTEXT, text)) or _says((_CONTEXT_FULL,), _CONTEXT_CODES, report):
        return UpstreamFault.CONTEXT_LENGTH
    if status == 451 or (refused and _says(_FILTERED, _FILTERED_CODES, report)):
        return UpstreamFault.CONTENT_FILTER
    if status in (404, 405, 410) or (refused and _any(_UNKNOWN_MODEL, text)):
        return UpstreamFault.MODEL_NOT_FOUND
    if status == 403:
        return UpstreamFault.AUTH
    if status in (408, 504, 524):
        return UpstreamFault.GATEWAY_TIMEOUT
    if status >= 500 or status in _SERVER_SIDE:
        return UpstreamFault.SERVER
    return UpstreamFault.BAD_REQUEST


def _limit(report: _Report) -> UpstreamFault:
    """What a 429 means. A request larger than a rate window is limited by the account, not by the model."""
    text = report.text
    is_per_day = report.per_day or "per day" in text
    if _any(_TOO_LARGE, text) and not is_per_day and not _any(_PER_MINUTE, text):
        return UpstreamFault.CONTEXT_LENGTH
    if report.per_day or (not report.per_minute and _any(_QUOTA_IN_A_REFUSAL, text)):
        return UpstreamFault.QUOTA
    return UpstreamFault.RATE_LIMITED


def _is_about_quota(status: int, report: _Report) -> bool:
    # A wrong yes takes the deployment away from everybody for minutes.
    return _says(_QUOTA, _QUOTA_CODES, report) or (status == 403 and _any(_QUOTA_IN_A_REFUSAL, report.text))


def _says(phrases: tuple[str, ...], codes: tuple[str, ...], report: _Report) -> bool:
    return _any(phrases, report.text) or _any(codes, report.codes)


def _any(phrases: tuple[str, ...], text: str) -> bool:
    return any(phrase in text for phrase in phrases)


def _code(fault: UpstreamFault, report: _Report) -> str:
    if fault is UpstreamFault.BAD_REQUEST and _any(_DIALECT, report.text):
        return _DIALECT_CODE
    return report.code


def _named_status(report: _Report) -> int:
    return next((status for name, status in _NAMED_STATUS if name in report.text), 500)


def _report(body: bytes) -> _Report:
    """Read an error body of any shape: nested, a list, a bare string, or neither JSON nor UTF-8."""
    text = body.decode("utf-8", "replace")
    try:
        content = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        # Pages of proxies say nothing about the request and would match phrases by accident.
        return _Report(text="" if text.lstrip()[:1] == "<" else text[:MAX_ERROR_BYTES].lower())
    strings: list[str] = []
    codes: dict[str, str] = {}
    all_codes: list[str] = []
    quotas: list[str] = []
    status, delay = None, None
    for key, value in _leaves(content, "", 0):
        if isinstance(value, str):
            if key in _TEXT_KEYS:
                strings.append(value.lower())
            if key in _CODE_KEYS and not value.isdigit() and _CODE.fullmatch(value):
                codes.setdefault(key, value)
                all_codes.append(value.lower())
            elif key == "retryDelay":
                delay = duration_seconds(value)
            elif key == "quotaId":
                quotas.append(value)
        if key in ("code", "status_code", "http_code") and status is None:
            status = _http_status(value)
    return _Report(
        text="\n".join(strings),
        codes="\n".join(all_codes),
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
    elif key == "raw" and isinstance(content, str) and content.startswith("{"):
        # OpenRouter quotes the whole error of the provider behind it.
        yield from _leaves(_unquoted(content), "", depth + 1)
    else:
        yield key, content


def _unquoted(text: str) -> object:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return text


def _http_status(value: object) -> int | None:
    number = int(value) if isinstance(value, str) and value.isdecimal() and len(value) <= 4 else value
    if not isinstance(number, int):
        return None
    return number if 400 <= number <= 599 else _MINIMAX_STATUS.get(number)
