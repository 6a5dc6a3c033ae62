"""Shadow calls: what they are sent, what they cost and whom, and that no caller ever notices them."""

from __future__ import annotations

import asyncio
import math
import os
import shutil
from dataclasses import replace

import pytest
from ledger_values import records_of
from scripted_calls import COST, Observed, Recorder, Says, World, busy, call, deployment

from router_service.domain.call import Caller, Wishes
from router_service.domain.chat import FinishReason, Parameters
from router_service.domain.deployment import Capability
from router_service.domain.error import UpstreamError, UpstreamFault
from router_service.domain.event import CallStarted, Finished
from router_service.domain.identity import Grants, Identity, IdentityKind
from router_service.domain.limit import Budget, DeploymentRate, FailMode, LimitRules, Period, Subject
from router_service.domain.policy import Rule, Shadow, StickyKey, TextMatch, When
from router_service.domain.quality import Escalation, Gate, GateKind
from router_service.engine.book import JournalBook
from router_service.ledger.journal import Journal
from router_service.ledger.reconcile import adopt
from router_service.ledger.records import AttemptIntent, AttemptTerminal, OperationClosed, OperationOpened
from router_service.limits.limiter import Limiter
from router_service.limits.local import LocalMeters
from router_service.limits.rates import DeploymentRates

OWN, TWIN = deployment("own"), deployment("twin")
LIMITED = Parameters(max_output_tokens=100)


def shadow(**changes):
    known = {"id": "default/try", "candidates": (TWIN,), "share": 1.0, "max_cost_nano_usd": 10**12}
    return Shadow(**{**known, "period": Period.DAY, **changes})


class Shadowed(World):
    """An engine whose only rule is served by `own`, with shadows sent to `twin`."""

    def __init__(
        self, *shadows, own=None, twin=None, twins=(TWIN,), folder=None, rates=None, deployments_can=None, **changes
    ):
        loop = asyncio.get_running_loop()
        serving = OWN if deployments_can is None else replace(OWN, capabilities=OWN.capabilities | deployments_can)
        caps = {
            one.id: Budget(
                name=f"shadow {one.id}", nano_usd=one.max_cost_nano_usd, period=one.period, fail=FailMode.CLOSED
            )
            for one in shadows
        }
        self.limiter = Limiter(LimitRules(shadows=caps), LocalMeters(loop.time, lambda: 0.0), wall=lambda: 0.0)
        self.journal = None if folder is None else Journal(folder, "router-1")
        self.seen_shadows = []
        parts = {} if self.journal is None else {"book": JournalBook(self.journal)}
        if rates is not None:
            parts["rates"] = rates
        super().__init__(
            {"own": own or [Says("Hello")], "twin": twin or [Says("Hi")]},
            deployments=[serving, *twins],
            policy_changes={
                "rules": (Rule(name="all", when=When(), candidates=(serving,)),),
                "baseline": OWN,
                "shadows": shadows,
                **changes,
            },
            limiter=self.limiter,
            observe_shadow=self._observe_shadow,
            **parts,
        )

    def _observe_shadow(self, call):
        self.seen_shadows.append((call, Observed()))
        return self.seen_shadows[-1][1]

    @property
    def outcomes(self):
        return {outcome: count for (_, outcome), count in self.engine.shadows.counts().calls.items()}

    @property
    def sent(self):
        return self.provider("twin").requests

    async def settled(self):
        """Wait until no shadow call is under way."""
        await until(lambda: not self.engine.shadows.under_way)

    def records(self):
        self.journal.close()
        return records_of(self.journal.folder)


async def until(condition):
    while not condition():  # noqa: ASYNC110 - what is waited for has no event here
        await asyncio.sleep(0.001)


def of(records, kind):
    return [record for record in records if isinstance(record, kind)]


async def test_an_answered_call_is_sent_to_the_shadow_too_and_its_caller_sees_nothing_of_it():
    world, edge = Shadowed(shadow()), Recorder()
    answer = await world.engine.complete(call(stream=True), edge)
    events = len(edge.events)
    await world.settled()
    [request] = world.sent
    assert request.chat == call().chat
    assert (answer.message.text, answer.receipt.cost, len(answer.receipt.attempts)) == ("Hello", COST, 1)
    assert len(edge.events) == events
    assert len(world.observed.of(CallStarted)) == 1
    assert world.engine.receipt("acme", "r1") is answer.receipt
    assert world.outcomes == {"answered": 1}
    assert world.engine.shadows.counts().cost == {"default/try": COST}


