"""One upstream call: dispatched within its budget, watched, and accounted for however it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto

from router_service.domain.decision import Candidate
from router_service.domain.error import UpstreamError, UpstreamFault
from router_service.domain.event import AttemptStarted, Delta
from router_service.domain.money import Billed, Usage
from router_service.domain.receipt import Attempt, AttemptOutcome, AttemptReason
from router_service.domain.upstream import Provider, Reply, UpstreamRequest
from router_service.engine.deadline import AttemptBudget, plan_attempt
from router_service.engine.health import HealthBook
from router_service.engine.run import CallRun
from router_service.engine.taxonomy import TAXONOMY
from router_service.routing.tokens import estimate_text_tokens
from router_service.spend.cost import attempt_cost


class _Phase(Enum):
    """What an attempt is waiting for when its watchdog bites."""

    FIRST_OUTPUT = auto()
    MORE_OUTPUT = auto()
    END = auto()


_TIMEOUTS = {
    _Phase.FIRST_OUTPUT: (UpstreamFault.FIRST_TOKEN_TIMEOUT, "sent no output"),
    _Phase.MORE_OUTPUT: (UpstreamFault.STALL, "stopped sending output"),
    _Phase.END: (UpstreamFault.TOTAL_TIMEOUT, "did not finish"),
}


@dataclass(slots=True)
class _Progress:
    """How far an attempt has come, on the monotonic clock."""

    number: int
    attempt_id: str
    reason: AttemptReason
    started_at: float
    began: float
    first_output_at: float | None = None


class Attempts:
    """Makes attempts. `tracing_providers` are those that get our trace context."""

    def __init__(
        self, providers: Mapping[str, Provider], health: HealthBook, tracing_providers: frozenset[str]
    ) -> None:
        self._providers = providers
        self._health = health
        self._tracing_providers = tracing_providers

    async def make(self, run: CallRun, candidate: Candidate, reason: AttemptReason, fallbacks_left: int) -> Reply:
        """One attempt; its record is on `run` however it ends. Raises `UpstreamError`."""
        deployment = candidate.deployment
        number = len(run.attempts) + 1
        progress = _Progress(
            number=number,
            attempt_id=f"{run.operation_id}-{number}",
            reason=reason,
            started_at=run.clock.wall(),
            began=run.clock.monotonic(),
        )
        await run.tell(
            AttemptStarted(
                number=number,
                attempt_id=progress.attempt_id,
                deployment=deployment,
                reason=reason,
                started_at=progress.started_at,
                max_output_tokens=candidate.token_limit.applied,
            )
        )
        self._health.dispatched(deployment.id)
        reply = Reply()
        try:
            await self._send(run, candidate, progress, reply, fallbacks_left)
        except UpstreamError as error:
            self._health.failed(deployment.id, error)
            self._record(run, candidate, progress, reply, AttemptOutcome.ERROR, error)
            raise
        except asyncio.CancelledError:
            self._health.abandoned(deployment.id)
            self._record(run, candidate, progress, reply, AttemptOutcome.CANCELLED, None)
            raise
        except BaseException:
            self._health.abandoned(deployment.id)
            defect = UpstreamError(UpstreamFault.MALFORMED, "The router failed while reading the answer.")
            self._record(run, candidate, progress, reply, AttemptOutcome.ERROR, defect)
            raise
        self._health.succeeded(deployment.id)
        self._record(run, candidate, progress, reply, AttemptOutcome.SUCCESS, None)
        return reply

    async def _send(
        self, run: CallRun, candidate: Candidate, progress: _Progress, reply: Reply, fallbacks_left: int
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
        )
        request = self._request(run, candidate, progress, budget)
        provider = self._providers[candidate.deployment.provider]
        phase = _Phase.FIRST_OUTPUT if streamed else _Phase.END
        monotonic = run.clock.monotonic

        async def receive(deltas: Sequence[Delta]) -> None:
            nonlocal phase
            if progress.first_output_at is None:
                progress.first_output_at = monotonic()
                if run.first_output_at is None:
                    run.first_output_at = progress.first_output_at
            if run.call.stream:
                # A slow reader is not the provider's silence: only the end of the attempt bounds it.
                phase = _Phase.END
                watchdog.reschedule(budget.ends_at)
                await run.show(progress.number, deltas)
            stall_at = monotonic() + budget.stall
            if stall_at < budget.ends_at:
                phase = _Phase.MORE_OUTPUT
                watchdog.reschedule(stall_at)
            else:
                phase = _Phase.END
                watchdog.reschedule(budget.ends_at)

        watchdog = asyncio.timeout_at(budget.first_output_at)
        try:
            async with watchdog:
                if streamed:
                    await provider.stream(request, reply, receive)
                else:
                    await provider.complete(request, reply)
        except TimeoutError as timeout:
            if not watchdog.expired():
                raise
            fault, what = _TIMEOUTS[phase]
            waited = monotonic() - progress.began
            raise UpstreamError(
                fault, f"{candidate.deployment.id} {what} in time: given up {waited:.1f} s after it was asked."
            ) from timeout
        if reply.finish_reason is None:
            raise UpstreamError(
                UpstreamFault.TRUNCATED, f"{candidate.deployment.id} ended without saying that it had finished."
            )

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
            max_output_tokens=candidate.token_limit.applied,
            connect_timeout=budget.connect,
            # The watchdog notices silence; the socket's own bound is only its backstop.
            read_timeout=max(budget.ends_at - progress.began, 0.001),
            headers=headers,
        )

    def _record(
        self,
        run: CallRun,
        candidate: Candidate,
        progress: _Progress,
        reply: Reply,
        outcome: AttemptOutcome,
        error: UpstreamError | None,
    ) -> None:
        billed = _billed(outcome, error, reply)
        usage = reply.usage
        if usage is None and billed is not Billed.NO:
            usage = _estimated_usage(run, reply)
        cost, cost_status = attempt_cost(
            usage=usage, price=candidate.deployment.price, outcome=outcome, billed=billed, has_output=reply.has_output
        )
        first_output = progress.first_output_at
        run.attempted(
            Attempt(
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
            )
        )


def _billed(outcome: AttemptOutcome, error: UpstreamError | None, reply: Reply) -> Billed:
    """Whether the provider bills: output was billed for certain, what never left was not."""
    if reply.has_output or outcome is AttemptOutcome.SUCCESS:
        return Billed.LIKELY
    if not reply.dispatched:
        return Billed.NO
    if error is None:
        return Billed.MAYBE
    return TAXONOMY[error.fault].billed


def _estimated_usage(run: CallRun, reply: Reply) -> Usage:
    """What the router counts where the provider reported nothing."""
    assert run.decision is not None
    return Usage(
        input_tokens=run.decision.signals.input_tokens,
        output_tokens=estimate_text_tokens(reply.output_text()),
        estimated=True,
    )
