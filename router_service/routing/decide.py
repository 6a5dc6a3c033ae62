"""The decision: call, signals, table and world in; ordered candidates and a reason for every rejection out. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from router_service.domain.call import Call
from router_service.domain.chat import Message, Parameters, Role
from router_service.domain.decision import (
    Assignment,
    Candidate,
    Decision,
    Rejection,
    RejectionReason,
    Signals,
    TokenLimit,
)
from router_service.domain.deployment import Deployment
from router_service.domain.error import NoCandidate, PermissionDenied, Reason
from router_service.domain.policy import Feature, Policy, Rule, StickyKey, Strategy
from router_service.routing.eligible import (
    Ceiling,
    forbidden,
    foreign,
    full,
    last_resorts,
    least_ceiling,
    origins,
    too_dear,
    unfit,
    unwell,
)
from router_service.routing.experiment import Drawn
from router_service.routing.hopeless import behind_others, passed_over
from router_service.routing.limits import asked_limit, limit_on
from router_service.routing.rank import behind, estimated_cost, kept_first, ranked, slower_last, sticky_key
from router_service.routing.table import RoutingTable
from router_service.routing.tokens import estimate_messages_tokens
from router_service.routing.words import in_words
from router_service.routing.world import World

# Where neither experience nor a limit says how long the answer will be.
_TYPICAL_OUTPUT_TOKENS = 400
# Providers cache no shorter prefix than this.
_LEAST_CACHED_TOKENS = 1024
_NAMED_IN_MESSAGE = 6
_NAMED_IN_METADATA = 32


@dataclass(frozen=True, slots=True)
class _Choice:
    """Which deployments are considered, and on whose word. `rule` is as the arm of `drawn` has it."""

    deployments: Sequence[Deployment]
    rule: Rule | None
    cause: str
    drawn: Drawn | None = None

    def is_of_arm(self, candidate: Candidate) -> bool:
        return self.drawn is None or self.drawn.is_of_arm(candidate)


def decide(call: Call, signals: Signals, table: RoutingTable, world: World) -> Decision:
    """Order the deployments that may serve the call and say why the others may not.

    The caller's deployment or model comes first, else the first matching rule. Raises `NotFound` for an unknown
    policy, model or deployment, and `NoCandidate` where nothing is left: ALL_CANDIDATES_COOLING with `retry_after`
    where waiting helps, else NO_ELIGIBLE_CANDIDATE; its metadata gives the reason by deployment id. Raises
    `PermissionDenied` where the caller may use none of them.
    """
    wishes = call.wishes
    policy = table.policy(wishes.policy)
    choice = _choose(call, signals, table, policy)
    rule = choice.rule
    feature = table.feature(call.caller.feature)
    stays = policy.sticky is StickyKey.CONVERSATION or (rule is not None and rule.sticky is StickyKey.CONVERSATION)
    served_by = world.conversation_deployment if stays else None

    asked = asked_limit(call.chat.parameters.max_output_tokens, feature, rule)

    def able(considered: Iterable[Deployment]) -> tuple[list[Candidate], list[Rejection]]:
        ceiling = least_ceiling(wishes.max_cost_nano_usd, rule, policy)
        return sifted(considered, call, signals, world, policy=policy, asked=asked, ceiling=ceiling)

    eligible, rejections = able(_considered(choice, table, policy, served_by))
    if not eligible:
        raise _nobody_left(choice, rejections)

    strategy = rule.strategy if rule else Strategy.ORDER
    if world.prefer_cheaper:
        strategy = Strategy.CHEAPEST
    sticky = rule.sticky if rule and rule.sticky is not StickyKey.NONE else policy.sticky
    order = ranked(eligible, strategy, world.first_token_latency, lambda: sticky_key(call, sticky))
    if rule is not None and rule.fallbacks and not world.prefer_cheaper:
        order = behind(order, rule.fallbacks)
    cause = f"{choice.cause}; {strategy}" if rule else choice.cause
    if world.prefer_cheaper:
        cause += "; cheaper first, for a budget is spent so far"
    elif choice.drawn is not None:
        order = sorted(order, key=lambda candidate: not choice.is_of_arm(candidate))
    if (
        served_by is not None
        and order[0].deployment.id != served_by
        # A conversation is kept within its arm: otherwise those that began before an experiment would never be in it.
        and any(one.deployment.id == served_by and choice.is_of_arm(one) for one in order)
    ):
        order = kept_first(order, served_by)
    if served_by is not None and order[0].deployment.id == served_by:
        cause += "; it served this conversation before"
    if wishes.latency_target is not None:
        order = slower_last(order, world.first_token_latency, wishes.latency_target)
        cause += f"; slower than {wishes.latency_target:g} s last"
    if any(candidate.last_resort for candidate in order):
        order = sorted(order, key=lambda candidate: candidate.last_resort)
        cause += "; a last resort is asked although it cools down, for too many others do as well"
    escalation = policy.escalation_of(rule)
    stronger: list[Candidate] = []
    if escalation is not None:
        stronger, unable = able(escalation.to) if escalation.to else ([], [])
        known = {rejection.deployment.id for rejection in rejections}
        rejections += [rejection for rejection in unable if rejection.deployment.id not in known]
        if escalation.skip and signals.complexity_score is not None:
            order, skipped = passed_over(order, escalation.skip, signals.complexity_score)
            order = behind_others(order, stronger)
            cause += skipped
    assignment = _assignment(choice.drawn, order)
    if assignment is not None and not assignment.honoured:
        cause += f'; arm "{assignment.arm}" is not honoured, for none of its candidates can be asked first'

    return Decision(
        policy=policy,
        rule=rule,
        strategy=strategy.value,
        candidates=tuple(order),
        rejections=tuple(rejections),
        signals=signals,
        parameters=_parameters(call, rule, feature),
        cause=cause,
        fingerprint=table.fingerprint,
        escalations=tuple(stronger),
        assignment=assignment,
    )


def reordered(decision: Decision, candidates: Sequence[Candidate], table: RoutingTable, call: Call) -> Decision:
    """The decision with its candidates in another order, which may not be the one of the call's arm."""
    drawn = table.enrolment(decision.policy).draw(call, decision.signals) if decision.rule is not None else None
    return replace(decision, candidates=tuple(candidates), assignment=_assignment(drawn, candidates))


