"""One call carried through its candidates: asked in order, again, beside each other, until one answers.

candidate ──error──> again? (retry) ──no──> the next one (fallback) ──none left──> the call fails
    └── silent for long ──> the next one as well (hedge); whichever speaks first goes on

Where gates refuse the answer, `engine.escalation` has the chain go on with stronger candidates.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn

from router_service.domain.decision import Candidate
from router_service.domain.deployment import Deployment
from router_service.domain.error import (
    BudgetSpent,
    DeadlineExceeded,
    LimitReached,
    RouterError,
    UpstreamError,
    UpstreamFault,
)
from router_service.domain.policy import Hedge, Recovery
from router_service.domain.receipt import AttemptOutcome, AttemptReason
from router_service.engine.attempts import Attempts
from router_service.engine.ending import LEAST_TIME_FOR_AN_ATTEMPT, final_error
from router_service.engine.health import HealthBook
from router_service.engine.hedge import Claim, HedgePurse, Race
from router_service.engine.logprobs import goes_without
from router_service.engine.retry import RetryPlan
from router_service.engine.retry_budget import RetryBudgets
from router_service.engine.run import Answered, CallRun
from router_service.engine.taxonomy import may_fall_back, needs_larger_context


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A candidate that was given up, and what it failed with last."""

    candidate: Candidate
    error: UpstreamError


