"""One call in progress: its events, its attempts, and the receipt they add up to."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from router_service.domain.call import Call
from router_service.domain.chat import FinishReason, Message, TextPart
from router_service.domain.decision import Decision
from router_service.domain.error import STATUS_NAMES, Reason, RouterError
from router_service.domain.event import (
    GATE,
    AttemptDiscarded,
    AttemptFinished,
    AttemptStarted,
    CallStarted,
    Decided,
    Delta,
    Deltas,
    Emit,
    Event,
    Finished,
    Judged,
    Observer,
)
from router_service.domain.logprob import Logprobs
from router_service.domain.money import Usage
from router_service.domain.quality import Judgement, Quality
from router_service.domain.receipt import Attempt, Receipt
from router_service.domain.upstream import Reply
from router_service.engine.book import Book
from router_service.engine.charges import Charges, Reserve
from router_service.engine.transcript import Transcript
from router_service.spend.cost import baseline_cost, total_cost


@dataclass(frozen=True, slots=True)
class Clock:
    """Both clocks in seconds: `monotonic` is the event loop's, `wall` counts from the epoch."""

    monotonic: Callable[[], float]
    wall: Callable[[], float]


@dataclass(frozen=True, slots=True)
class Answered:
    """A verified answer, and the attempt that gave it. `message` is the whole of it, where several said a part."""

    attempt: Attempt
    reply: Reply
    message: Message | None = None


