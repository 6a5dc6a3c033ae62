from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router_service.domain.chat import (
    Chat,
    ImagePart,
    JsonSchemaFormat,
    Message,
    Role,
    TextPart,
    Tool,
    ToolCall,
)
from router_service.routing.tokens import estimate_input_tokens, estimate_text_tokens

PROSE = (
    "My order 4711 has not arrived yet. The tracking page says it left the warehouse last Tuesday, but nothing has "
    "happened since. Can you tell me where it is and when I will get it? I would also like to know how to return the "
    "lamp, because one of its screws is missing."
)
CODE = '''def moving_average(values: list[float], window: int) -> list[float]:
    """Return the mean of each window of consecutive values."""
    if window < 1:
        raise ValueError("window must be positive")
    total = sum(values[:window])
    means = [total / window]
    for index in range(window, len(values)):
        total += values[index] - values[index - window]
        means.append(total / window)
    return means
'''
JSON = (
    '{"order_id": 48213, "customer": {"name": "Anna Schmidt", "email": "anna@example.com", "tier": "gold"}, "items": '
    '[{"sku": "LAMP-204", "quantity": 2, "price": 39.9}, {"sku": "BULB-11", "quantity": 6, "price": 4.5}], '
    '"created_at": "2026-11-04T12:31:08Z", "paid": true}'
)
CHINESE = (
    "请把下面这段文字翻译成英文，并且保持语气正式。我们非常感谢您一直以来的支持，公司计划在下个季度推出新产品，"
    "请您根据市场情况制定一份详细的营销方案，包括预算、渠道和时间表。"
)
JAPANESE = (
    "来週の会議の議事録を要約して、決定事項と担当者を一覧にしてください。"
    "期限が過ぎている作業があれば、それも教えてください。"
)
KOREAN = (
    "다음 주 회의록을 요약하고 결정된 사항과 담당자를 목록으로 정리해 주세요. "
    "기한이 지난 작업이 있으면 함께 알려 주세요."
)
GERMAN = (
    "Bitte fassen Sie den folgenden Bericht in drei Sätzen zusammen und nennen Sie die wichtigsten Zahlen. Achten Sie "
    "darauf, dass die Zusammenfassung auch für Leser ohne Vorkenntnisse verständlich ist."
)
BASE64 = base64.b64encode(bytes(range(200))).decode()


@pytest.mark.parametrize(
    ("text", "counted"),
    [
        pytest.param(PROSE, 61, id="prose"),
        pytest.param(CODE, 96, id="code"),
        pytest.param(JSON, 106, id="json"),
        pytest.param(CHINESE, 54, id="chinese"),
        pytest.param(JAPANESE, 42, id="japanese"),
        pytest.param(KOREAN, 35, id="korean"),
        pytest.param(GERMAN, 41, id="german"),
        pytest.param(BASE64, 179, id="base64"),
    ],
)
def test_estimates_are_within_15_percent_of_o200k(text: str, counted: int) -> None:
    assert estimate_text_tokens(text) == pytest.approx(counted, rel=0.15)


def test_no_text_is_no_tokens() -> None:
    assert estimate_text_tokens("") == 0


def test_calibration_scales_the_estimate() -> None:
    assert estimate_text_tokens(PROSE * 10, 1.3) == pytest.approx(estimate_text_tokens(PROSE * 10) * 1.3, abs=1)


@given(st.text(), st.text())
def test_a_longer_text_is_never_fewer_tokens_by_more_than_the_seam(first: str, second: str) -> None:
    assert estimate_text_tokens(first + second) >= estimate_text_tokens(first) - 1


@given(st.text(alphabet=st.characters(categories=("L", "N", "P", "S", "Z", "Cs"))))
def test_any_text_has_an_estimate_even_with_lone_surrogates(text: str) -> None:
    assert 0 <= estimate_text_tokens(text) <= 3 * len(text) + 1


def chat_with(**changes: object) -> Chat:
    return Chat(**{"messages": (Message(role=Role.USER, parts=(TextPart(PROSE),)),), **changes})  # type: ignore[arg-type]


def test_messages_have_framing() -> None:
    text = estimate_text_tokens(PROSE)
    assert text < estimate_input_tokens(chat_with()) <= text + 8


def test_every_message_counts() -> None:
    message = Message(role=Role.USER, parts=(TextPart(PROSE),))
    once, thrice = chat_with(), chat_with(messages=(message,) * 3)
    assert estimate_input_tokens(thrice) == pytest.approx(3 * estimate_input_tokens(once), abs=8)


def test_tools_and_their_schema_count() -> None:
    tool = Tool(name="find_order", description="Look up an order by its number.", parameters_json=JSON)
    assert estimate_input_tokens(chat_with(tools=(tool,))) > estimate_input_tokens(chat_with()) + 100


def test_the_schema_of_the_answer_counts() -> None:
    schema = JsonSchemaFormat(name="order", schema_json=JSON)
    assert estimate_input_tokens(chat_with(response_format=schema)) > estimate_input_tokens(chat_with()) + 90


def test_tool_calls_in_the_conversation_count() -> None:
    asked = Message(role=Role.ASSISTANT, tool_calls=(ToolCall(id="1", name="find_order", arguments_json=JSON),))
    assert estimate_input_tokens(Chat(messages=(asked,))) > 100


def test_pictures_count_by_their_detail() -> None:
    def with_picture(detail: str | None) -> int:
        picture = ImagePart(url="https://example.com/a.png", detail=detail)
        return estimate_input_tokens(Chat(messages=(Message(role=Role.USER, parts=(picture,)),)))

    assert with_picture("low") < 100
    assert with_picture(None) == with_picture("high") > 700
