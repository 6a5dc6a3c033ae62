"""Calls that were made, decided again under another policy: what they would have cost, and where they would have gone.

Only what was recorded of a call is known, never its prompt. Each is priced as one attempt at the first candidate, with
the tokens that the answer took then: another model may say more or less.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from router_service.domain.call import Call, Caller, Wishes
from router_service.domain.chat import Chat, Parameters
from router_service.domain.decision import Candidate, ComplexitySource, Signals
from router_service.domain.deployment import Capability, Deployment
from router_service.domain.error import RouterError
from router_service.domain.money import Usage
from router_service.domain.policy import Policy
from router_service.routing.complexity import MODERATE
from router_service.routing.decide import decide
from router_service.routing.table import RoutingTable
from router_service.routing.world import World
from router_service.spend.cost import cost

_NOBODY = "nobody"


@dataclass(frozen=True, slots=True, kw_only=True)
class PastCall:
    """An answered call, or `calls` equal ones, as far as it is known.

    `usage` is of the answer of each; `deployment` and `model` gave it. `cost` is what all attempts of all these calls
    cost together in nano-USD, `None` where that is not known. The `asked_...` are the caller's own wishes.
    """

    feature: str = ""
    tier: str = ""
    tenant: str = ""
    task_type: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    policy: str = ""
    deployment: str = ""
    model: str = ""
    asked_model: str = ""
    asked_deployment: str = ""
    asked_complexity: str = ""
    asked_output_tokens: int | None = None
    max_cost_nano_usd: int | None = None
    input_tokens: int = 0
    turns: int = 1
    language: str = ""
    complexity: str = ""
    needs: frozenset[Capability] = frozenset()
    usage: Usage = Usage()
    calls: int = 1
    cost: int | None = None


@dataclass(slots=True)
class ReplayLine:
    """What calls of one feature did cost, and would, in nano-USD. `uncounted` are in neither: one side is unknown."""

    calls: int = 0
    did_cost: int = 0
    would_cost: int = 0
    uncounted: int = 0


@dataclass(slots=True)
class Replay:
    """The report: by feature, and by the pair of the model that answered and the one that would have.

    `refused` counts calls that the policy would not have served, by the reason. `baseline_cost` is what its own
    baseline would have cost for the same calls, `None` where it has none or no price of it.
    """

    total: ReplayLine = field(default_factory=ReplayLine)
    by_feature: dict[str, ReplayLine] = field(default_factory=dict)
    by_model: dict[tuple[str, str], ReplayLine] = field(default_factory=dict)
    refused: dict[str, int] = field(default_factory=dict)
    baseline_cost: int | None = 0

    def add(self, past: PastCall, serving: Deployment | None, would_cost: int | None) -> None:
        """Count a call on all its lines."""
        served_by = serving.model if serving is not None else _NOBODY
        lines = (
            self.total,
            self.by_feature.setdefault(past.feature, ReplayLine()),
            self.by_model.setdefault((past.model, served_by), ReplayLine()),
        )
        for line in lines:
            line.calls += past.calls
            if would_cost is None or past.cost is None:
                line.uncounted += past.calls
            else:
                line.did_cost += past.cost
                line.would_cost += would_cost


def replay(calls: Iterable[PastCall], table: RoutingTable, report: Replay | None = None) -> Replay:
    """Decide each call again, and add it up; to what `report` holds already, where one is given.

    Health and sticky conversations play no part, and every deployment counts as having its key: the question is the
    policy. A caller's wish for a model or policy that the table lacks is not a wish any more.
    """
    report = report or Replay()
    table = _with_credentials(table)
    for past in calls:
        try:
            policy, candidate = _decided(past, table)
        except RouterError as error:
            report.refused[error.reason] = report.refused.get(error.reason, 0) + past.calls
            report.add(past, None, None)
            continue
        report.add(past, candidate.deployment, _would_cost(past, candidate))
        _add_baseline(report, past, policy)
    return report


def _decided(past: PastCall, table: RoutingTable) -> tuple[Policy, Candidate]:
    wishes = Wishes(
        policy=past.policy if past.policy in table.policies else "",
        deployment=past.asked_deployment if past.asked_deployment in table.deployments else "",
        model=past.asked_model if past.asked_model in table.models else "",
        max_cost_nano_usd=past.max_cost_nano_usd,
    )
    caller = Caller(feature=past.feature, tier=past.tier, task_type=past.task_type, labels=past.labels)
    chat = Chat(messages=(), parameters=Parameters(max_output_tokens=past.asked_output_tokens))
    call = Call(request_id="replay", tenant=past.tenant, caller=caller, chat=chat, wishes=wishes)
    signals = _signals(past, table, table.policy(wishes.policy))
    world = World(expected_output={past.feature: float(past.usage.output_tokens)})
    decision = decide(call, signals, table, world)
    return decision.policy, decision.candidates[0]


def _signals(past: PastCall, table: RoutingTable, policy: Policy) -> Signals:
    complexity, source = past.complexity, ComplexitySource.HEURISTIC
    given = past.asked_complexity.strip().lower()
    if given:
        complexity = given if table.understands_complexity(policy, given) else MODERATE
        source = ComplexitySource.CALLER
    return Signals(
        input_tokens=past.input_tokens,
        language=past.language,
        complexity=complexity,
        complexity_source=source,
        complexity_score=None,
        turns=past.turns,
        needs=past.needs,
    )


def _would_cost(past: PastCall, candidate: Candidate) -> int | None:
    """What is cached at the deployment that answered would not have been at another one."""
    deployment, limit, usage = candidate.deployment, candidate.token_limit.applied, past.usage
    if deployment.price is None:
        return None
    if deployment.id != past.deployment:
        usage = replace(usage, cached_input_tokens=0, cache_write_tokens=0)
    if limit is not None and usage.output_tokens > limit:
        usage = replace(usage, output_tokens=limit)
    return past.calls * cost(usage, deployment.price).total


def _add_baseline(report: Replay, past: PastCall, policy: Policy) -> None:
    baseline = policy.baseline
    if baseline is None or baseline.price is None or report.baseline_cost is None:
        report.baseline_cost = None
    else:
        usage = replace(past.usage, cached_input_tokens=0, cache_write_tokens=0)
        report.baseline_cost += past.calls * cost(usage, baseline.price).total


def _with_credentials(table: RoutingTable) -> RoutingTable:
    keyed = {name: replace(one, has_credentials=True) for name, one in table.deployments.items()}
    return replace(
        table,
        deployments=keyed,
        models={name: tuple(keyed[one.id] for one in group) for name, group in table.models.items()},
        policies={name: _keyed(policy, keyed.__getitem__) for name, policy in table.policies.items()},
    )


def _keyed(policy: Policy, keyed: Callable[[str], Deployment]) -> Policy:
    return replace(
        policy,
        rules=tuple(replace(rule, candidates=tuple(keyed(one.id) for one in rule.candidates)) for rule in policy.rules),
    )
