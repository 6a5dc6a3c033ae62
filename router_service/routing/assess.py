"""What is known of a call before deciding: size, language, complexity, turns and needs."""

from __future__ import annotations

from dataclasses import replace

from router_service.domain.call import Call
from router_service.domain.chat import Chat, ImagePart, JsonObjectFormat, JsonSchemaFormat, ReasoningEffort, Role
from router_service.domain.decision import ComplexitySource, Signals
from router_service.domain.deployment import Capability
from router_service.routing.classify import Judgement
from router_service.routing.complexity import MODERATE, SIMPLE
from router_service.routing.excerpt import last_said
from router_service.routing.language import detect_language
from router_service.routing.table import RoutingTable
from router_service.routing.tokens import estimate_input_tokens

_TURNS_OF_A_SIMPLE_CONVERSATION = 10
_NO_NEEDS: frozenset[Capability] = frozenset()


def assess(call: Call, table: RoutingTable, calibration: float = 1.0) -> Signals:
    """The signals of a call; what the caller says of language and complexity wins over what is detected.

    `calibration` scales the token estimate. Raises `NotFound` where the call names an unknown policy.
    """
    caller, chat = call.caller, call.chat
    policy = table.policy(call.wishes.policy)
    said = last_said(chat.messages)
    turns = sum(message.role is Role.USER for message in chat.messages)

    signals = Signals(
        input_tokens=estimate_input_tokens(chat, calibration),
        language=caller.language.strip().lower() or detect_language(said),
        complexity=MODERATE,
        complexity_source=ComplexitySource.CALLER,
        complexity_score=None,
        turns=turns,
        needs=_needs(chat),
    )
    given = caller.complexity.strip().lower()
    if not given:
        return _judged(signals, table.judge(policy).judge(said))
    if table.understands_complexity(policy, given):
        return replace(signals, complexity=given, complexity_cause="the caller said so")
    return replace(signals, complexity_cause=f"the caller's word means nothing here: {MODERATE}")


def _judged(signals: Signals, judgement: Judgement) -> Signals:
    tier, source, cause = judgement.tier, judgement.source, judgement.cause
    if tier == SIMPLE and signals.turns > _TURNS_OF_A_SIMPLE_CONVERSATION:
        tier, source = MODERATE, ComplexitySource.CONVERSATION
        cause = f"{cause}, but after more than {_TURNS_OF_A_SIMPLE_CONVERSATION} turns nothing is simple"
    return replace(
        signals,
        complexity=tier,
        complexity_source=source,
        complexity_score=judgement.score,
        complexity_cause=cause,
        classifier=judgement.classifier,
        asks=judgement.asks,
    )


def _needs(chat: Chat) -> frozenset[Capability]:
    """The capabilities without which a deployment cannot serve the request."""
    needs = []
    if chat.tools or any(message.tool_calls for message in chat.messages):
        needs.append(Capability.TOOLS)
    if any(isinstance(part, ImagePart) for message in chat.messages for part in message.parts):
        needs.append(Capability.VISION)
    if isinstance(chat.response_format, JsonSchemaFormat):
        needs.append(Capability.JSON_SCHEMA)
    elif isinstance(chat.response_format, JsonObjectFormat):
        needs.append(Capability.JSON_OBJECT)
    if chat.parameters.reasoning_effort not in (None, ReasoningEffort.NONE):
        needs.append(Capability.REASONING)
    if chat.parameters.top_logprobs is not None:
        needs.append(Capability.LOGPROBS)
    return frozenset(needs) if needs else _NO_NEEDS