class Chain:
    """Tries one call's candidates. `retries` says whether and when one is asked again, `budgets` what may be repeated
    at all, `purse` what hedges may cost.
    """

    def __init__(
        self,
        run: CallRun,
        attempts: Attempts,
        *,
        health: HealthBook,
        retries: RetryPlan,
        budgets: RetryBudgets,
        purse: HedgePurse,
    ) -> None:
        assert run.decision is not None
        self._run = run
        self._attempts = attempts
        self._health = health
        self._retries = retries
        self._budgets = budgets
        self._purse = purse
        self._policy = run.decision.policy
        self._queue = list(run.decision.candidates)
        self._failures: list[Failure] = []
        self._providers_asked: set[str] = set()
        self._refuse_prefill: set[str] = set()
        self._reason = AttemptReason.PRIMARY

    async def answer(self) -> Answered:
        """The first verified answer. Raises `RouterError` where there is none."""
        if self._run.time_left() <= 0:
            raise DeadlineExceeded("The caller's deadline had passed before any provider was asked.")
        if self._policy.hedge is not None:
            self._purse.deposit(self._policy.hedge, self._queue[0].estimated_cost)
        return await self._carry(self._queue.pop(0))

    async def escalate(self, candidates: Sequence[Candidate]) -> Answered:
        """The first verified answer of these, after others were refused. Raises `RouterError` where there is none."""
        self._reason = AttemptReason.ESCALATION
        self._failures = []
        self._queue = list(candidates)
        return await self._carry(self._queue.pop(0))

    async def _carry(self, candidate: Candidate) -> Answered:
        while True:
            try:
                if self._policy.hedge is not None and self._may_hedge:
                    return await self._hedged(candidate, self._policy.hedge)
                return await self._ask(candidate)
            except UpstreamError:
                candidate = self._next()
            except (LimitReached, BudgetSpent) as refusal:
                if self._failures and self._failures[-1].candidate is candidate:
                    # Only a repeat was refused: what the candidate failed with decides who may be asked.
                    candidate = self._next()
                else:
                    # Another model may have a limit of its own, and a cheaper one may fit what is left of a budget.
                    candidate = self._pick() or self._give_up(refusal)

    async def _ask(
        self, candidate: Candidate, *, claim: Claim | None = None, reason: AttemptReason | None = None
    ) -> Answered:
        """Ask one candidate, again where its fault allows. Raises its last `UpstreamError`.

        `reason` is why it is asked; a hedge is made once.
        """
        deployment = candidate.deployment
        first = reason or (AttemptReason.FALLBACK if self._failures else self._reason)
        if deployment.provider not in self._providers_asked:
            self._providers_asked.add(deployment.provider)
            self._budgets.asked(deployment.provider, self._run.call.tenant)

        failure: UpstreamError | None = None

        async def attempt(tries: int) -> Answered:
            nonlocal failure
            try:
                return await self._make(candidate, first if tries == 1 else AttemptReason.RETRY, claim)
            except UpstreamError as error:
                failure = error
                raise

        def may_repeat() -> bool:
            return (
                self.attempts_left
                and self._prefix_for(deployment) is not None
                and self._budgets.may_repeat(deployment.provider, self._run.call.tenant)
            )

        try:
            if first is AttemptReason.HEDGE:
                return await attempt(1)
            return await self._retries.run(attempt, may_repeat=may_repeat, fallbacks_left=len(self._queue))
        except (UpstreamError, LimitReached, BudgetSpent):
            # A repeat that a limit of ours refused ends the candidate with what it failed with before.
            if failure is not None:
                self._failures.append(Failure(candidate=candidate, error=failure))
            raise

    async def _make(self, candidate: Candidate, reason: AttemptReason, claim: Claim | None) -> Answered:
        """One attempt; where the provider refuses to go on from another's output, or to say what only gates want to
        know, one more without."""
        deployment = candidate.deployment
        prefix = self._prefix_for(deployment) or ""
        # A hedge stays in the queue until it has failed: it is no fallback of its own.
        fallbacks_left = sum(other is not candidate for other in self._queue)
        try:
            return await self._attempts.make(self._run, candidate, reason, fallbacks_left, prefix=prefix, claim=claim)
        except UpstreamError as error:
            if error.fault is not UpstreamFault.BAD_REQUEST:
                raise
            if prefix:
                self._refuse_prefill.add(deployment.id)
            elif not goes_without(self._run, deployment, error):
                raise
            if self._prefix_for(deployment) is None or not self.attempts_left:
                raise
        return await self._attempts.make(self._run, candidate, AttemptReason.RETRY, fallbacks_left, claim=claim)

    def _prefix_for(self, deployment: Deployment) -> str | None:
        """What an attempt there goes on from, empty where it begins anew. `None` where none may be made: nothing is
        repeated behind the back of a caller that saw output.
        """
        shown = self._run.transcript
        recovery = self._policy.recovery
        if shown.root is None or self._run.shows_refused:
            return ""
        can_continue = deployment.prefills and deployment.id not in self._refuse_prefill
        if recovery is Recovery.CONTINUE and can_continue and shown.prefix.strip():
            return shown.prefix
        if recovery is not Recovery.FAIL and self._run.call.wishes.accept_discard:
            return ""
        return None

    @property
    def attempts_left(self) -> bool:
        """Whether the policy allows another attempt."""
        return self._run.attempts_begun < self._policy.retries.max_attempts

    @property
    def _may_hedge(self) -> bool:
        return self._reason is AttemptReason.PRIMARY and not self._failures and bool(self._queue)

    def _next(self) -> Candidate:
        """The candidate that may still help after the last failure. Raises what the call failed with where none may."""
        failed, error = self._failures[-1].candidate, self._failures[-1].error
        self._queue = [
            other
            for other in _worth_asking(self._queue, after=error, failed=failed)
            # Health may have changed since the decision: what cools down by now is not asked.
            if other.last_resort or not self._health.is_open(other.deployment.id)
        ]
        may_go_on = failed.deployment.id in self._refuse_prefill or may_fall_back(
            error, on_content_filter=self._policy.fallback_on_content_filter
        )
        candidate = None
        if may_go_on and self.attempts_left and self._run.time_left() >= LEAST_TIME_FOR_AN_ATTEMPT:
            candidate = self._pick()
        if candidate is None:
            raise self._failed() from error
        return candidate

    def _pick(self) -> Candidate | None:
        """The first in the queue that may answer now, and whose provider may be asked, again if need be; `None` where
        there is none."""
        while self._queue:
            candidate = self._queue.pop(0)
            provider = candidate.deployment.provider
            if self._prefix_for(candidate.deployment) is None:
                continue
            if provider not in self._providers_asked or self._budgets.may_repeat(provider, self._run.call.tenant):
                return candidate
        return None

    def _give_up(self, refusal: RouterError) -> NoReturn:
        """Nobody is left, and the last one was not asked for a limit or budget of ours."""
        if self._failures:
            raise self._failed() from refusal
        raise refusal

    def _failed(self) -> RouterError:
        last = self._failures[-1]
        return final_error(self._run, last.candidate, [failure.error for failure in self._failures])

    async def _hedged(self, candidate: Candidate, hedge: Hedge) -> Answered:
        """Ask one candidate and, should it stay silent, the next one beside it. Raises the last `UpstreamError`.

        The one that lost is cancelled when the other speaks, and has accounted for itself when this returns.
        """
        race = Race[Answered]()
        beside: Candidate | None = None
        lanes = {race.enter(self._ask(candidate, claim=race.claim)): candidate}
        try:
            if await race.is_silent(hedge.after):
                beside = self._beside(hedge)
            if beside is not None:
                lanes[race.enter(self._ask(beside, claim=race.claim, reason=AttemptReason.HEDGE))] = beside
            return await self._first_of(lanes)
        finally:
            await race.end()
            if beside is not None:
                self._settle(beside)

    async def _first_of(self, lanes: dict[asyncio.Task[Answered], Candidate]) -> Answered:
        """The answer of the lane that gives one. Raises the error of the last that failed."""
        running = set(lanes)
        failed: list[asyncio.Task[Answered]] = []
        while running:
            over, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for lane in over:
                if lane.cancelled():
                    continue
                if lane.exception() is None:
                    return lane.result()
                failed.append(lane)
                if lanes[lane] in self._queue:
                    self._queue.remove(lanes[lane])
        return failed[-1].result()

    def _beside(self, hedge: Hedge) -> Candidate | None:
        """Whom to ask beside a silent candidate; `None` where nobody may be, or it would cost too much."""
        for other in self._queue:
            deployment = other.deployment
            if other.last_resort or self._health.is_open(deployment.id) or not self.attempts_left:
                continue
            if deployment.provider in self._providers_asked and not self._budgets.may_repeat(
                deployment.provider, self._run.call.tenant
            ):
                continue
            return other if self._purse.withdraw(hedge, other.estimated_cost) else None
        return None

    def _settle(self, beside: Candidate) -> None:
        """A hedge cost what the attempt that lost did, where that is known, rather than its estimate."""
        lost = [attempt for attempt in self._run.attempts if attempt.outcome is AttemptOutcome.CANCELLED]
        if lost and lost[-1].cost is not None and beside.estimated_cost is not None:
            self._purse.settle(beside.estimated_cost, lost[-1].cost.total)


def _worth_asking(queue: list[Candidate], *, after: UpstreamError, failed: Candidate) -> list[Candidate]:
    """The candidates that may still help after this error."""
    if not needs_larger_context(after):
        return queue
    too_small = failed.deployment.context_window or 0
    return [other for other in queue if _window(other.deployment) > too_small]


def _window(deployment: Deployment) -> float:
    """The context window in tokens; an unknown one may be large enough."""
    return float("inf") if deployment.context_window is None else deployment.context_window