def _assignment(drawn: Drawn | None, order: Sequence[Candidate]) -> Assignment | None:
    """What is said of the call's arm: honoured where its own choice is asked first."""
    if drawn is None or drawn.arm is None:
        return None
    return Assignment(
        experiment=drawn.experiment.name,
        arm=drawn.arm.name,
        honoured=bool(order) and drawn.is_of_arm(order[0]),
        key=drawn.key,
    )


def _choose(call: Call, signals: Signals, table: RoutingTable, policy: Policy) -> _Choice:
    wishes = call.wishes
    if wishes.deployment:
        named = (table.deployment(wishes.deployment),)
        return _Choice(named, None, f'the caller named deployment "{wishes.deployment}"')
    if wishes.model:
        return _Choice(table.model(wishes.model), None, f'the caller named model "{wishes.model}"')
    rule = table.match(policy, call, signals)
    if rule is None:
        caller = call.caller
        raise NoCandidate(
            f'No rule of policy "{policy.name}" matches feature "{caller.feature}", tier "{caller.tier}", '
            f'task type "{caller.task_type}", complexity "{signals.complexity}", language "{signals.language}". '
            "End its rules with one that has no conditions, or name a model.",
            metadata={"policy": policy.name},
        )
    cause = f'rule "{rule.name}": {in_words(rule.when)}'
    enrolment = table.enrolment(policy)
    drawn = enrolment.draw(call, signals)
    if drawn is None:
        return _Choice(rule.candidates, rule, cause)
    rule = enrolment.answered(rule, drawn)
    return _Choice(rule.candidates, rule, f"{cause}; {drawn.cause}", drawn)


def _considered(choice: _Choice, table: RoutingTable, policy: Policy, served_by: str | None) -> Iterable[Deployment]:
    """Each once. A policy that keeps conversations does so also where a later turn matches another rule."""
    considered = {deployment.id: deployment for deployment in choice.deployments}
    if choice.rule and served_by and served_by not in considered and policy.sticky is StickyKey.CONVERSATION:
        served = table.named_by(policy).get(served_by)
        if served is not None:
            considered[served_by] = served
    return considered.values()


def sifted(
    considered: Iterable[Deployment],
    call: Call,
    signals: Signals,
    world: World,
    *,
    policy: Policy,
    asked: TokenLimit,
    ceiling: Ceiling | None,
) -> tuple[list[Candidate], list[Rejection]]:
    """Who of these may serve the call now, in their order, and why the others may not."""
    found: list[Candidate | Rejection] = []
    expected = _expected_output(call, asked, world)
    cached = _cached_tokens(call, signals, world)
    for deployment in considered:
        if not call.may_use(deployment):
            found.append(forbidden(deployment))
            continue
        limit = limit_on(deployment, asked, signals.input_tokens)
        rejection = unfit(deployment, policy, signals.needs, signals.input_tokens, limit)
        if rejection is not None:
            found.append(rejection)
            continue
        cost = None
        if deployment.price is not None:
            output = expected if limit.applied is None else min(expected, limit.applied)
            from_cache = cached if deployment.id == world.conversation_deployment else 0
            cost = estimated_cost(deployment.price, signals.input_tokens, output, from_cache)
        too_much = too_dear(deployment, cost, ceiling) if ceiling is not None else None
        found.append(too_much or Candidate(deployment=deployment, token_limit=limit, estimated_cost=cost))
    return _at_home_and_well(found, _homes(call, found), world)


