"""When to come back: the hints that providers hide in headers and bodies."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from math import isfinite

from router_service.domain.upstream import RateLeft

# A longer wait than this is a different plan, not a retry.
MAX_RETRY_AFTER = 120.0
# No provider means more than this; some say it when their clock is wrong.
_LONGEST_HINT = 24 * 3600.0

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|d|h|m|s)")
_UNIT_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_WORDS = {"true": True, "false": False}


@dataclass(frozen=True, slots=True)
class RetryHint:
    """`after` is in seconds; `retryable` is the provider's own word. `None` where it says nothing."""

    after: float | None = None
    retryable: bool | None = None


def duration_seconds(text: str) -> float | None:
    """A duration such as "6s", "1.57s", "6m0s", "17ms" or "45.8" (seconds); `None` for anything else."""
    text = text.strip()
    matches = list(_DURATION.finditer(text))
    if matches and "".join(match.group() for match in matches) == text:
        return sum(float(match[1]) * _UNIT_SECONDS[match[2]] for match in matches)
    try:
        seconds = float(text)
    except ValueError:
        return None
    return seconds if isfinite(seconds) else None


def retry_hint(headers: Mapping[str, str], body_delay: float | None, *, status: int, now: float) -> RetryHint:
    """What the provider says about trying again, the most exact source first.

    `headers` have lower-case names. `body_delay` is the delay in seconds that the body named. `status` is the HTTP
    status: rate windows count for a 429 only, since every answer reports them. `now` is the time in seconds since the
    epoch. A wait of more than two minutes is kept, up to a day, for cooling down, but means: do not retry here.
    """
    retryable = _WORDS.get(headers.get("x-should-retry", "").strip().lower())
    after = next(
        (
            seconds
            for seconds in (
                _milliseconds(headers.get("retry-after-ms")),
                _seconds_or_date(headers.get("retry-after"), now),
                body_delay,
                _window_reset(headers) if status == 429 else None,
            )
            if seconds is not None and seconds > 0
        ),
        None,
    )
    if after is not None and after > MAX_RETRY_AFTER:
        after = min(after, _LONGEST_HINT)
        retryable = False
    return RetryHint(after, retryable)


def rate_left(headers: Mapping[str, str]) -> RateLeft | None:
    """What the headers of an answer say is left of the rate; `None` where they say nothing. Names in any case."""
    requests, tokens = (_count(headers.get(f"x-ratelimit-remaining-{kind}")) for kind in ("requests", "tokens"))
    if requests is None and tokens is None:
        return None
    return RateLeft(
        requests=requests,
        requests_reset=duration_seconds(headers.get("x-ratelimit-reset-requests", "")),
        tokens=tokens,
        tokens_reset=duration_seconds(headers.get("x-ratelimit-reset-tokens", "")),
    )


def _count(text: str | None) -> int | None:
    return int(text) if text is not None and text.isascii() and text.isdigit() else None


def _milliseconds(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        milliseconds = float(text)
    except ValueError:
        return None
    return milliseconds / 1000 if isfinite(milliseconds) else None


def _seconds_or_date(text: str | None, now: float) -> float | None:
    if text is None:
        return None
    seconds = duration_seconds(text)
    if seconds is not None:
        return seconds
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    if date.tzinfo is None:
        date = date.replace(tzinfo=UTC)
    return date.timestamp() - now


def _window_reset(headers: Mapping[str, str]) -> float | None:
    """The reset of the rate window that is used up; of the later one where that is not said."""
    resets: dict[str, float] = {}
    for kind in ("requests", "tokens"):
        seconds = duration_seconds(headers.get(f"x-ratelimit-reset-{kind}", ""))
        if seconds is not None:
            resets[kind] = seconds
    used_up = [seconds for kind, seconds in resets.items() if headers.get(f"x-ratelimit-remaining-{kind}") == "0"]
    return max(used_up or resets.values(), default=None)
