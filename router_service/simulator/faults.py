"""What can go wrong at or after TCP accept: data. `misbehaviour` carries it out, `script` says when."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from enum import StrEnum
from typing import Any, Final


class FaultKind(StrEnum):
    """One way of failing. Those named for a status answer with that status."""

    NONE = "none"

    RESET_BEFORE_HEADERS = "reset_before_headers"
    CLOSE_BEFORE_HEADERS = "close_before_headers"
    SILENT = "silent"
    SLOW_HEADERS = "slow_headers"

    BAD_REQUEST = "bad_request"
    CONTEXT_LENGTH = "context_length"
    CONTENT_FILTER = "content_filter"
    UNAUTHORIZED = "unauthorized"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    REQUEST_TIMEOUT = "request_timeout"
    CONFLICT = "conflict"
    UNPROCESSABLE = "unprocessable"
    RATE_LIMITED = "rate_limited"
    RATE_LIMITED_SECONDS = "rate_limited_seconds"
    RATE_LIMITED_DATE = "rate_limited_date"
    RATE_LIMITED_MS = "rate_limited_ms"
    RATE_LIMITED_RETRY_INFO = "rate_limited_retry_info"
    RATE_LIMITED_RESET = "rate_limited_reset"
    DAILY_QUOTA = "daily_quota"
    INSUFFICIENT_QUOTA = "insufficient_quota"
    SERVER_ERROR = "server_error"
    BAD_GATEWAY = "bad_gateway"
    UNAVAILABLE = "unavailable"
    GATEWAY_TIMEOUT = "gateway_timeout"
    WEB_SERVER_ERROR = "web_server_error"
    ORIGIN_TIMEOUT = "origin_timeout"
    OVERLOADED = "overloaded"

    HTML = "html"
    BAD_JSON = "bad_json"
    IN_BAND_ERROR = "in_band_error"
    END_WITHOUT_FINISH = "end_without_finish"
    DONE_WITHOUT_FINISH = "done_without_finish"
    CUT = "cut"
    RESET = "reset"
    STALL = "stall"
    DRIP = "drip"
    HUGE_LINE = "huge_line"
    PING_FLOOD = "ping_flood"
    LINE_SEPARATORS = "line_separators"
    """No failure: text with U+2028, U+0085 and their like, which end no line of a stream."""
    ECHO_PREFIX = "echo_prefix"
    """No failure: an answer that goes on from a given beginning repeats that beginning first."""


class ErrorStyle(StrEnum):
    """How a provider reports an error inside a 200."""

    VLLM = "vllm"
    OPENROUTER = "openrouter"
    OPENROUTER_FINISH = "openrouter_finish"
    ANTHROPIC = "anthropic"
    GROQ = "groq"
    GROQ_NESTED = "groq_nested"
    LLAMA_CPP = "llama_cpp"


BEFORE_HEADERS: Final = frozenset({FaultKind.RESET_BEFORE_HEADERS, FaultKind.CLOSE_BEFORE_HEADERS, FaultKind.SILENT})
"""Those that never send a response."""

_ALIASES: Final = {
    "400": FaultKind.BAD_REQUEST,
    "401": FaultKind.UNAUTHORIZED,
    "403": FaultKind.FORBIDDEN,
    "404": FaultKind.NOT_FOUND,
    "408": FaultKind.REQUEST_TIMEOUT,
    "409": FaultKind.CONFLICT,
    "422": FaultKind.UNPROCESSABLE,
    "429": FaultKind.RATE_LIMITED,
    "500": FaultKind.SERVER_ERROR,
    "502": FaultKind.BAD_GATEWAY,
    "503": FaultKind.UNAVAILABLE,
    "504": FaultKind.GATEWAY_TIMEOUT,
    "520": FaultKind.WEB_SERVER_ERROR,
    "524": FaultKind.ORIGIN_TIMEOUT,
    "529": FaultKind.OVERLOADED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A fault and its particulars.

    `after_tokens`: how many tokens of a stream leave before it strikes; more than the answer has means before the
    finish reason, and `after_finish` means right after it. `seconds` is the hint of a 429 or 503, the pause of
    SLOW_HEADERS (per byte), DRIP (per byte), PING_FLOOD (per ping), CUT and RESET (before the end), and how long SILENT
    and STALL last before the answer comes after all (`None`: they never end). It is never scaled by the simulator's
    speed. `size` is the length of HUGE_LINE in bytes.
    """

    kind: FaultKind
    after_tokens: int = 0
    after_finish: bool = False
    seconds: float | None = None
    style: ErrorStyle = ErrorStyle.VLLM
    size: int = 2 * 1024 * 1024

    @staticmethod
    def of(kind: FaultKind | str, **particulars: Any) -> Fault:
        """A fault from the words of a file or a header, such as `Fault.of("stall", after_tokens="3")`.

        Raises `ValueError` for an unknown kind, particular or value.
        """
        known = {field.name for field in fields(Fault)} - {"kind"}
        if unknown := set(particulars) - known:
            raise ValueError(f"a fault has no {sorted(unknown)}; it has {sorted(known)}")
        fault = Fault(kind=_ALIASES.get(str(kind)) or FaultKind(kind))
        return replace(fault, **{name: _PARTICULARS[name](value) for name, value in particulars.items()})

    @staticmethod
    def parse(text: str) -> Fault:
        """A fault from one string: `"429"`, `"stall;after_tokens=3"`, `"in_band_error;style=groq"`."""
        kind, *particulars = (word.strip() for word in text.split(";"))
        return Fault.of(kind, **dict(_pair(word) for word in particulars if word))


def _pair(word: str) -> tuple[str, str]:
    name, _, value = word.partition("=")
    return name.strip(), value.strip()


def _truth(value: object) -> bool:
    return str(value).lower() in {"true", "1", "yes"}


_PARTICULARS: Final[dict[str, Any]] = {
    "after_tokens": int,
    "after_finish": _truth,
    "seconds": float,
    "style": ErrorStyle,
    "size": int,
}