async def test_the_caller_has_the_answer_before_the_shadow_is_asked():
    world = Shadowed(shadow())
    asked_at = []

    async def edge(event):
        await asyncio.sleep(0)
        asked_at.append((type(event), len(world.sent)))

    await world.engine.complete(call(stream=True), edge)
    assert asked_at[-1] == (Finished, 0)
    assert world.sent == []
    await world.settled()
    assert len(world.sent) == 1


async def test_a_shadow_that_never_answers_delays_nobody():
    world = Shadowed(shadow(), twin=[Says("", silent=True)])
    answer = await world.engine.complete(call(), Recorder())
    assert answer.message.text == "Hello"
    assert world.engine.shadows.under_way == 1
    await world.engine.shadows.aclose()
    assert world.outcomes == {"cancelled": 1}


async def test_a_caller_that_leaves_with_the_answer_does_not_cancel_its_shadow():
    world = Shadowed(shadow())

    async def edge(event):
        if isinstance(event, Finished):
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await world.engine.complete(call(stream=True), edge)
    await world.settled()
    assert world.outcomes == {"answered": 1}


async def test_a_shadow_has_a_deadline_of_its_own():
    world = Shadowed(shadow(timeout=0.02), twin=[Says("", silent=True)])
    await world.engine.complete(call(deadline=asyncio.get_running_loop().time() + 1000), Recorder())
    async with asyncio.timeout(30):
        await world.settled()
    assert world.outcomes == {"failed": 1}


async def test_calls_that_fail_or_name_their_model_are_not_shadowed():
    world = Shadowed(shadow(), own=[busy(), busy(), Says("Hello")])
    with pytest.raises(Exception, match="answered 503"):
        await world.engine.complete(call(), Recorder())
    await world.engine.complete(call(wishes=Wishes(model="own")), Recorder())
    await world.engine.route(call())
    await world.settled()
    assert (world.sent, world.outcomes) == ([], {})


async def test_a_share_of_the_calls_is_shadowed():
    world = Shadowed(shadow(share=0.25))
    for _ in range(400):
        await world.engine.complete(call(), Recorder())
        await world.settled()
    assert 65 <= len(world.sent) <= 135


@pytest.mark.parametrize(
    ("conditions", "sent"),
    [
        ({"when": When(feature=TextMatch(any_of=frozenset({"chat"})))}, 1),
        ({"when": When(feature=TextMatch(none_of=frozenset({"chat"})))}, 0),
        ({"tenants": TextMatch(none_of=frozenset({"acme"}))}, 0),
        ({"tenants": TextMatch(any_of=frozenset({"acme"}))}, 1),
    ],
)
async def test_features_and_tenants_can_be_left_out(conditions, sent):
    world = Shadowed(shadow(**conditions))
    await world.engine.complete(call(), Recorder())
    await world.settled()
    assert len(world.sent) == sent


# One attempt


async def test_a_shadow_that_fails_is_not_tried_again():
    world = Shadowed(shadow(), twin=[busy(), Says("Hi")])
    await world.engine.complete(call(), Recorder())
    await world.settled()
    assert (len(world.sent), world.outcomes) == (1, {"failed": 1})


async def test_the_first_that_may_serve_is_asked_and_never_the_model_that_answered():
    world = Shadowed(shadow(candidates=(OWN, replace(TWIN, has_credentials=False), TWIN)))
    await world.engine.complete(call(), Recorder())
    await world.settled()
    assert len(world.sent) == 1
    only_itself = Shadowed(shadow(candidates=(OWN,)))
    await only_itself.engine.complete(call(), Recorder())
    await only_itself.settled()
    assert only_itself.outcomes == {"dropped_same_model": 1}


GRANTED = Grants(features=None, models=frozenset({"own"}), policies=None, tiers=None)