def _at_home_and_well(
    found: Sequence[Candidate | Rejection], homes: frozenset[str], world: World
) -> tuple[list[Candidate], list[Rejection]]:
    """Who may serve now. Health is judged last: rejected for it means that the deployment would do otherwise."""
    eligible: list[Candidate] = []
    rejections: list[Rejection] = []
    cooling, saturated = world.cooling, world.saturated
    pool = [one.deployment.id for one in found if _at_home(one, homes) and one.deployment.id not in saturated]
    spared = last_resorts(pool, cooling) if cooling else ()
    for result in found:
        name = result.deployment.id
        if isinstance(result, Rejection):
            rejections.append(result)
        elif not _at_home(result, homes):
            rejections.append(foreign(result.deployment, homes))
        elif name in saturated:
            rejections.append(full(result.deployment, saturated[name]))
        elif name in spared:
            eligible.append(replace(result, last_resort=True))
        elif name in cooling:
            rejections.append(unwell(result.deployment, cooling[name]))
        else:
            eligible.append(result)
    return eligible, rejections


def _at_home(result: Candidate | Rejection, homes: frozenset[str]) -> bool:
    """Whether it could serve, and understands what private state the conversation holds."""
    return isinstance(result, Candidate) and (not homes or result.deployment.id in homes)


def _homes(call: Call, found: Iterable[Candidate | Rejection]) -> frozenset[str]:
    """The deployments whose state the conversation holds, as far as they can serve: otherwise it must move on."""
    homes = origins(call.chat.messages)
    return homes & {result.deployment.id for result in found if isinstance(result, Candidate)} if homes else homes


def _expected_output(call: Call, asked: TokenLimit, world: World) -> int:
    """In tokens: as the feature's answers were so far, else what the limit allows every model, else a typical one."""
    seen = world.expected_output.get(call.caller.feature)
    if asked.applied is None:
        return _TYPICAL_OUTPUT_TOKENS if seen is None else round(seen)
    return asked.applied if seen is None else min(round(seen), asked.applied)


def _cached_tokens(call: Call, signals: Signals, world: World) -> int:
    """Prompt tokens that the deployment which served the conversation has probably cached: all but the new messages."""
    if world.conversation_deployment is None:
        return 0
    cached = signals.input_tokens - estimate_messages_tokens(_new_messages(call.chat.messages))
    return cached if cached >= _LEAST_CACHED_TOKENS else 0


def _new_messages(messages: Sequence[Message]) -> Sequence[Message]:
    """What was said since the model last spoke."""
    for position in range(len(messages), 0, -1):
        if messages[position - 1].role is Role.ASSISTANT:
            return messages[position:]
    return messages


def _parameters(call: Call, rule: Rule | None, feature: Feature) -> Parameters:
    """The caller's over the rule's over the feature's."""
    parameters = call.chat.parameters
    if rule is not None:
        parameters = parameters.over(rule.parameters)
    return parameters.over(feature.parameters)


def _nobody_left(choice: _Choice, rejections: Sequence[Rejection]) -> NoCandidate | PermissionDenied:
    metadata = {rejection.deployment.id: rejection.reason.value for rejection in rejections[:_NAMED_IN_METADATA]}
    waits = [rejection.retry_after for rejection in rejections if rejection.retry_after is not None]
    reasons = _reasons(rejections)
    if rejections and all(rejection.reason is RejectionReason.PERMISSION for rejection in rejections):
        return PermissionDenied(
            f"The caller may use none of the models that could serve the call ({choice.cause}): {reasons}. "
            "An administrator can grant more.",
            metadata=metadata,
        )
    if waits:
        return NoCandidate(
            f"Every deployment that could serve the call is cooling down ({choice.cause}): {reasons}. "
            f"Try again in {min(waits):.1f} s.",
            reason=Reason.ALL_CANDIDATES_COOLING,
            metadata=metadata,
            retry_after=min(waits),
        )
    return NoCandidate(
        f"No deployment may serve the call ({choice.cause}): {reasons}. "
        "Change the call, or add a deployment that fits to the policy.",
        metadata=metadata,
    )


def _reasons(rejections: Iterable[Rejection]) -> str:
    told = [f"{rejection.deployment.id}: {rejection.detail}" for rejection in rejections]
    more = f"; and {len(told) - _NAMED_IN_MESSAGE} more" if len(told) > _NAMED_IN_MESSAGE else ""
    return "; ".join(told[:_NAMED_IN_MESSAGE]) + more or "it names none"
