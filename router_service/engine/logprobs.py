"""What an attempt asks for of log-probabilities: what the caller wants, and what the policy's gates look at."""

from __future__ import annotations

from router_service.domain.deployment import Capability, Deployment
from router_service.domain.error import UpstreamError
from router_service.domain.logprob import LogprobWish
from router_service.engine.run import CallRun
from router_service.engine.taxonomy import refuses_a_field

# Of a margin: the token itself and the one that came next.
_TOP_OF_A_GATE = 2


def logprob_wish(run: CallRun, deployment: Deployment) -> LogprobWish | None:
    """`None` where nobody wants any, or the deployment is not known to give them."""
    assert run.decision is not None
    shown = run.call.chat.parameters.top_logprobs
    escalation = run.decision.policy.escalation_of(run.decision.rule)
    judged = escalation is not None and escalation.weighs_margins and deployment.id not in run.refuse_logprobs
    if (shown is None and not judged) or Capability.LOGPROBS not in deployment.capabilities:
        return None
    return LogprobWish(top=max(shown or 0, _TOP_OF_A_GATE if judged else 0), shown=shown, judged=judged)


def goes_without(run: CallRun, deployment: Deployment, error: UpstreamError) -> bool:
    """Whether to ask again without log-probabilities: what gates alone wanted must not cost the caller its answer."""
    wish = logprob_wish(run, deployment)
    if wish is None or wish.shown is not None or not refuses_a_field(error):
        return False
    run.refuse_logprobs.add(deployment.id)
    return True
