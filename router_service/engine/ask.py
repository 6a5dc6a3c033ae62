"""The router asks a model for itself: a question is an attempt like any other, but answers no caller.

It goes to the deployments that the policy names, in order, and is never routed, classified or judged itself. It is held
on the limits and budgets of the call it is asked for, recorded, watched, priced, and on the call's receipt.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from router_service.domain.asking import Asking
from router_service.domain.chat import Chat
from router_service.domain.decision import TokenLimit
from router_service.domain.deployment import Deployment
from router_service.domain.error import BudgetSpent, LimitReached, RouterError, UpstreamError
from router_service.domain.money import Usage
from router_service.domain.policy import Policy
from router_service.domain.receipt import AttemptReason
from router_service.engine.attempts import Attempts
from router_service.engine.ending import LEAST_TIME_FOR_AN_ATTEMPT
from router_service.engine.health import HealthBook
from router_service.engine.order import Order
from router_service.engine.retry_budget import RetryBudgets
from router_service.engine.run import CallRun
from router_service.routing.eligible import unfit
from router_service.routing.tokens import estimate_input_tokens
from router_service.spend.cost import cost

# Of what is left until the caller's deadline, a question may take so much: the rest is for the answer.
_SHARE_OF_THE_TIME = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What a model said, which one, and in which attempt; where none did, `why_not` in the router's words."""

    text: str = ""
    deployment: str = ""
    attempt: int = 0
    why_not: str = ""


class Ask:
    """Asks for one call, under its policy. `saturated` says of a prompt's tokens which deployments have no rate left
    for it."""

    def __init__(
        self,
        run: CallRun,
        attempts: Attempts,
        policy: Policy,
        *,
        health: HealthBook,
        budgets: RetryBudgets,
        saturated: Callable[[int], Mapping[str, float]],
    ) -> None:
        self._run = run
        self._attempts = attempts
        self._policy = policy
        self._health = health
        self._budgets = budgets
        self._saturated = saturated

    async def __call__(self, chat: Chat, asking: Asking, reason: AttemptReason, *, judges: int = 0) -> Said:
        """What the first of the deployments says that answers. No `RouterError` comes of it: where nobody answers, the
        call goes on without.
        """
        run = self._run
        now = run.clock.monotonic()
        deadline = min(now + asking.timeout, now + run.time_left() * _SHARE_OF_THE_TIME)
        order = Order(
            deployment=asking.deployments[0],
            reason=reason,
            chat=chat,
            parameters=replace(chat.parameters, max_output_tokens=None),
            max_output_tokens=chat.parameters.max_output_tokens,
            input_tokens=estimate_input_tokens(chat),
            timeouts=self._policy.timeouts,
            deadline=deadline,
            fallbacks_left=0,
            streamed=self._policy.stream_upstream,
            recovers=True,
            judges=judges,
        )
        failed: list[str] = []
        providers: set[str] = set()
        for number, deployment in enumerate(asking.deployments, start=1):
            if deadline - run.clock.monotonic() < LEAST_TIME_FOR_AN_ATTEMPT:
                failed.append("no time is left for it")
                break
            if why_not := self._why_not(deployment, order, asking, providers):
                failed.append(f"{deployment.id} {why_not}")
                continue
            providers.add(deployment.provider)
            one = replace(
                order,
                deployment=deployment,
                max_output_tokens=_at_most(order.max_output_tokens, deployment.max_output_tokens),
                fallbacks_left=len(asking.deployments) - number,
            )
            try:
                answered = await self._attempts.make(run, one)
            except UpstreamError as error:
                failed.append(f"{deployment.id} failed ({error.error_type})")
            except (LimitReached, BudgetSpent):
                failed.append(f"a limit or budget has no room for {deployment.id}")
            except RouterError as error:
                failed.append(f"{deployment.id} could not be asked ({error.reason.value})")
                break
            else:
                text = answered.reply.message().text
                return Said(text=text, deployment=deployment.id, attempt=answered.attempt.number)
        return Said(why_not="; ".join(failed))

    def _why_not(self, deployment: Deployment, order: Order, asking: Asking, providers: set[str]) -> str:
        """Why the deployment must not be asked, empty where it may be."""
        run = self._run
        limit = TokenLimit(requested=None, applied=order.max_output_tokens, reason="router")
        if rejection := unfit(deployment, self._policy, frozenset(), order.input_tokens, limit):
            return f"is out: {rejection.detail}"
        if self._health.is_open(deployment.id):
            return "cools down after failures"
        if deployment.id in self._saturated(order.input_tokens):
            return "has no rate left"
        if deployment.provider in providers and not self._budgets.may_repeat(deployment.provider, run.call.tenant):
            return "may not be asked as well: its provider failed too often"
        if deployment.price is not None:
            most = Usage(input_tokens=order.input_tokens, output_tokens=order.max_output_tokens or 0)
            if cost(most, deployment.price).total > asking.max_cost_nano_usd:
                return "would cost more than a question may"
        return ""


def _at_most(wanted: int | None, most: int | None) -> int | None:
    return wanted if most is None or wanted is None else min(wanted, most)
