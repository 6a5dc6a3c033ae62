"""One call in progress: its events, its attempts, and the receipt they add up to."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from router_service.domain.call import Call
from router_service.domain.chat import FinishReason
from router_service.domain.decision import Decision
from router_service.domain.error import STATUS_NAMES, Reason, RouterError
from router_service.domain.event import (
    AttemptDiscarded,
    AttemptFinished,
    CallStarted,
    Decided,
    Delta,
    Deltas,
    Emit,
    Event,
    Finished,
    Observer,
)
from router_service.domain.money import Usage
from router_service.domain.policy import Recovery
from router_service.domain.receipt import Attempt, Receipt
from router_service.domain.upstream import Reply
from router_service.spend.cost import baseline_cost, total_cost


@dataclass(frozen=True, slots=True)
class Clock:
    """Both clocks in seconds: `monotonic` is the event loop's, `wall` counts from the epoch."""

    monotonic: Callable[[], float]
    wall: Callable[[], float]


class CallRun:
    """What is known of a call while it runs.

    `shown` is the number of the attempt whose output the caller sees, if any. `deadline` is on the monotonic clock.
    """

    def __init__(self, call: Call, *, deadline: float, clock: Clock, observer: Observer, emit: Emit) -> None:
        self.call = call
        self.deadline = deadline
        self.clock = clock
        self.observer = observer
        self.operation_id = secrets.token_hex(12)
        self.decision: Decision | None = None
        self.attempts: list[Attempt] = []
        self.shown: int | None = None
        self.first_output_at: float | None = None
        self.started_at = clock.wall()
        self._began = clock.monotonic()
        self._emit = emit
        observer(CallStarted(call=call, started_at=self.started_at))

    def time_left(self) -> float:
        """Seconds until the deadline, negative once it has passed."""
        return self.deadline - self.clock.monotonic()

    async def tell(self, event: Event) -> None:
        """Let telemetry and the caller know. Waits for a slow reader."""
        self.observer(event)
        await self._emit(event)

    async def decided(self, decision: Decision) -> None:
        """Keep and announce the decision."""
        self.decision = decision
        await self.tell(Decided(decision=decision, duration=self.clock.monotonic() - self._began))

    @property
    def may_try_again(self) -> bool:
        """Whether another attempt is possible: nothing may be repeated behind the back of a caller that saw output."""
        if self.shown is None:
            return True
        assert self.decision is not None
        return self.decision.policy.recovery is Recovery.RESTART and self.call.wishes.accept_discard

    def heard(self, at: float) -> None:
        """An attempt's first output arrived. A caller that reads no stream hears only the attempt that answers."""
        if self.first_output_at is None or not self.call.stream:
            self.first_output_at = at

    async def show(self, attempt: int, deltas: Sequence[Delta]) -> None:
        """Pass output on to the caller. What another attempt showed before is taken back first."""
        if self.shown is not None and self.shown != attempt:
            await self.tell(AttemptDiscarded(attempt=self.shown, reason=Reason.STREAM_TRUNCATED))
        self.shown = attempt
        await self.tell(Deltas(attempt=attempt, deltas=deltas))

    async def announce(self, finished: Finished) -> None:
        """Tell the caller that the call ended; observers know already."""
        await self._emit(finished)

    def attempted(self, attempt: Attempt) -> None:
        """Keep a finished attempt. Only observers hear of it, so that accounting never waits for a reader."""
        self.attempts.append(attempt)
        self.observer(AttemptFinished(attempt=attempt))

    def finish(self, reply: Reply | None, error: RouterError | None) -> Finished:
        """Close the account, with the answer or the error, and show it to the observer."""
        finished = Finished(
            receipt=self._receipt(reply, error),
            message=reply.message() if reply is not None else None,
            finish_reason=reply.finish_reason if reply is not None else None,
            error=error,
        )
        self.observer(finished)
        return finished

    def _receipt(self, reply: Reply | None, error: RouterError | None) -> Receipt:
        decision = self.decision
        cost, cost_status = total_cost(self.attempts)
        answer = self.attempts[-1] if reply is not None else None
        baseline = None
        if answer is not None and answer.usage is not None and decision is not None:
            baseline = baseline_cost(answer.usage, decision.policy.baseline)
        finish_reason: FinishReason | None = reply.finish_reason if reply is not None else None
        first_output = None if self.first_output_at is None else self.first_output_at - self._began
        return Receipt(
            request_id=self.call.request_id,
            tenant=self.call.tenant,
            feature=self.call.caller.feature,
            tier=self.call.caller.tier,
            decision=decision,
            attempts=tuple(self.attempts),
            usage=sum((attempt.usage for attempt in self.attempts if attempt.usage is not None), Usage()),
            cost=cost,
            cost_status=cost_status,
            baseline_cost=baseline,
            finish_reason=finish_reason,
            status="OK" if error is None else STATUS_NAMES[error.reason],
            error_reason="" if error is None else error.reason.value,
            started_at=self.started_at,
            duration=self.clock.monotonic() - self._began,
            time_to_first_output=first_output,
            trace_id=self.call.trace_id,
        )
