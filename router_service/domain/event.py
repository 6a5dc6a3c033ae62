"""What happens during a call, in order. The wire and telemetry observe the same events.

CallStarted ─ Decided ─ ( AttemptStarted ─ Delta* ─ AttemptFinished ─ [Judged] ─ [AttemptDiscarded] )* ─ Finished
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from router_service.domain.call import Call
from router_service.domain.chat import FinishReason, Message
from router_service.domain.decision import Decision
from router_service.domain.deployment import Deployment
from router_service.domain.error import RouterError
from router_service.domain.logprob import Logprobs
from router_service.domain.quality import Judgement
from router_service.domain.receipt import Attempt, AttemptReason, Receipt


@dataclass(frozen=True, slots=True)
class TextDelta:
    """More of the answer's text."""

    text: str


@dataclass(frozen=True, slots=True)
class ReasoningDelta:
    """More of the model's visible thinking."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCallDelta:
    """More of a tool call; `id` and `name` come with the first delta of an `index`."""

    index: int
    id: str = ""
    name: str = ""
    arguments_json: str = ""


Delta = TextDelta | ReasoningDelta | ToolCallDelta | Logprobs
"""A piece of output. `Logprobs` never come alone: they belong to text beside or before them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallStarted:
    """A call entered the engine."""

    call: Call
    started_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """The router decided; `duration` is seconds spent assessing and deciding."""

    decision: Decision
    duration: float


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptStarted:
    """An upstream call is about to be dispatched; `max_output_tokens` is the limit sent with it.

    `continues` is the number of the attempt from whose output it goes on, 0 where it begins anew.
    """

    number: int
    attempt_id: str
    deployment: Deployment
    reason: AttemptReason
    started_at: float
    max_output_tokens: int | None
    continues: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Deltas:
    """Output that arrived together. Adjacent text is already merged."""

    attempt: int
    deltas: Sequence[Delta]


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptFinished:
    """An attempt ended, one way or another."""

    attempt: Attempt


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """Gates judged a whole answer; `duration` is seconds. A held answer is judged before its deltas."""

    judgement: Judgement
    judged_at: float
    duration: float


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptDiscarded:
    """Output of `attempt` that the client has seen is taken back, with all that went on from it.

    `reason` is an error's, or GATE where a gate refused the answer.
    """

    attempt: int
    reason: str


GATE = "GATE"
"""The reason of a discard that follows a gate's refusal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """The call ended: with an answer, or with an error."""

    receipt: Receipt
    message: Message | None = None
    finish_reason: FinishReason | None = None
    error: RouterError | None = None


Event = CallStarted | Decided | AttemptStarted | Deltas | AttemptFinished | Judged | AttemptDiscarded | Finished


class Emit(Protocol):
    """Carries events to the caller; awaiting it waits for a slow reader."""

    async def __call__(self, event: Event, /) -> None: ...


class Observer(Protocol):
    """Watches one call's events without delaying it: it never awaits and never raises into the call."""

    def __call__(self, event: Event, /) -> None: ...

    def trace_headers(self, attempt: int) -> Mapping[str, str]:
        """W3C trace context headers of that attempt's span, empty where it is not traced."""
