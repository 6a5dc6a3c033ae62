from __future__ import annotations

import pytest
from routing_values import call, deployment, one_of, rule, said, table

from router_service.domain.call import Wishes
from router_service.domain.chat import (
    Chat,
    ImagePart,
    JsonObjectFormat,
    JsonSchemaFormat,
    Message,
    Parameters,
    ReasoningEffort,
    Role,
    Tool,
    ToolCall,
)
from router_service.domain.decision import ComplexitySource
from router_service.domain.deployment import Capability
from router_service.domain.error import NotFound, Reason
from router_service.domain.policy import When
from router_service.routing.assess import assess

TABLE = table(
    rule("creative", [deployment("a")], When(complexity=one_of("creative"))),
    rule("rest", [deployment("b")]),
    complexities=frozenset({"simple", "moderate", "complex", "factual"}),
)
HARD = "Design a distributed rate limiter and analyse the trade-offs step by step."


def user(text: str) -> Message:
    return said(Role.USER, text)


def turns(number: int, last: str) -> tuple[Message, ...]:
    earlier = [message for _ in range(number - 1) for message in (user("Go on"), said(Role.ASSISTANT, "Yes."))]
    return (*earlier, user(last))


def test_the_last_user_message_decides_complexity_and_language() -> None:
    known = assess(call(user(HARD), said(Role.ASSISTANT, "Sicher."), user("Danke, das ist gut und reicht mir")), TABLE)
    assert (known.complexity, known.language, known.turns) == ("simple", "de", 2)


def test_the_caller_knows_the_language_best() -> None:
    assert assess(call(user("Hello there, how are you?"), language=" zh-CN "), TABLE).language == "zh-cn"


@pytest.mark.parametrize(
    ("given", "understood"),
    [
        pytest.param("complex", "complex", id="built in"),
        pytest.param("Factual", "factual", id="a word of the policy"),
        pytest.param("creative", "creative", id="a word of a rule"),
        pytest.param("rather hard", "moderate", id="no word of the policy"),
    ],
)
def test_the_callers_complexity_wins(given: str, understood: str) -> None:
    known = assess(call(*turns(12, "Thanks"), complexity=given), TABLE)
    assert known.complexity == understood
    assert known.complexity_source is ComplexitySource.CALLER
    assert known.complexity_score is None


def test_more_than_ten_turns_are_at_least_moderate() -> None:
    ten, eleven = assess(call(*turns(10, "Thanks")), TABLE), assess(call(*turns(11, "Thanks")), TABLE)
    assert (ten.complexity, ten.complexity_source) == ("simple", ComplexitySource.HEURISTIC)
    assert (eleven.complexity, eleven.complexity_source) == ("moderate", ComplexitySource.CONVERSATION)


def test_a_long_conversation_does_not_make_complex_work_moderate() -> None:
    known = assess(call(*turns(11, HARD)), TABLE)
    assert (known.complexity, known.complexity_source) == ("complex", ComplexitySource.HEURISTIC)


HELLO = user("Hello")


@pytest.mark.parametrize(
    ("chat", "needs"),
    [
        pytest.param(Chat(messages=(HELLO,)), set(), id="plain text"),
        pytest.param(Chat(messages=(HELLO,), tools=(Tool(name="f"),)), {Capability.TOOLS}, id="tools"),
        pytest.param(
            Chat(
                messages=(
                    HELLO,
                    Message(role=Role.ASSISTANT, tool_calls=(ToolCall(id="1", name="f", arguments_json=""),)),
                )
            ),
            {Capability.TOOLS},
            id="tools called before",
        ),
        pytest.param(
            Chat(messages=(Message(role=Role.USER, parts=(ImagePart(data=b"x"),)),)),
            {Capability.VISION},
            id="a picture",
        ),
        pytest.param(Chat(messages=(HELLO,), response_format=JsonObjectFormat()), {Capability.JSON_OBJECT}, id="JSON"),
        pytest.param(
            Chat(messages=(HELLO,), response_format=JsonSchemaFormat(name="a", schema_json="{}")),
            {Capability.JSON_SCHEMA},
            id="JSON by a schema",
        ),
        pytest.param(
            Chat(messages=(HELLO,), parameters=Parameters(reasoning_effort=ReasoningEffort.LOW)),
            {Capability.REASONING},
            id="reasoning",
        ),
        pytest.param(
            Chat(messages=(HELLO,), parameters=Parameters(reasoning_effort=ReasoningEffort.NONE)),
            set(),
            id="no reasoning",
        ),
        pytest.param(
            Chat(messages=(HELLO,), parameters=Parameters(top_logprobs=0)),
            {Capability.LOGPROBS},
            id="log-probabilities",
        ),
    ],
)
def test_needs_follow_from_the_request(chat: Chat, needs: set[Capability]) -> None:
    assert assess(call(chat=chat), TABLE).needs == needs


def test_calibration_scales_the_token_estimate() -> None:
    asked = call(user(HARD * 20))
    assert assess(asked, TABLE, 2.0).input_tokens == pytest.approx(2 * assess(asked, TABLE).input_tokens, abs=1)


def test_a_call_without_user_messages_is_judged_by_its_last() -> None:
    known = assess(call(said(Role.SYSTEM, "You are kind."), said(Role.ASSISTANT, HARD)), TABLE)
    assert (known.complexity, known.turns) == ("complex", 0)


def test_an_unknown_policy_is_not_found_and_a_close_one_named() -> None:
    with pytest.raises(NotFound, match="Did you mean default") as caught:
        assess(call(wishes=Wishes(policy="defualt")), TABLE)
    assert caught.value.reason is Reason.POLICY_NOT_FOUND