@pytest.mark.parametrize(
    ("twin", "policy", "asked", "outcome"),
    [
        ({"region": "cn"}, {"regions": frozenset({""})}, {}, "dropped_region"),
        ({"has_credentials": False}, {}, {}, "dropped_credentials"),
        ({"context_window": 17}, {}, {}, "dropped_context_window"),
        ({"price": None}, {}, {}, "dropped_unpriced"),
        (
            {},
            {},
            {"identity": Identity(tenant="acme", principal="k", kind=IdentityKind.API_KEY, grants=GRANTED)},
            "dropped_permission",
        ),
    ],
)
async def test_the_callers_data_goes_nowhere_it_might_not_go_itself(twin, policy, asked, outcome):
    other = replace(TWIN, **twin)
    world = Shadowed(shadow(candidates=(other,)), twins=(other,), **policy)
    await world.engine.complete(call(**asked), Recorder())
    await world.settled()
    assert (world.sent, world.outcomes) == ([], {outcome: 1})


async def test_a_provider_that_cools_down_is_left_alone():
    world = Shadowed(shadow(), twin=[Says("", error=UpstreamError(UpstreamFault.RATE_LIMITED, "429", status=429))])
    for _ in range(2):
        await world.engine.complete(call(), Recorder())
        await world.settled()
    assert (len(world.sent), world.outcomes) == (1, {"failed": 1, "dropped_health": 1})


async def test_a_provider_that_callers_would_ask_as_a_last_resort_is_left_alone_too():
    twins = tuple(deployment(f"twin-{number}", provider="twin-provider") for number in range(3))
    world = Shadowed(shadow(candidates=twins), twins=())
    refused = UpstreamError(UpstreamFault.SERVER, "503", status=503)
    for twin in twins:
        for _ in range(10):
            world.engine.health.failed(world.engine.health.dispatched(twin.id), refused)
    await world.engine.complete(call(), Recorder())
    await world.settled()
    assert world.outcomes == {"dropped_health": 1}


async def test_a_provider_that_has_no_room_is_left_alone():
    rates = DeploymentRates({"twin": DeploymentRate(requests_per_minute=1)}, lambda: 0.0)
    world = Shadowed(shadow(), rates=rates)
    for _ in range(2):
        await world.engine.complete(call(), Recorder())
        await world.settled()
    assert world.outcomes == {"answered": 1, "dropped_saturated": 1}


# Money


async def test_the_cap_is_never_exceeded_however_many_come_at_once():
    asked = call(chat=replace(call().chat, parameters=LIMITED))
    tokens = (await Shadowed().engine.route(asked)).signals.input_tokens
    reserve = 100 * 2_000 + math.ceil(tokens * 1.25) * 1_000
    world = Shadowed(
        shadow(max_cost_nano_usd=4 * reserve - 1, max_concurrent=1000), twin=[Says("Hi", lingers=True)], folder=None
    )
    await asyncio.gather(*(world.engine.complete(asked, Recorder()) for _ in range(50)))
    await until(lambda: len(world.sent) + world.outcomes.get("dropped_cap", 0) == 50)
    [reading] = await state_of(world)
    assert (reading.reserved, len(world.sent), world.outcomes) == (3 * reserve, 3, {"dropped_cap": 47})
    await world.engine.shadows.aclose()


async def state_of(world):
    [meter] = world.limiter._plan.attempt(Subject(tenant="", shadow="default/try"), "twin")
    return await world.limiter._read([meter])


async def test_what_was_spent_stays_spent_and_stops_the_shadow():
    world = Shadowed(shadow(max_cost_nano_usd=COST * 3 + 200_000 + 10_000))
    asked = call(chat=replace(call().chat, parameters=LIMITED))
    for _ in range(20):
        await world.engine.complete(asked, Recorder())
        await world.settled()
    [reading] = await state_of(world)
    assert reading.used == COST * len(world.sent) <= COST * 3 + 210_000
    assert world.outcomes["dropped_cap"] == 20 - len(world.sent)
    assert len(world.sent) >= 3


async def test_an_answer_that_nobody_bounds_is_bounded_by_what_is_held():
    world = Shadowed(shadow())
    await world.engine.complete(call(), Recorder())
    await world.settled()
    assert world.sent[0].max_output_tokens == 4096


async def test_a_shadow_whose_cap_went_with_a_reload_is_not_sent():
    world = Shadowed(shadow())
    world.limiter.use(LimitRules())
    await world.engine.complete(call(), Recorder())
    await world.settled()
    assert (world.sent, world.outcomes) == ([], {"dropped_away": 1})


