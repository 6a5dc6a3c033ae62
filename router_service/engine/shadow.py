"""Shadow calls: a share of answered calls is also sent to another model, so that the two answers can be compared.

answer ─> caller
   └─ afterwards, on its own ─> hold on the shadow's cap ─ intent ─ one attempt ─ both answers scored ─ recorded

A shadow call has its own deadline, operation and money. Nothing of it reaches the caller, and nobody waits for it. What
cannot be made now is dropped and counted: there will be other calls to compare.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace

from router_service.domain.call import Call, ShadowOf, Wishes
from router_service.domain.chat import FinishReason, Message
from router_service.domain.decision import Candidate, Decision, TokenLimit
from router_service.domain.deployment import Capability
from router_service.domain.error import (
    BudgetSpent,
    Draining,
    Overloaded,
    RouterError,
    UpstreamError,
)
from router_service.domain.event import Event, Observer
from router_service.domain.limit import Subject
from router_service.domain.policy import Shadow
from router_service.domain.quality import Escalation, GateKind, Judgement
from router_service.domain.receipt import Answer, Attempt, AttemptReason, ShadowCounts
from router_service.engine.attempts import Attempts
from router_service.engine.book import Book
from router_service.engine.charges import UNBOUNDED_OUTPUT, enter_as
from router_service.engine.ending import final_error
from router_service.engine.escalation import given_answer
from router_service.engine.health import HealthBook
from router_service.engine.order import answer_order
from router_service.engine.run import Answered, CallRun, Clock
from router_service.limits.limiter import Limiter
from router_service.limits.rates import DeploymentRates
from router_service.quality.gates import Gates, combined
from router_service.routing.decide import sifted
from router_service.routing.limits import asked_limit
from router_service.routing.table import RoutingTable
from router_service.routing.world import World

logger = logging.getLogger("llmrouter.engine")

ANSWERED, FAILED, CANCELLED = "answered", "failed", "cancelled"
BUSY = "dropped_busy"
DRAINING = "dropped_draining"
SAME_MODEL = "dropped_same_model"
UNPRICED = "dropped_unpriced"
CAPPED = "dropped_cap"
UNRECORDED = "dropped_unrecorded"
AWAY = "dropped_away"
"""Of the counters that hold the cap: it could be overspent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parent:
    """A call that its caller has the answer of, and what served it."""

    call: Call
    operation_id: str
    decision: Decision
    answer: Answer
    table: RoutingTable
    attempts: Attempts


