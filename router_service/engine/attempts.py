"""One upstream call: dispatched within its budget, watched, and accounted for however it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from router_service.domain.call import Call
from router_service.domain.decision import Candidate
from router_service.domain.error import UpstreamError, UpstreamFault
from router_service.domain.event import AttemptStarted, Delta
from router_service.domain.money import Billed, Usage
from router_service.domain.policy import Recovery
from router_service.domain.receipt import Attempt, AttemptOutcome, AttemptReason
from router_service.domain.upstream import Provider, Reply, UpstreamRequest
from router_service.engine.charges import Reserve
from router_service.engine.continuation import Continuation
from router_service.engine.deadline import AttemptBudget, plan_attempt
from router_service.engine.health import HealthBook
from router_service.engine.hedge import Claim
from router_service.engine.logprobs import logprob_wish
from router_service.engine.run import Answered, CallRun
from router_service.engine.taxonomy import TAXONOMY
from router_service.engine.watchdog import Watchdog
from router_service.routing.tokens import estimate_text_tokens
from router_service.spend.cost import attempt_cost

# How much later than the watchdog the socket's own timeout bites, in seconds.
_BACKSTOP = 1.0


@dataclass(slots=True)
class _Progress:
    """How far an attempt has come, on the monotonic clock."""

    number: int
    attempt_id: str
    reason: AttemptReason
    started_at: float
    began: float
    max_output_tokens: int | None
    reserve: Reserve | None = None
    continues: int = 0
    continuation: Continuation | None = None
    first_output_at: float | None = None


class Attempts:
    """Makes attempts. `tracing_providers` are those that get our trace context."""

    def __init__(
        self, providers: Mapping[str, Provider], health: HealthBook, tracing_providers: frozenset[str]
    ) -> None:
        self._providers = providers
        self._health = health
        self._tracing_providers = tracing_providers

    async def make(
        self,
        run: CallRun,
        candidate: Candidate,
        reason: AttemptReason,
        fallbacks_left: int,
        *,
        prefix: str = "",
        claim: Claim | None = None,
    ) -> Answered:
        """One attempt; its record is on `run` however it ends. Raises `UpstreamError`; before it was dispatched also
        `LimitReached` and `BudgetSpent`, where a limit or budget has no room for it, and `Overloaded`.

        Given a `prefix`, it goes on from what the caller sees. `claim` is asked with the first output.
        """
        deployment = candidate.deployment
        number = run.next_number()
        output_limit = _output_limit(candidate, prefix)
        try:
            reserve = await _reserve(run, candidate, number, output_limit)
        except BaseException:
            run.give_back(number)
            raise
        progress = _begin(run, number, reason, prefix, output_limit, reserve)
        started = AttemptStarted(
            number=progress.number,
            attempt_id=progress.attempt_id,
            deployment=deployment,
            reason=reason,
            started_at=progress.started_at,
            max_output_tokens=progress.max_output_tokens,
            continues=progress.continues,
        )
        try:
            await run.tell(started)
            # Nothing waits from here on: what is intended is either recorded as ended, or the process died.
            run.intend(started, reserve)
        except BaseException:
            if run.charges is not None and reserve is not None:
                run.charges.give_back(reserve)
            raise
        dispatch = self._health.dispatched(deployment.id)
        reply = Reply()
        try:
            await self._send(run, candidate, progress, reply, fallbacks_left, claim)
        except UpstreamError as error:
            self._health.failed(dispatch, error)
            self._record(run, candidate, progress, reply, AttemptOutcome.ERROR, error)
            raise
        except asyncio.CancelledError:
            self._health.abandoned(dispatch)
            self._record(run, candidate, progress, reply, AttemptOutcome.CANCELLED, None)
            raise
        except BaseException:
            self._health.abandoned(dispatch)
            defect = UpstreamError(UpstreamFault.MALFORMED, "The router failed while reading the answer.")
            self._record(run, candidate, progress, reply, AttemptOutcome.ERROR, defect)
            raise
        self._health.succeeded(dispatch)
        return Answered(self._record(run, candidate, progress, reply, AttemptOutcome.SUCCESS, None), reply)

    async def _send(
        self,
        run: CallRun,
        candidate: Candidate,
        progress: _Progress,
        reply: Reply,
        fallbacks_left: int,
        claim: Claim | None,
    ) -> None:
        assert run.decision is not None
        policy = run.decision.policy
        streamed = run.call.stream or policy.stream_upstream
        budget = plan_attempt(
            now=progress.began,
            deadline=run.deadline,
            timeouts=policy.timeouts,
            fallbacks_left=fallbacks_left,
            streamed=streamed,
            recovers=run.holding or _recovers(run.call, policy.recovery),
        )
        request = self._request(run, candidate, progress, budget)
        provider = self._providers[candidate.deployment.provider]
        monotonic = run.clock.monotonic
        watchdog = Watchdog(
            candidate.deployment.id,
            budget,
            policy.timeouts,
            deadline=run.deadline,
            streamed=streamed,
            monotonic=monotonic,
        )

        async def receive(deltas: Sequence[Delta]) -> None:
            if progress.first_output_at is None:
                if claim is not None:
                    await _going_on(claim)
                progress.first_output_at = monotonic()
                run.heard(progress.first_output_at)
            if progress.continuation is not None:
                deltas = progress.continuation.take(deltas)
            if run.call.stream and deltas:
                await watchdog.while_read(run.show(progress.number, deltas))
            watchdog.heard()

        try:
            await watchdog.guard(
                provider.stream(request, reply, receive) if streamed else provider.complete(request, reply)
            )
        except UpstreamError:
            # What may follow a verified finish, such as usage, is not worth an answer that arrived whole.
            if reply.finish_reason is None or watchdog.left_reader:
                raise
        if reply.finish_reason is None:
            raise UpstreamError(
                UpstreamFault.TRUNCATED, f"{candidate.deployment.id} ended without saying that it had finished."
            )
        if claim is not None and progress.first_output_at is None:
            await _going_on(claim)
        if run.call.stream:
            # An answer without output takes back what it replaces all the same.
            await run.take_back_others(progress.number)

    def _request(
        self, run: CallRun, candidate: Candidate, progress: _Progress, budget: AttemptBudget
    ) -> UpstreamRequest:
        assert run.decision is not None
        headers = {"x-client-request-id": progress.attempt_id}
        if candidate.deployment.provider in self._tracing_providers:
            headers.update(run.observer.trace_headers(progress.number))
        return UpstreamRequest(
            attempt_id=progress.attempt_id,
            deployment=candidate.deployment,
            chat=run.call.chat,
            parameters=run.decision.parameters,
            max_output_tokens=progress.max_output_tokens,
            connect_timeout=budget.connect,
            # The watchdog notices silence; the socket's own bound is only its backstop, and must not win the race.
            read_timeout=max(run.deadline - progress.began, 0.0) + _BACKSTOP,
            headers=headers,
            prefix=progress.continuation.prefix if progress.continuation is not None else "",
            logprobs=logprob_wish(run, candidate.deployment),
        )

    def _record(
        self,
        run: CallRun,
        candidate: Candidate,
        progress: _Progress,
        reply: Reply,
        outcome: AttemptOutcome,
        error: UpstreamError | None,
    ) -> Attempt:
        billed = _billed(outcome, error, reply)
        usage = reply.usage
        if usage is None and billed is not Billed.NO:
            usage = _estimated_usage(run, progress, reply)
        cost, cost_status = attempt_cost(
            usage=usage, price=candidate.deployment.price, outcome=outcome, billed=billed, has_output=reply.has_output
        )
        first_output = progress.first_output_at
        attempt = Attempt(
            number=progress.number,
            attempt_id=progress.attempt_id,
            deployment=candidate.deployment,
            reason=progress.reason,
            outcome=outcome,
            started_at=progress.started_at,
            duration=run.clock.monotonic() - progress.began,
            time_to_first_output=None if first_output is None else first_output - progress.began,
            usage=usage,
            cost=cost,
            cost_status=cost_status,
            error_type="" if error is None else error.error_type,
            error_message="" if error is None else error.message,
            finish_reason=reply.finish_reason,
            upstream_request_id=reply.response_id,
            response_model=reply.response_model,
            continues=progress.continues,
        )
        # First, so that no defect of those who are told can leave the reserve standing.
        if run.charges is not None and progress.reserve is not None:
            run.charges.settle(progress.reserve, attempt)
        run.attempted(attempt)
        if run.charges is not None and reply.rate_left is not None:
            run.charges.observed(attempt.deployment.id, reply.rate_left)
        return attempt


def _attempt_id(run: CallRun, number: int) -> str:
    return f"{run.operation_id}-{number}"


def _output_limit(candidate: Candidate, prefix: str) -> int | None:
    """The token limit of an attempt; one with a `prefix` may say only what is left of it."""
    applied = candidate.token_limit.applied
    return applied if applied is None or not prefix else max(1, applied - estimate_text_tokens(prefix))


async def _reserve(run: CallRun, candidate: Candidate, number: int, output_limit: int | None) -> Reserve | None:
    if run.charges is None or run.decision is None:
        return None
    return await run.charges.hold(
        candidate,
        _attempt_id(run, number),
        input_tokens=run.decision.signals.input_tokens,
        max_output_tokens=output_limit,
    )


def _begin(
    run: CallRun, number: int, reason: AttemptReason, prefix: str, output_limit: int | None, reserve: Reserve | None
) -> _Progress:
    """An attempt that begins now."""
    progress = _Progress(
        number=number,
        attempt_id=_attempt_id(run, number),
        reason=reason,
        started_at=run.clock.wall(),
        began=run.clock.monotonic(),
        max_output_tokens=output_limit,
        reserve=reserve,
    )
    if prefix:
        progress.continues = run.transcript.last
        progress.continuation = Continuation(prefix)
        run.transcript.join(number)
    return progress


def _recovers(call: Call, recovery: Recovery) -> bool:
    """Whether another attempt may follow one that breaks after output."""
    if not call.stream or recovery is Recovery.CONTINUE:
        return True
    return recovery is Recovery.RESTART and call.wishes.accept_discard


async def _going_on(claim: Claim) -> None:
    """Go on, unless another attempt of the race was heard first: then this one's cancellation is on its way."""
    if not claim():
        await asyncio.get_running_loop().create_future()


def _billed(outcome: AttemptOutcome, error: UpstreamError | None, reply: Reply) -> Billed:
    """Whether the provider bills: output was billed for certain, what never left was not."""
    if reply.has_output or outcome is AttemptOutcome.SUCCESS:
        return Billed.LIKELY
    if not reply.dispatched:
        return Billed.NO
    if error is None:
        return Billed.MAYBE
    return TAXONOMY[error.fault].billed


def _estimated_usage(run: CallRun, progress: _Progress, reply: Reply) -> Usage:
    """What the router counts where the provider reported nothing."""
    assert run.decision is not None
    prefix = progress.continuation.prefix if progress.continuation is not None else ""
    return Usage(
        input_tokens=run.decision.signals.input_tokens + (estimate_text_tokens(prefix) if prefix else 0),
        output_tokens=estimate_text_tokens(reply.output_text()),
        estimated=True,
    )