async def test_the_callers_budgets_do_not_pay_for_shadows():
    world = Shadowed(shadow())
    caps = world.limiter._plan._shadows
    budget = Budget(name="team", nano_usd=10**12, period=Period.DAY)
    world.limiter.use(LimitRules(budgets=(budget,), shadows=caps))
    await world.engine.complete(call(), Recorder())
    await world.settled()
    [state] = await world.limiter.state(Subject(tenant="acme", feature="chat", tier="free"))
    assert (state.used, world.outcomes) == (COST, {"answered": 1})


# Many, and the end


async def test_no_more_are_under_way_than_the_shadow_allows():
    world = Shadowed(shadow(max_concurrent=2), twin=[Says("", silent=True)])
    for _ in range(5):
        await world.engine.complete(call(), Recorder())
    assert (world.engine.shadows.under_way, world.outcomes) == (2, {"dropped_busy": 3})
    await world.engine.shadows.aclose()
    assert world.outcomes == {"dropped_busy": 3, "cancelled": 2}


async def test_a_process_that_drains_begins_none_and_accounts_for_those_under_way(tmp_path):
    world = Shadowed(shadow(), twin=[Says("Hi", lingers=True)], folder=tmp_path)
    await world.engine.complete(call(), Recorder())
    await until(lambda: world.sent)
    world.engine.shadows.close()
    await world.engine.complete(call(), Recorder())
    await world.engine.shadows.aclose()
    assert world.outcomes == {"dropped_draining": 1, "cancelled": 1}
    records = world.records()
    [intent] = [one for one in of(records, AttemptIntent) if one.kind == "shadow"]
    [end] = [one for one in of(records, AttemptTerminal) if one.attempt_id == intent.attempt_id]
    [closed] = [one for one in of(records, OperationClosed) if one.operation_id == intent.operation_id]
    assert (end.outcome, closed.error_reason) == ("cancelled", "DRAINING")


# The record


async def test_a_shadow_is_an_operation_of_its_own_that_names_its_parent(tmp_path):
    world = Shadowed(shadow(), folder=tmp_path)
    await world.engine.complete(call(caller=Caller(feature="chat", user="u")), Recorder())
    await world.settled()
    records = world.records()
    [parent, twin] = of(records, OperationOpened)
    assert (parent.shadow, parent.parent_id) == ("", "")
    assert (twin.shadow, twin.parent_id) == ("default/try", parent.operation_id)
    assert (twin.feature, twin.policy, twin.rule) == ("chat", "default", "all")
    assert twin.request_id != parent.request_id
    [intent] = [one for one in of(records, AttemptIntent) if one.operation_id == twin.operation_id]
    assert (intent.kind, intent.reason, intent.deployment) == ("shadow", "shadow", "twin")
    assert intent.reserved_nano_usd is not None
    assert intent.reserved_nano_usd > COST
    [end] = [one for one in of(records, AttemptTerminal) if one.operation_id == twin.operation_id]
    assert (end.kind, end.status, end.cost_nano_usd) == ("shadow", "settled", COST)
    ends = {one.operation_id: one for one in of(records, OperationClosed)}
    assert (ends[twin.operation_id].status, ends[twin.operation_id].model) == ("OK", "twin")
    assert (ends[parent.operation_id].attempts, ends[parent.operation_id].cost_nano_usd) == (1, COST)


async def test_a_shadow_that_is_dropped_leaves_no_record(tmp_path):
    world = Shadowed(shadow(max_cost_nano_usd=1), folder=tmp_path)
    await world.engine.complete(call(), Recorder())
    await world.settled()
    assert world.outcomes == {"dropped_cap": 1}
    [opened] = of(world.records(), OperationOpened)
    assert opened.shadow == ""
    [(_, observed)] = world.seen_shadows
    assert observed.of(Finished) == []


GATES = Escalation(gates=(Gate(kind=GateKind.NOT_REFUSAL), Gate(kind=GateKind.NOT_EMPTY)))
REFUSAL = "I'm sorry, but I can't help with that."


