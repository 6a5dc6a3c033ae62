"""What must follow from an upstream's error: the oracle's own copy of the published table, not the router's code."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Again(Enum):
    """Whether the same deployment may be asked again."""

    NO = "no"
    ONCE = "once"
    """After the first try at that deployment only."""
    YES = "yes"
    """As often as the policy allows."""


class Next(Enum):
    """Whether another deployment may be asked."""

    NO = "no"
    LARGER = "only one with a larger context"
    YES = "yes"


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the table. `billed` says whether the provider may have billed an attempt that gave no output.

    `reason` and `code` are what the call ends with where nothing else helped.
    """

    name: str
    again: Again
    next: Next
    billed: bool
    reason: str = "ATTEMPTS_EXHAUSTED"
    code: str = "UNAVAILABLE"

    @property
    def final(self) -> bool:
        """Whether it is about the request itself, so that its reason is the last word."""
        return self.next is not Next.YES


CONNECT = Row("connect, TLS, DNS", Again.YES, Next.YES, billed=False)
RATE = Row("429 rate", Again.YES, Next.YES, billed=False)
RATE_TOO_LONG = Row("429 whose hint does not fit", Again.NO, Next.YES, billed=False)
QUOTA = Row("429 quota", Again.NO, Next.YES, billed=False)
SERVER = Row("server error", Again.YES, Next.YES, billed=True)
GATEWAY = Row("gateway timeout", Again.ONCE, Next.YES, billed=True)
LOST = Row("lost after the request was sent", Again.ONCE, Next.YES, billed=True)
AUTH = Row("our key refused", Again.NO, Next.YES, billed=False, reason="PROVIDER_REFUSES_KEY", code="INTERNAL")
UNKNOWN_MODEL = Row("404 model", Again.NO, Next.YES, billed=False)
CONTEXT = Row("context length", Again.NO, Next.LARGER, billed=False, reason="CONTEXT_TOO_LONG", code="INVALID_ARGUMENT")
REJECTED = Row("other 400", Again.NO, Next.NO, billed=False, reason="UPSTREAM_REJECTED", code="INVALID_ARGUMENT")
DIALECT = Row(
    "422 about a field", Again.NO, Next.YES, billed=False, reason="UPSTREAM_REJECTED", code="INVALID_ARGUMENT"
)
FILTERED = Row("content filter", Again.NO, Next.NO, billed=True, reason="CONTENT_FILTERED", code="FAILED_PRECONDITION")
MALFORMED = Row("bad JSON, HTML with 200", Again.ONCE, Next.YES, billed=True)
TRUNCATED = Row("truncated", Again.ONCE, Next.YES, billed=True)
SILENCE = Row("silent for too long", Again.NO, Next.YES, billed=True)
"""Its share of the deadline is spent: the rest belongs to another deployment."""
