"""The faults of the matrix: data. What each does to an attempt, by phase, and what the receipt calls it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from benchmarks.chaos import taxonomy
from benchmarks.chaos.taxonomy import Row
from router_service.simulator import ErrorStyle, Fault, FaultKind

TOKENS_BEFORE_MID = 3
"""How many tokens leave before a fault strikes in the middle."""


class Phase(StrEnum):
    """How far an attempt has come when the fault strikes."""

    CONNECT = "connect"
    HEADER = "header"
    PRE_TOKEN = "pre-token"
    MID = "mid"
    POST_FINISH = "post-finish"


class Address(StrEnum):
    """Places that cannot be reached, each in its own way."""

    UNKNOWN_HOST = "unknown host"
    REFUSED = "refused"
    SYN_DROPPED = "SYN dropped"
    TLS_UNTRUSTED = "TLS untrusted"


class Bill(StrEnum):
    """Whether the provider's usage report survives a fault after output."""

    REPORTED = "reported"
    LOST = "lost"


@dataclass(frozen=True, slots=True, kw_only=True)
class Strike:
    """A fault at one phase.

    `cause` is what the simulated provider does, or the address that takes its place. `row` is the taxonomy's; `None`
    where the attempt succeeds all the same. `error_type` is what the receipt calls the attempt. `output` says that some
    of the answer had arrived, `bill` whether usage had. `hint` is the provider's wait in seconds.
    """

    cause: Fault | Address
    row: Row | None
    error_type: str = ""
    output: bool = False
    bill: Bill = Bill.REPORTED
    hint: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ChaosFault:
    """A fault, in each phase in which it can strike.

    `streamed` is for upstream streams, `whole` for answers in one JSON body. `listed` marks the 32 of the plan; the
    others came up while testing. `every_chunk` asks a provider that reports usage in every chunk.
    """

    name: str
    streamed: Mapping[Phase, Strike]
    whole: Mapping[Phase, Strike] = field(default_factory=dict)
    listed: bool = True
    every_chunk: bool = False


def _address(name: str, address: Address) -> ChaosFault:
    strikes = {Phase.CONNECT: Strike(cause=address, row=taxonomy.CONNECT, error_type="connect_error")}
    return ChaosFault(name=name, streamed=strikes, whole=strikes)


def _rejected(
    name: str, kind: FaultKind, row: Row, error_type: str, *, listed: bool = True, hint: float = 0.0, **more: Any
) -> ChaosFault:
    """A response that is an error from its status on."""
    cause = Fault(kind=kind, **more)
    strikes = {Phase.HEADER: Strike(cause=cause, row=row, error_type=error_type, hint=hint)}
    return ChaosFault(name=name, streamed=strikes, whole=strikes, listed=listed)


def _withheld(name: str, kind: FaultKind, **more: Any) -> ChaosFault:
    """No answer in time: nothing tells a whole answer's silence from its slowness but the total timeout."""
    cause = Fault(kind=kind, **more)
    return ChaosFault(
        name=name,
        streamed={Phase.HEADER: Strike(cause=cause, row=taxonomy.SILENCE, error_type="first_token_timeout")},
        whole={Phase.HEADER: Strike(cause=cause, row=taxonomy.SILENCE, error_type="timeout")},
    )


def _lost_before_headers(kind: FaultKind) -> dict[Phase, Strike]:
    return {Phase.HEADER: Strike(cause=Fault(kind=kind), row=taxonomy.LOST, error_type="connection_lost")}


def _amid(
    kind: FaultKind,
    *,
    before: tuple[Row | None, str],
    after: tuple[Row | None, str],
    bill: Bill = Bill.LOST,
    **more: Any,
) -> dict[Phase, Strike]:
    """Strikes in a stream: `before` and `after` its first output, and after its finish, where they are harmless."""
    return {
        Phase.PRE_TOKEN: Strike(cause=Fault(kind=kind, **more), row=before[0], error_type=before[1]),
        Phase.MID: Strike(
            cause=Fault(kind=kind, after_tokens=TOKENS_BEFORE_MID, **more),
            row=after[0],
            error_type=after[1],
            output=after[0] is not None,
            bill=bill,
        ),
        Phase.POST_FINISH: Strike(cause=Fault(kind=kind, after_finish=True, **more), row=None, bill=bill),
    }


def _in_body(
    kind: FaultKind, row: Row | None, error_type: str, *, output: bool = False, **more: Any
) -> dict[Phase, Strike]:
    """A strike in the body of a whole answer."""
    return {Phase.MID: Strike(cause=Fault(kind=kind, **more), row=row, error_type=error_type, output=output)}