@pytest.mark.parametrize("whose", ["shadow", "policy"])
async def test_the_same_gates_score_both_answers(tmp_path, whose):
    made = shadow(escalation=GATES) if whose == "shadow" else shadow()
    policy = {"escalation": GATES} if whose == "policy" else {}
    world = Shadowed(made, own=[Says("The tide turns.")], twin=[Says(REFUSAL)], folder=tmp_path, **policy)
    answer = await world.engine.complete(call(), Recorder())
    await world.settled()
    ends = [one for one in of(world.records(), OperationClosed) if one.parent_score is not None]
    assert [(one.parent_score, one.quality_score, one.quality) for one in ends] == [(1.0, 0.5, "below_threshold")]
    # What the shadow's own gates find is nothing that the caller hears of.
    assert len(answer.receipt.judgements) == (1 if whose == "policy" else 0)
    assert answer.receipt.compared is None
    assert len(world.sent) == 1


async def test_the_callers_answer_is_scored_also_where_the_shadow_failed(tmp_path):
    """Or the calls that the shadow's model cannot answer would be missing from the comparison."""
    refused = UpstreamError(UpstreamFault.BAD_REQUEST, "400", status=400)
    world = Shadowed(shadow(escalation=GATES), twin=[Says("", error=refused)], folder=tmp_path)
    await world.engine.complete(call(), Recorder())
    await world.settled()
    [end] = [one for one in of(world.records(), OperationClosed) if one.error_reason]
    assert (end.error_reason, end.parent_score, end.quality_score) == ("UPSTREAM_REJECTED", 1.0, None)


async def test_a_shadow_is_not_asked_for_log_probabilities_nor_scored_by_them(tmp_path):
    gates = Escalation(gates=(Gate(kind=GateKind.CONFIDENT), *GATES.gates))
    world = Shadowed(
        shadow(escalation=gates), own=[Says(REFUSAL)], folder=tmp_path, deployments_can=frozenset({Capability.LOGPROBS})
    )
    asked = call(chat=replace(call().chat, parameters=Parameters(top_logprobs=2)))
    await world.engine.complete(asked, Recorder())
    await world.settled()
    # The twin cannot give any, which matters to nobody.
    assert world.outcomes == {"answered": 1}
    assert world.sent[0].logprobs is None
    [end] = [one for one in of(world.records(), OperationClosed) if one.parent_score is not None]
    assert (end.parent_score, end.quality_score) == (0.5, 1.0)


async def test_without_gates_nothing_is_scored(tmp_path):
    world = Shadowed(shadow(), folder=tmp_path)
    await world.engine.complete(call(), Recorder())
    await world.settled()
    assert {(one.quality, one.quality_score, one.parent_score) for one in of(world.records(), OperationClosed)} == {
        ("", None, None)
    }


async def test_a_conversation_stays_where_its_caller_was_answered():
    world = Shadowed(shadow(), sticky=StickyKey.CONVERSATION)
    asked = call(caller=Caller(conversation_id="c1"))
    await world.engine.complete(asked, Recorder())
    await world.settled()
    assert (await world.engine.route(asked)).candidates[0].deployment.id == "own"
    assert "it served this conversation before" in (await world.engine.route(asked)).cause


async def test_a_shadow_that_ends_otherwise_than_by_stopping_is_an_answer_too():
    world = Shadowed(shadow(), twin=[Says("Hi", finish=FinishReason.LENGTH)])
    await world.engine.complete(call(), Recorder())
    await world.settled()
    assert world.outcomes == {"answered": 1}


async def test_what_a_process_that_was_killed_left_open_is_a_shadows_too(tmp_path):
    world = Shadowed(shadow(), twin=[Says("Hi", lingers=True)], folder=tmp_path / "alive")
    await world.engine.complete(call(), Recorder())
    await until(lambda: world.sent)
    # What another process finds in the folder: all that was written before the kill, and no lock.
    shutil.copytree(tmp_path / "alive", tmp_path / "dead")
    [adopted] = adopt(tmp_path / "dead")
    [orphan] = adopted.orphans
    assert (orphan.kind, orphan.deployment) == ("shadow", "twin")
    [end] = [one for one in of(records_of(adopted.folder), AttemptTerminal) if one.attempt_id == orphan.attempt_id]
    assert (end.kind, end.status) == ("shadow", "indeterminate")
    os.close(adopted.lock)
    await world.engine.shadows.aclose()
    world.records()