class CallRun:
    """What is known of a call while it runs.

    `transcript` is what the caller of a stream sees. `attempts` are those that ended, in the order of their ends.
    `deadline` is on the monotonic clock. While it is `holding`, output is kept from the caller until gates have judged
    it; `judgements` are theirs. `refuse_logprobs` are the deployments, by id, that refused to be asked for
    log-probabilities.
    """

    def __init__(
        self, call: Call, *, deadline: float, clock: Clock, observer: Observer, emit: Emit, book: Book
    ) -> None:
        self.call = call
        self.deadline = deadline
        self.clock = clock
        self.observer = observer
        self.operation_id = secrets.token_hex(12)
        self.decision: Decision | None = None
        self.attempts: list[Attempt] = []
        self.attempts_begun = 0
        self.transcript = Transcript()
        self.judgements: list[Judgement] = []
        self.holding = False
        self.refuse_logprobs: set[str] = set()
        self.first_output_at: float | None = None
        self.started_at = clock.wall()
        self._began = clock.monotonic()
        self._emit = emit
        self._book = book
        self.charges: Charges | None = None
        self._is_opened = False
        observer(CallStarted(call=call, started_at=self.started_at))

    def time_left(self) -> float:
        """Seconds until the deadline, negative once it has passed."""
        return self.deadline - self.clock.monotonic()

    async def tell(self, event: Event) -> None:
        """Let telemetry and the caller know. Waits for a slow reader."""
        self.observer(event)
        await self._emit(event)

    async def decided(self, decision: Decision) -> None:
        """Keep, record and announce the decision."""
        self.decision = decision
        self._open()
        await self.tell(Decided(decision=decision, duration=self.clock.monotonic() - self._began))

    def next_number(self) -> int:
        """The number of an attempt that begins now."""
        self.attempts_begun += 1
        return self.attempts_begun

    def give_back(self, number: int) -> None:
        """The attempt of this number was not made after all."""
        if number == self.attempts_begun:
            self.attempts_begun -= 1

    def heard(self, at: float) -> None:
        """An attempt's first output arrived. A caller that reads no stream hears only the attempt that answers."""
        if not self.holding and (self.first_output_at is None or not self.call.stream):
            self.first_output_at = at

    async def show(self, attempt: int, deltas: Sequence[Delta]) -> None:
        """Pass output on to the caller. What was shown before is taken back first, unless this goes on from it."""
        if self.holding:
            return
        await self.take_back_others(attempt)
        self.transcript.add(attempt, deltas)
        await self.tell(Deltas(attempt=attempt, deltas=deltas))

    async def take_back_others(self, attempt: int) -> None:
        """Take back what the caller was shown, unless it is this attempt's or this attempt went on from it."""
        shown = self.transcript
        if shown.root is not None and not shown.holds(attempt):
            reason = GATE if self.shows_refused else Reason.STREAM_TRUNCATED
            await self.tell(AttemptDiscarded(attempt=shown.root, reason=reason))
            shown.clear()

    @property
    def shows_refused(self) -> bool:
        """Whether the caller sees an answer that gates refused: it is no beginning that others could go on from."""
        return any(not one.passed and self.transcript.holds(one.attempt) for one in self.judgements)

    async def judged(self, judgement: Judgement, judged_at: float, duration: float) -> None:
        """Keep, record and announce what gates made of an answer."""
        self.judgements.append(judgement)
        await self.tell(Judged(judgement=judgement, judged_at=judged_at, duration=duration))

    async def deliver(self, answered: Answered) -> None:
        """Show a stream's caller the answer that was chosen, unless it is what the caller sees."""
        number = answered.attempt.number
        self.holding = False
        if not self.call.stream or self.transcript.holds(number):
            return
        deltas = answered.reply.deltas()
        if deltas:
            if self.first_output_at is None:
                self.first_output_at = self.clock.monotonic()
            await self.show(number, deltas)
        else:
            await self.take_back_others(number)

    def intend(self, started: AttemptStarted, reserved: Reserve | None) -> None:
        """Record an attempt before it can cost anything. Raises `RouterError` where that is not possible."""
        self._book.intend(self.operation_id, started, reserved)

    async def announce(self, finished: Finished) -> None:
        """Tell the caller that the call ended; observers know already."""
        await self._emit(finished)

    def attempted(self, attempt: Attempt) -> None:
        """Keep and record a finished attempt. Only observers hear of it: accounting never waits for a reader."""
        self.attempts.append(attempt)
        self._book.ended(self.operation_id, attempt)
        self.observer(AttemptFinished(attempt=attempt))

    def finish(self, answered: Answered | None, error: RouterError | None) -> Finished:
        """Close the account, with the answer or the error, record it and show it to the observer."""
        finished = Finished(
            receipt=self._receipt(answered, error),
            message=self.message_of(answered) if answered is not None else None,
            finish_reason=answered.reply.finish_reason if answered is not None else None,
            error=error,
        )
        if self.charges is not None:
            # Calls that a limit refused at the door are counted, not recorded: there may be any number of them.
            self._open()
            self._book.closed(self.operation_id, finished.receipt)
        self.observer(finished)
        return finished

    def _open(self) -> None:
        if not self._is_opened:
            self._is_opened = True
            self._book.opened(self.call, self.decision, operation_id=self.operation_id, started_at=self.started_at)

    def message_of(self, answered: Answered) -> Message:
        """The whole answer, also where several attempts said a part of it each."""
        if answered.message is not None:
            return answered.message
        message = answered.reply.message()
        if not answered.attempt.continues:
            return message
        return replace(message, parts=(TextPart(self.transcript.text),), reasoning=self.transcript.reasoning)

    def logprobs_of(self, answered: Answered) -> Logprobs | None:
        """Those of the whole answer; `None` where there are none, or the caller asked for none."""
        return self.transcript.logprobs if answered.attempt.continues else answered.reply.logprobs

    def _answer_usage(self, answer: Attempt) -> Usage | None:
        """What the answer took: one prompt, and the output of every attempt that said a part of it."""
        if not answer.continues or answer.usage is None:
            return answer.usage
        numbers = {*self.transcript.speakers, answer.number}
        parts = [attempt.usage for attempt in self.attempts if attempt.number in numbers and attempt.usage is not None]
        return replace(parts[0], output_tokens=sum(usage.output_tokens for usage in parts))

    def _receipt(self, answered: Answered | None, error: RouterError | None) -> Receipt:
        decision = self.decision
        attempts = sorted(self.attempts, key=lambda attempt: attempt.number)
        cost, cost_status = total_cost(attempts)
        baseline = None
        if answered is not None and decision is not None:
            usage = self._answer_usage(answered.attempt)
            baseline = baseline_cost(usage, decision.policy.baseline) if usage is not None else None
        finish_reason: FinishReason | None = answered.reply.finish_reason if answered is not None else None
        first_output = None if self.first_output_at is None else self.first_output_at - self._began
        return Receipt(
            request_id=self.call.request_id,
            tenant=self.call.tenant,
            feature=self.call.caller.feature,
            tier=self.call.caller.tier,
            decision=decision,
            attempts=tuple(attempts),
            usage=sum((attempt.usage for attempt in attempts if attempt.usage is not None), Usage()),
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
            spent_budgets=() if self.charges is None else self.charges.overspent,
            judgements=tuple(self.judgements),
            quality=self._quality(answered),
            answer=None if answered is None else answered.attempt.number,
        )

    def _quality(self, answered: Answered | None) -> Quality:
        """What gates made of the answer that is given; where none is, of the last that was judged."""
        for judgement in reversed(self.judgements):
            if answered is None or judgement.attempt == answered.attempt.number:
                return Quality.PASSED if judgement.passed else Quality.BELOW_THRESHOLD
        return Quality.UNJUDGED
