"""Which arm of which experiment a call falls to: a pure function of names, weights and the call's key.

Arms are drawn by weighted rendezvous hashing: every replica draws alike, whatever the order of the arms, and a changed
weight moves only the keys that its arm gains or loses.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b

from router_service.domain.call import Call
from router_service.domain.decision import Candidate, Signals
from router_service.domain.policy import Arm, ArmKey, Experiment, Rule, TextMatch, When
from router_service.routing.index import RuleIndex
from router_service.routing.rank import draw


class Conditions:
    """Whether a call is one of those that an experiment or a shadow is about."""

    def __init__(self, when: When, tenants: TextMatch) -> None:
        self._index = RuleIndex([Rule(name="", when=when, candidates=())])
        self._tenants = tenants

    def hold(self, call: Call, signals: Signals) -> bool:
        """Whether they hold for the call."""
        return self._tenants.accepts(call.tenant) and self._index.first_match(call.caller, signals) is not None


@dataclass(frozen=True, slots=True)
class Drawn:
    """What an experiment makes of a call: its arm, `None` where the call has no key to draw by; `key` as in
    `Assignment`."""

    experiment: Experiment
    arm: Arm | None
    key: str = ""

    @property
    def cause(self) -> str:
        """In words."""
        named = f'experiment "{self.experiment.name}"'
        if self.arm is None:
            return f"not in {named}, for the caller names no {self.experiment.key}"
        return f'{named} draws arm "{self.arm.name}" by {self.experiment.key}'

    def is_of_arm(self, candidate: Candidate) -> bool:
        """Whether the candidate is the arm's own choice, and not only there to be fallen back on."""
        arm = self.arm
        return arm is None or not arm.candidates or any(one.id == candidate.deployment.id for one in arm.candidates)


class Enrolment:
    """The experiments of one policy. A call is in one of them at most: the first whose conditions hold."""

    def __init__(self, experiments: Sequence[Experiment]) -> None:
        self._experiments = [(one, Conditions(one.when, one.tenants)) for one in experiments]
        # By the identity of arm and rule, with the rule to keep that from being anybody else's.
        self._answered: dict[tuple[int, int], tuple[Rule, Rule]] = {}

    def draw(self, call: Call, signals: Signals) -> Drawn | None:
        """What the call's experiment makes of it; `None` where it is in none."""
        for experiment, conditions in self._experiments:
            if conditions.hold(call, signals):
                key = _key_of(experiment, call)
                return Drawn(experiment, _arm_of(experiment, key) if key else None, _digest(key) if key else "")
        return None

    def answered(self, rule: Rule, drawn: Drawn) -> Rule:
        """The rule as the arm has it answered."""
        arm = drawn.arm
        if arm is None:
            return rule
        known = self._answered.get((id(arm), id(rule)))
        if known is None:
            known = self._answered[id(arm), id(rule)] = (rule, _answered_by(arm, rule))
        return known[1]


def _answered_by(arm: Arm, rule: Rule) -> Rule:
    """The rule's candidates stay behind the arm's, so that they can be fallen back on."""
    of_arm = {one.id: one for one in arm.candidates}
    return replace(
        rule,
        candidates=tuple({**of_arm, **{one.id: one for one in rule.candidates}}.values()),
        fallbacks=tuple(one for one in rule.fallbacks if one not in of_arm),
        strategy=rule.strategy if arm.strategy is None else arm.strategy,
        parameters=arm.parameters.over(rule.parameters),
        escalation=rule.escalation if arm.escalation is None else arm.escalation,
    )


def arm_of(experiment: Experiment, call: Call) -> Arm | None:
    """The call's arm: always the same for the same key. `None` where the call has none, such as no user."""
    key = _key_of(experiment, call)
    return _arm_of(experiment, key) if key else None


def _arm_of(experiment: Experiment, key: str) -> Arm:
    return max(experiment.arms, key=lambda arm: draw(arm.name, arm.weight, key))


def _key_of(experiment: Experiment, call: Call) -> str:
    """What the arm is drawn by, empty where the call has no such thing."""
    value = {
        ArmKey.USER: call.caller.user,
        ArmKey.CONVERSATION: call.caller.conversation_id,
        ArmKey.TENANT: call.tenant,
        ArmKey.REQUEST: call.request_id,
    }[experiment.key]
    return "\0".join((experiment.name, str(experiment.version), experiment.key, call.tenant, value)) if value else ""


def _digest(key: str) -> str:
    """Tells keys apart without naming anybody."""
    return blake2b(key.encode("utf-8", "surrogatepass"), digest_size=8, person=b"arm key").hexdigest()
