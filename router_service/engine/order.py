"""What an attempt is to ask of whom, and by when: for the call's answer, or for the router itself."""

from __future__ import annotations

from dataclasses import dataclass

from router_service.domain.call import Call
from router_service.domain.chat import Chat, Parameters
from router_service.domain.decision import Candidate
from router_service.domain.deployment import Deployment
from router_service.domain.logprob import LogprobWish
from router_service.domain.policy import Recovery, Timeouts
from router_service.domain.receipt import AttemptReason
from router_service.engine.logprobs import logprob_wish
from router_service.engine.run import CallRun
from router_service.routing.tokens import estimate_text_tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One attempt, before it is made.

    `input_tokens` are estimated. `deadline` is on the monotonic clock, the call's or earlier; `fallbacks_left` others
    may have to share what is left until then, and may follow also where it breaks after output if that `recovers`.
    `streamed` asks the provider for a stream. `prefix` is what the caller sees and the attempt goes on from. `judges`
    is the number of the attempt whose answer is judged, 0 elsewhere. `logprobs` is what is asked of log-probabilities.
    """

    deployment: Deployment
    reason: AttemptReason
    chat: Chat
    parameters: Parameters
    max_output_tokens: int | None
    input_tokens: int
    timeouts: Timeouts
    deadline: float
    fallbacks_left: int
    streamed: bool
    recovers: bool
    prefix: str = ""
    judges: int = 0
    logprobs: LogprobWish | None = None


def answer_order(
    run: CallRun, candidate: Candidate, reason: AttemptReason, fallbacks_left: int, prefix: str = ""
) -> Order:
    """The order for an answer to the call; with a `prefix` it may say only what is left of its token limit."""
    decision = run.decision
    assert decision is not None
    policy = decision.policy
    limit = candidate.token_limit.applied
    return Order(
        deployment=candidate.deployment,
        reason=reason,
        chat=run.call.chat,
        parameters=decision.parameters,
        max_output_tokens=max(1, limit - estimate_text_tokens(prefix)) if limit is not None and prefix else limit,
        input_tokens=decision.signals.input_tokens,
        timeouts=policy.timeouts,
        deadline=run.deadline,
        fallbacks_left=fallbacks_left,
        streamed=run.call.stream or policy.stream_upstream,
        recovers=run.holding or _recovers(run.call, policy.recovery),
        prefix=prefix,
        logprobs=logprob_wish(run, candidate.deployment),
    )


def _recovers(call: Call, recovery: Recovery) -> bool:
    """Whether another attempt may follow one that breaks after output."""
    if not call.stream or recovery is Recovery.CONTINUE:
        return True
    return recovery is Recovery.RESTART and call.wishes.accept_discard
