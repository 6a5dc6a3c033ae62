"""How complex a call is, said by a model where its policy wants that. Labels are remembered: repeats are free."""

from __future__ import annotations

from collections import OrderedDict

from router_service.domain.asking import mark_of
from router_service.domain.call import Call
from router_service.domain.chat import Chat
from router_service.domain.classifier import Classification
from router_service.domain.decision import Signals
from router_service.domain.policy import Policy
from router_service.domain.receipt import AttemptReason
from router_service.engine.ask import Ask
from router_service.routing.excerpt import last_said
from router_service.routing.labelling import label_chat, read_label, unasked, with_label
from router_service.routing.table import RoutingTable


class LabelMemory:
    """The labels that models gave lately, by policy, in process: hashes of what was asked, and no prompts."""

    def __init__(self) -> None:
        self._known: dict[str, OrderedDict[str, tuple[str, str]]] = {}

    def get(self, policy: Policy, key: str) -> tuple[str, str] | None:
        """The label, and which deployment gave it."""
        known = self._known.get(policy.name)
        if known is None or key not in known:
            return None
        known.move_to_end(key)
        return known[key]

    def put(self, policy: Policy, key: str, label: str, deployment: str) -> None:
        """Keep a label; the oldest go where there are more than the policy wants remembered."""
        known = self._known.setdefault(policy.name, OrderedDict())
        known[key] = (label, deployment)
        while len(known) > policy.classification.remembered:
            known.popitem(last=False)


class Labeller:
    """Has one call labelled under one policy, whose signals say that a model is to be asked."""

    def __init__(self, call: Call, policy: Policy, table: RoutingTable, memory: LabelMemory) -> None:
        settings = policy.classification
        self._policy = policy
        self._memory = memory
        self._labels = table.labels(policy)
        self._chat = label_chat(last_said(call.chat.messages), self._labels, settings.prompt)
        self._key = _key(call, settings, self._chat)

    def remembered(self, signals: Signals) -> Signals:
        """The signals with the label that the same question got before; as they are where it was not asked."""
        known = self._memory.get(self._policy, self._key)
        return signals if known is None else with_label(signals, known[0], deployment=known[1], is_remembered=True)

    async def asked(self, signals: Signals, ask: Ask) -> Signals:
        """The signals with what a model says, or with why none did."""
        asking = self._policy.classification.asking
        if asking is None:
            return unasked(signals, "the policy names none")
        said = await ask(self._chat, asking, AttemptReason.CLASSIFIER)
        if said.why_not:
            return unasked(signals, said.why_not)
        label = read_label(said.text, self._labels)
        if label:
            self._memory.put(self._policy, self._key, label, said.deployment)
        return with_label(signals, label, deployment=said.deployment)


def _key(call: Call, settings: Classification, chat: Chat) -> str:
    """Tenants do not learn from each other's, and a reload that changes the question asks anew."""
    models = "" if settings.asking is None else repr([deployment.id for deployment in settings.asking.deployments])
    return mark_of(call.tenant, models, *(message.text for message in chat.messages))