class Shadows:
    """The shadow calls of one process. `observe` is asked once for each, in the context of the call it is a copy of;
    `gates_of` compiles gates.
    """

    def __init__(
        self,
        *,
        limiter: Limiter,
        rates: DeploymentRates,
        health: HealthBook,
        book: Book,
        clock: Clock,
        observe: Callable[[Call], Observer],
        gates_of: Callable[[Escalation], Gates],
    ) -> None:
        self._limiter = limiter
        self._rates = rates
        self._health = health
        self._book = book
        self._clock = clock
        self._observe = observe
        self._gates_of = gates_of
        self._under_way: dict[asyncio.Task[str], Shadow] = {}
        self._calls: Counter[tuple[str, str]] = Counter()
        self._cost: Counter[str] = Counter()
        self._closed = False

    @property
    def under_way(self) -> int:
        """Shadow calls being made."""
        return len(self._under_way)

    def counts(self) -> ShadowCounts:
        """What became of them so far. Safe to call from another thread."""
        return ShadowCounts(dict(list(self._calls.items())), dict(list(self._cost.items())))

    def follow(self, parent: Parent) -> None:
        """Begin the shadow calls of a call that was just answered. Neither waits nor fails."""
        try:
            self._follow(parent)
        except Exception as exc:
            # The caller has an answer, whatever is wrong here. The type only: a message may quote a prompt.
            logger.error("a call was not shadowed (%s)", type(exc).__name__)

    def _follow(self, parent: Parent) -> None:
        call, decision = parent.call, parent.decision
        for shadow in parent.table.shadowing(decision.policy).draw(call, decision.signals, parent.operation_id):
            if self._closed:
                self._ended(shadow, DRAINING)
            elif sum(one.id == shadow.id for one in self._under_way.values()) >= shadow.max_concurrent:
                self._ended(shadow, BUSY)
            else:
                copy = replace(
                    call,
                    request_id=f"shadow-{parent.operation_id}",
                    wishes=Wishes(),
                    idempotency_key="",
                    deadline=None,
                    stream=False,
                    trace_id="",
                    shadow_of=ShadowOf(shadow=shadow.id, parent=parent.operation_id),
                )
                # Now, for what is current now is the call's own trace.
                observer = self._observe(copy)
                task = asyncio.create_task(self._carried(shadow, copy, observer, parent), name=f"shadow {shadow.id}")
                self._under_way[task] = shadow
                task.add_done_callback(self._done)

    def close(self) -> None:
        """Begin no more; those under way go on."""
        self._closed = True

    async def aclose(self) -> None:
        """Begin no more, cancel those under way and wait until they are accounted for."""
        self.close()
        tasks = list(self._under_way)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _done(self, task: asyncio.Task[str]) -> None:
        self._ended(self._under_way.pop(task), CANCELLED if task.cancelled() else task.result())

    def _ended(self, shadow: Shadow, outcome: str) -> None:
        self._calls[shadow.id, outcome] += 1

    async def _carried(self, shadow: Shadow, call: Call, observer: Observer, parent: Parent) -> str:
        """What became of it. Raises nothing but `CancelledError`."""
        try:
            return await self._made(shadow, call, observer, parent)
        except Exception as exc:
            logger.error("a shadow call of %s broke off (%s)", shadow.id, type(exc).__name__)
            return FAILED

    async def _made(self, shadow: Shadow, call: Call, observer: Observer, parent: Parent) -> str:
        """What became of it."""
        candidate = self._candidate(shadow, call, parent)
        if not isinstance(candidate, Candidate):
            return candidate
        try:
            self._book.admit()
        except Overloaded:
            return UNRECORDED
        run = CallRun(
            call,
            deadline=self._clock.monotonic() + shadow.timeout,
            clock=self._clock,
            observer=observer,
            emit=_to_nobody,
            book=self._book,
        )
        run.decision = _decision_to_ask(shadow, candidate, parent.decision)
        run.charges = await enter_as(Subject(tenant="", shadow=shadow.id), self._limiter, self._rates, run.time_left())
        try:
            order = answer_order(run, candidate, AttemptReason.SHADOW, fallbacks_left=0)
            answered = await parent.attempts.make(run, replace(order, logprobs=None))
            await self._compare(shadow, run, answered, parent)
        except UpstreamError as error:
            # The parent is scored all the same: pairs of which one failed must not be missing from a comparison.
            await self._compare(shadow, run, None, parent)
            self._finish(run, None, final_error(run, candidate, [error]))
            return FAILED
        except RouterError as refused:
            if not run.is_opened:
                return CAPPED if isinstance(refused, BudgetSpent) else AWAY
            # The cap had room, but the journal took no intent.
            self._finish(run, None, refused)
            return UNRECORDED
        except asyncio.CancelledError:
            if run.is_opened:
                self._finish(run, None, Draining("This replica shut down before the shadow call was answered."))
            raise
        except BaseException:
            if run.is_opened:
                self._finish(run, None, RouterError("The router failed."))
            raise
        self._finish(run, answered, None)
        return ANSWERED

    def _candidate(self, shadow: Shadow, call: Call, parent: Parent) -> Candidate | str:
        """Whom to ask: whoever may, by the caller's grants and the policy's rules, and can now. Else why nobody is."""
        decision = parent.decision
        # Nobody reads a shadow's log-probabilities: none are asked for.
        signals = replace(decision.signals, needs=decision.signals.needs - {Capability.LOGPROBS})
        world = World(cooling=self._health.cooling(), saturated=self._rates.saturated(signals.input_tokens))
        asked = asked_limit(
            call.chat.parameters.max_output_tokens, parent.table.feature(call.caller.feature), decision.rule
        )
        candidates, rejections = sifted(
            shadow.candidates, call, signals, world, policy=decision.policy, asked=asked, ceiling=None
        )
        # One that cools down is nobody's last resort here.
        able = [candidate for candidate in candidates if not candidate.last_resort]
        if not able:
            return f"dropped_{rejections[0].reason.value.lower() if rejections else 'health'}"
        answered_by = parent.answer.receipt.answered_by
        able = [one for one in able if answered_by is None or one.deployment.model != answered_by.deployment.model]
        if not able:
            return SAME_MODEL
        priced = next((candidate for candidate in able if candidate.deployment.price is not None), None)
        if priced is None:
            return UNPRICED
        limit = priced.token_limit
        if limit.applied is None:
            # What nobody bounds could cost more than is held for it.
            limit = TokenLimit(requested=limit.requested, applied=UNBOUNDED_OUTPUT, reason="shadow")
        return replace(priced, token_limit=limit)

    async def _compare(self, shadow: Shadow, run: CallRun, answered: Answered | None, parent: Parent) -> None:
        """Have the same gates score both answers, where there are any that can: they ask no model, and see no
        log-probabilities."""
        decision = parent.decision
        escalation = shadow.escalation or decision.policy.escalation_of(decision.rule)
        asked_of = parent.answer.receipt.answered_by
        if escalation is None or asked_of is None:
            return
        gates, signals = self._gates_of(escalation), decision.signals
        began, judged_at = self._clock.monotonic(), self._clock.wall()

        def judged(message: Message, finish_reason: FinishReason, attempt: Attempt) -> Judgement | None:
            looked = gates.look(parent.call, given_answer(message, finish_reason, signals))
            found = [one for one in looked if one.gate.kind is not GateKind.CONFIDENT]
            threshold = gates.threshold(
                complexity=signals.complexity, tier=parent.call.caller.tier, deployment=attempt.deployment.id
            )
            return combined(found, threshold, attempt=attempt.number) if found else None

        run.compared = judged(parent.answer.message, parent.answer.finish_reason, asked_of)
        if answered is None:
            return
        assert answered.reply.finish_reason is not None
        judgement = judged(run.message_of(answered), answered.reply.finish_reason, answered.attempt)
        if judgement is not None:
            await run.judged(judgement, judged_at, self._clock.monotonic() - began)

    def _finish(self, run: CallRun, answered: Answered | None, error: RouterError | None) -> None:
        finished = run.finish(answered, error)
        if run.charges is not None:
            run.charges.leave()
        if finished.receipt.cost is not None and run.call.shadow_of is not None:
            self._cost[run.call.shadow_of.shadow] += finished.receipt.cost


def _decision_to_ask(shadow: Shadow, candidate: Candidate, parent: Decision) -> Decision:
    """The decision of the shadow call: this one candidate, with all that the parent's was asked with."""
    return replace(
        parent,
        strategy="",
        candidates=(candidate,),
        rejections=(),
        escalations=(),
        assignment=None,
        cause=f'shadow "{shadow.id}"',
    )


async def _to_nobody(event: Event) -> None:
    """No caller listens."""