def _in_band(name: str, style: ErrorStyle, row: Row, status: str, *, listed: bool = False) -> ChaosFault:
    said = (row, status)
    return ChaosFault(
        name=name,
        streamed=_amid(FaultKind.IN_BAND_ERROR, before=said, after=said, style=style),
        whole=_in_body(FaultKind.IN_BAND_ERROR, row, status, style=style),
        listed=listed,
    )


_TRUNCATED = (taxonomy.TRUNCATED, "stream_interrupted")
_LOST = (taxonomy.LOST, "connection_lost")
_MALFORMED = (taxonomy.MALFORMED, "malformed_response")
_NOT_BEGUN = (taxonomy.SILENCE, "first_token_timeout")
_STALLED = (taxonomy.SILENCE, "stall_timeout")
_HARMLESS = (None, "")

_HTML = Strike(cause=Fault(kind=FaultKind.HTML), row=taxonomy.MALFORMED, error_type="malformed_response")

FAULTS: tuple[ChaosFault, ...] = (
    _address("DNS", Address.UNKNOWN_HOST),
    _address("refused", Address.REFUSED),
    _address("SYN drop", Address.SYN_DROPPED),
    _address("TLS", Address.TLS_UNTRUSTED),
    ChaosFault(
        name="RST",
        streamed=_lost_before_headers(FaultKind.RESET_BEFORE_HEADERS)
        | _amid(FaultKind.RESET, before=_LOST, after=_TRUNCATED),
        whole=_lost_before_headers(FaultKind.RESET_BEFORE_HEADERS) | _in_body(FaultKind.RESET, *_LOST),
    ),
    _withheld("silent from byte 0", FaultKind.SILENT),
    _withheld("slow header", FaultKind.SLOW_HEADERS, seconds=0.05),
    _rejected("400 context", FaultKind.CONTEXT_LENGTH, taxonomy.CONTEXT, "context_length"),
    _rejected("401", FaultKind.UNAUTHORIZED, taxonomy.AUTH, "401"),
    _rejected("404", FaultKind.NOT_FOUND, taxonomy.UNKNOWN_MODEL, "404"),
    _rejected("408", FaultKind.REQUEST_TIMEOUT, taxonomy.GATEWAY, "408"),
    _rejected("409", FaultKind.CONFLICT, taxonomy.SERVER, "409"),
    _rejected("422", FaultKind.UNPROCESSABLE, taxonomy.DIALECT, "422"),
    _rejected("429", FaultKind.RATE_LIMITED, taxonomy.RATE, "429"),
    _rejected("429 sec", FaultKind.RATE_LIMITED_SECONDS, taxonomy.RATE, "429", hint=0.05, seconds=0.05),
    _rejected("429 date", FaultKind.RATE_LIMITED_DATE, taxonomy.RATE, "429", seconds=0.05),
    _rejected("429 ms", FaultKind.RATE_LIMITED_MS, taxonomy.RATE, "429", hint=0.05, seconds=0.05),
    _rejected("429 RetryInfo", FaultKind.RATE_LIMITED_RETRY_INFO, taxonomy.RATE, "429", hint=0.05, seconds=0.05),
    _rejected("429 quota", FaultKind.INSUFFICIENT_QUOTA, taxonomy.QUOTA, "429"),
    _rejected("500", FaultKind.SERVER_ERROR, taxonomy.SERVER, "500"),
    _rejected("502", FaultKind.BAD_GATEWAY, taxonomy.SERVER, "502"),
    _rejected("503 + hint", FaultKind.UNAVAILABLE, taxonomy.SERVER, "503", hint=0.05, seconds=0.05),
    _rejected("520", FaultKind.WEB_SERVER_ERROR, taxonomy.SERVER, "520"),
    _rejected("524", FaultKind.ORIGIN_TIMEOUT, taxonomy.GATEWAY, "524"),
    _rejected("529", FaultKind.OVERLOADED, taxonomy.SERVER, "529"),
    ChaosFault(name="HTML with 200", streamed={Phase.PRE_TOKEN: _HTML}, whole={Phase.PRE_TOKEN: _HTML}),
    ChaosFault(
        name="bad JSON",
        streamed=_amid(FaultKind.BAD_JSON, before=_MALFORMED, after=_MALFORMED),
        whole=_in_body(FaultKind.BAD_JSON, *_MALFORMED),
    ),
    _in_band("in-band error", ErrorStyle.VLLM, taxonomy.GATEWAY, "504", listed=True),
    ChaosFault(
        name="EOF without finish",
        streamed=_amid(FaultKind.END_WITHOUT_FINISH, before=_TRUNCATED, after=_TRUNCATED),
        whole=_in_body(FaultKind.END_WITHOUT_FINISH, *_TRUNCATED, output=True),
    ),
    ChaosFault(
        name="stall",
        streamed=_amid(FaultKind.STALL, before=_NOT_BEGUN, after=_STALLED),
        whole=_in_body(FaultKind.STALL, taxonomy.SILENCE, "timeout"),
    ),
    ChaosFault(
        name="one-byte drip",
        streamed=_amid(FaultKind.DRIP, before=_NOT_BEGUN, after=_STALLED, seconds=0.02),
        whole=_in_body(FaultKind.DRIP, taxonomy.SILENCE, "timeout", seconds=0.02),
    ),
    ChaosFault(
        name="huge line",
        streamed=_amid(FaultKind.HUGE_LINE, before=_MALFORMED, after=_MALFORMED),
    ),
    # Not in the plan's list of 32.
    _rejected("400", FaultKind.BAD_REQUEST, taxonomy.REJECTED, "400", listed=False),
    _rejected("400 content filter", FaultKind.CONTENT_FILTER, taxonomy.FILTERED, "content_filter", listed=False),
    _rejected("403", FaultKind.FORBIDDEN, taxonomy.AUTH, "403", listed=False),
    _rejected("429 daily quota", FaultKind.DAILY_QUOTA, taxonomy.QUOTA, "429", listed=False),
    _rejected("429 reset", FaultKind.RATE_LIMITED_RESET, taxonomy.RATE, "429", listed=False, hint=0.05, seconds=0.05),
    _rejected("429 too long", FaultKind.RATE_LIMITED_SECONDS, taxonomy.RATE_TOO_LONG, "429", listed=False, seconds=60),
    _rejected("504", FaultKind.GATEWAY_TIMEOUT, taxonomy.GATEWAY, "504", listed=False),
    ChaosFault(
        name="FIN",
        streamed=_lost_before_headers(FaultKind.CLOSE_BEFORE_HEADERS)
        | _amid(FaultKind.CUT, before=_LOST, after=_TRUNCATED),
        whole=_lost_before_headers(FaultKind.CLOSE_BEFORE_HEADERS) | _in_body(FaultKind.CUT, *_LOST),
        listed=False,
    ),
    ChaosFault(
        name="FIN at once",
        streamed=_amid(FaultKind.CUT, before=_LOST, after=_TRUNCATED, seconds=0.0),
        listed=False,
    ),
    ChaosFault(
        name="[DONE] without finish",
        streamed=_amid(FaultKind.DONE_WITHOUT_FINISH, before=_TRUNCATED, after=_TRUNCATED),
        listed=False,
    ),
    ChaosFault(
        name="comments only",
        streamed=_amid(FaultKind.PING_FLOOD, before=_NOT_BEGUN, after=_STALLED, seconds=0.02),
        listed=False,
    ),
    _in_band("in-band (OpenRouter)", ErrorStyle.OPENROUTER, taxonomy.SERVER, "500"),
    _in_band("in-band (OpenRouter, finish)", ErrorStyle.OPENROUTER_FINISH, taxonomy.SERVER, "500"),
    _in_band("in-band (Anthropic)", ErrorStyle.ANTHROPIC, taxonomy.SERVER, "529"),
    _in_band("in-band (Groq)", ErrorStyle.GROQ, taxonomy.SERVER, "500"),
    _in_band("in-band (Groq, nested)", ErrorStyle.GROQ_NESTED, taxonomy.SERVER, "500"),
    _in_band("in-band (llama.cpp)", ErrorStyle.LLAMA_CPP, taxonomy.CONTEXT, "context_length"),
    ChaosFault(
        name="EOF, usage in every chunk",
        streamed=_amid(FaultKind.END_WITHOUT_FINISH, before=_TRUNCATED, after=_TRUNCATED, bill=Bill.REPORTED),
        listed=False,
        every_chunk=True,
    ),
    ChaosFault(
        name="stall, usage in every chunk",
        streamed=_amid(FaultKind.STALL, before=_NOT_BEGUN, after=_STALLED, bill=Bill.REPORTED),
        listed=False,
        every_chunk=True,
    ),
    # Strange, but no failures.
    ChaosFault(
        name="quick one-byte drip",
        streamed=_amid(FaultKind.DRIP, before=_HARMLESS, after=_HARMLESS, bill=Bill.REPORTED, seconds=0.0),
        whole=_in_body(FaultKind.DRIP, *_HARMLESS, seconds=0.0),
        listed=False,
    ),
    ChaosFault(
        name="line separators in the text",
        streamed={Phase.MID: Strike(cause=Fault(kind=FaultKind.LINE_SEPARATORS), row=None)},
        whole={Phase.MID: Strike(cause=Fault(kind=FaultKind.LINE_SEPARATORS), row=None)},
        listed=False,
    ),
)
