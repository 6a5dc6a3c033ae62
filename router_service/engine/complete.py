"""The engine: one call from top to bottom."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from router_service.domain.call import Call
from router_service.domain.decision import Candidate, Decision, Signals
from router_service.domain.deployment import DeploymentStatus
from router_service.domain.error import InvalidDecisionToken, Reason, RouterError
from router_service.domain.event import Emit, Event, Finished, Observer
from router_service.domain.identity import Identity
from router_service.domain.policy import Policy, RetryAllowance
from router_service.domain.quality import Escalation
from router_service.domain.receipt import Answer, Receipt
from router_service.domain.upstream import Provider
from router_service.engine.ask import Ask
from router_service.engine.attempts import Attempts
from router_service.engine.book import Book, NoBook
from router_service.engine.chain import Chain
from router_service.engine.charges import enter, unlimited
from router_service.engine.classifying import Labeller, LabelMemory
from router_service.engine.ending import departure
from router_service.engine.escalation import Escalator
from router_service.engine.health import HealthBook
from router_service.engine.hedge import HedgePurse
from router_service.engine.observations import Observations
from router_service.engine.permission import permitted_call
from router_service.engine.receipts import ReceiptStore
from router_service.engine.retry import RetryPlan, Sleep
from router_service.engine.retry_budget import RetryBudgets
from router_service.engine.run import Answered, CallRun, Clock
from router_service.engine.shadow import Parent, Shadows
from router_service.engine.token import RedeemedDecision, TokenSigner
from router_service.limits.limiter import Limiter
from router_service.limits.rates import DeploymentRates
from router_service.quality.gates import Gates
from router_service.routing.assess import assess
from router_service.routing.decide import decide, reordered
from router_service.routing.labelling import as_promised
from router_service.routing.table import RoutingTable
from router_service.routing.world import World

logger = logging.getLogger("llmrouter.engine")

# Longer prompts are counted in a thread, so that one caller's megabytes do not delay everybody's tokens.
_COUNT_ON_LOOP_CHARACTERS = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """What one configuration gives the engine; a reload swaps it whole, calls in flight keep theirs.

    `tracing_providers` are the ids of providers that get our trace context. `default_deadline` is in seconds.
    """

    table: RoutingTable
    providers: Mapping[str, Provider]
    tracing_providers: frozenset[str] = frozenset()
    default_deadline: float = 120.0
    retry_allowance: RetryAllowance = RetryAllowance()


class Engine:
    """Routes, attempts and accounts. Every source of time and chance is injected."""

    def __init__(
        self,
        runtime: Runtime,
        *,
        observe: Callable[[Call], Observer],
        signer: TokenSigner,
        receipts: ReceiptStore,
        clock: Clock,
        random: Callable[[], float],
        limiter: Limiter | None = None,
        rates: DeploymentRates | None = None,
        book: Book | None = None,
        sleep: Sleep = asyncio.sleep,
        observe_shadow: Callable[[Call], Observer] | None = None,
    ) -> None:
        self._runtime = runtime
        self._observe = observe
        self._signer = signer
        self._receipts = receipts
        self._clock = clock
        self._random = random
        self._limiter = limiter or unlimited(clock.monotonic, clock.wall)
        self._rates = rates or DeploymentRates({}, clock.monotonic)
        self._book: Book = book or NoBook()
        self._sleep = sleep
        self._observations = Observations()
        self._retry_budgets = RetryBudgets(clock.monotonic)
        self._retry_budgets.allowance = runtime.retry_allowance
        self._purses: dict[str, HedgePurse] = {}
        self._labels = LabelMemory()
        # By identity, and with what it is the identity of.
        self._gates: dict[int, tuple[Escalation, Gates]] = {}
        self.health = HealthBook(clock.monotonic)
        self.shadows = Shadows(
            limiter=self._limiter,
            rates=self._rates,
            health=self.health,
            book=self._book,
            clock=clock,
            observe=observe_shadow or observe,
            gates_of=self._gates_of,
        )

    def use(self, runtime: Runtime) -> None:
        """Serve new calls by another configuration. Health, receipts and what was learnt stay."""
        self._runtime = runtime
        self._gates.clear()
        self._retry_budgets.allowance = runtime.retry_allowance
        deployments = frozenset(runtime.table.deployments)
        self.health.forget_except(deployments)
        # Most likely that is what the reload was for.
        self.health.forgive_credentials(deployments)

    @property
    def table(self) -> RoutingTable:
        """What new calls are decided by."""
        return self._runtime.table

    async def route(self, call: Call) -> Decision:
        """Decide only: no upstream is called. Observers see it as a call without attempts. Raises `RouterError`."""
        runtime = self._runtime
        call = permitted_call(call, runtime.table)
        run = self._begin(call, runtime, _to_nobody, NoBook())
        try:
            decision = await self._decide(run, runtime)
            await run.decided(decision)
        except asyncio.CancelledError as cancelled:
            run.finish(None, departure(run, cancelled))
            raise
        except Exception as error:
            run.finish(None, error if isinstance(error, RouterError) else RouterError("The router failed."))
            raise
        run.finish(None, None)
        return decision

    def permit(self, call: Call) -> None:
        """Raise `PermissionDenied` for what the caller of a call may not ask for."""
        permitted_call(call, self._runtime.table)

    def sign(self, call: Call, decision: Decision) -> tuple[str, float]:
        """A decision token, and its expiry in seconds since the epoch."""
        return self._signer.sign(call, decision)

    def receipt(self, tenant: str, request_id: str) -> Receipt | None:
        """The account of an earlier call of this tenant, if it is still kept."""
        return self._receipts.get(tenant, request_id)

    def deployments(self, identity: Identity | None = None) -> Sequence[DeploymentStatus]:
        """Every deployment that the caller may use, with its health, ordered by id."""
        cooling = self.health.cooling()
        return [
            DeploymentStatus(deployment=deployment, cooling_reason=cooling[name].reason if name in cooling else "")
            for name, deployment in sorted(self._runtime.table.deployments.items())
            if identity is None or identity.may_use_model(deployment)
        ]

    def open_circuits(self) -> Mapping[str, bool]:
        """Of each deployment whether it must not be called now. Safe to call from another thread."""
        cooling = self.health.cooling()
        return {deployment: deployment in cooling for deployment in self._runtime.table.deployments}

    async def complete(self, call: Call, emit: Emit) -> Answer:
        """Answer a call, telling `emit` as it goes.

        Returns only after a verified finish. Raises `RouterError`; the `Finished` event with the receipt comes
        before it. On cancellation the call is accounted for, then `CancelledError` goes on.
        """
        runtime = self._runtime
        self._book.admit()
        call = permitted_call(call, runtime.table)
        run = self._begin(call, runtime, emit, self._book)
        try:
            charges = run.charges = await enter(self._limiter, self._rates, call, run.time_left())
            await run.decided(await self._decide(run, runtime, prefer_cheaper=charges.prefers_cheaper))
            answered = await self._answer(run, runtime)
        except asyncio.CancelledError as cancelled:
            self._close(run, None, departure(run, cancelled))
            raise
        except RouterError as error:
            await run.announce(self._close(run, None, error))
            raise
        except BaseException:
            self._close(run, None, RouterError("The router failed."))
            raise
        finished = self._close(run, answered, None)
        assert finished.message is not None
        assert finished.finish_reason is not None
        answer = Answer(
            message=finished.message,
            finish_reason=finished.finish_reason,
            receipt=finished.receipt,
            logprobs=run.logprobs_of(answered),
        )
        try:
            await run.announce(finished)
        finally:
            self._shadow(run, runtime, answer)
        return answer

    def _begin(self, call: Call, runtime: Runtime, emit: Emit, book: Book) -> CallRun:
        deadline = call.deadline
        if deadline is None:
            deadline = self._clock.monotonic() + runtime.default_deadline
        observer = self._observe(call)
        return CallRun(call, deadline=deadline, clock=self._clock, observer=observer, emit=emit, book=book)

    async def _decide(self, run: CallRun, runtime: Runtime, *, prefer_cheaper: bool = False) -> Decision:
        """The decision. A model is asked for it only where the call was entered, and pays. Raises `RouterError`."""
        call, table = run.call, runtime.table
        promise = self._signer.redeem(call, table.fingerprint) if call.wishes.decision_token else None
        signals = await _assessed(call, table)
        if signals.asks:
            signals = await self._classified(run, runtime, signals, promise)
        world = World(
            cooling=self.health.cooling(),
            first_token_latency=self._observations.first_token_latency,
            expected_output=self._observations.expected_output,
            conversation_deployment=self._observations.conversation_deployment(call),
            prefer_cheaper=prefer_cheaper,
            saturated=self._rates.saturated(signals.input_tokens),
        )
        decision = decide(call, signals, table, world)
        if promise is None:
            return decision
        return reordered(decision, _promised(decision, promise.deployments), table, call)

    async def _classified(
        self, run: CallRun, runtime: Runtime, signals: Signals, promise: RedeemedDecision | None
    ) -> Signals:
        if promise is not None:
            return as_promised(signals, promise.complexity or signals.complexity)
        policy = runtime.table.policy(run.call.wishes.policy)
        labeller = Labeller(run.call, policy, runtime.table, self._labels)
        signals = labeller.remembered(signals)
        if not signals.asks or run.charges is None:
            return signals
        return await labeller.asked(signals, self._ask(run, runtime, policy))

    def _attempts(self, runtime: Runtime) -> Attempts:
        return Attempts(runtime.providers, self.health, runtime.tracing_providers)

    def _ask(self, run: CallRun, runtime: Runtime, policy: Policy) -> Ask:
        return Ask(
            run,
            self._attempts(runtime),
            policy,
            health=self.health,
            budgets=self._retry_budgets,
            saturated=self._rates.saturated,
        )

    async def _answer(self, run: CallRun, runtime: Runtime) -> Answered:
        """Try candidates until one answers, and learn from it. Raises `RouterError`."""
        assert run.decision is not None
        policy = run.decision.policy
        chain = Chain(
            run,
            self._attempts(runtime),
            health=self.health,
            retries=RetryPlan(policy.retries, time_left=run.time_left, random=self._random, sleep=self._sleep),
            budgets=self._retry_budgets,
            purse=self._purses.setdefault(policy.name, HedgePurse()),
        )
        escalation = policy.escalation_of(run.decision.rule)
        if escalation is None or not escalation.gates:
            answered = await chain.answer()
        else:
            answered = await Escalator(
                run,
                chain,
                escalation=escalation,
                gates=self._gates_of(escalation),
                health=self.health,
                ask=self._ask(run, runtime, policy),
                random=self._random,
            ).answer()
        attempt = answered.attempt
        self._observations.answered(
            run.call,
            attempt.deployment.id,
            first_output=attempt.time_to_first_output or attempt.duration,
            output_tokens=attempt.usage.output_tokens if attempt.usage else 0,
        )
        return answered

    def _gates_of(self, escalation: Escalation) -> Gates:
        known = self._gates.get(id(escalation))
        if known is None:
            known = self._gates[id(escalation)] = (escalation, Gates(escalation))
        return known[1]

    def _shadow(self, run: CallRun, runtime: Runtime, answer: Answer) -> None:
        """Send an answered call to the models that its policy compares. Callers that name a model chose it."""
        decision = run.decision
        if decision is not None and decision.rule is not None and decision.policy.shadows:
            self.shadows.follow(
                Parent(
                    call=run.call,
                    operation_id=run.operation_id,
                    decision=decision,
                    answer=answer,
                    table=runtime.table,
                    attempts=self._attempts(runtime),
                )
            )

    def _close(self, run: CallRun, answered: Answered | None, error: RouterError | None) -> Finished:
        if run.charges is not None:
            run.charges.leave()
        finished = run.finish(answered, error)
        self._receipts.put(finished.receipt)
        return finished


async def _assessed(call: Call, table: RoutingTable) -> Signals:
    if sum(len(message.text) for message in call.chat.messages) > _COUNT_ON_LOOP_CHARACTERS:
        return await asyncio.to_thread(assess, call, table)
    return assess(call, table)


async def _to_nobody(event: Event) -> None:
    """Where nobody listens but observers."""


def _promised(decision: Decision, deployments: Sequence[str]) -> Sequence[Candidate]:
    """The candidates that a decision token promised, in its order, less those that have become unfit since."""
    fit = {candidate.deployment.id: candidate for candidate in decision.candidates}
    promised = tuple(fit[deployment] for deployment in deployments if deployment in fit)
    if not promised:
        raise InvalidDecisionToken(
            "None of the decision token's deployments can be called now. Call Route again.",
            reason=Reason.DECISION_TOKEN_EXPIRED,
            metadata={"why": "its candidates are no longer eligible"},
        )
    return promised
