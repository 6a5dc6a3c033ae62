from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router_service.routing.excerpt import excerpt
from router_service.routing.language import detect_language


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("en", "What is the capital of France?"),
        ("de", "Wie geht es dir heute?"),
        ("fr", "Bonjour, comment est-ce que je peux changer mon mot de passe ?"),
        ("es", "¿Dónde está la biblioteca?"),
        ("it", "Come posso cambiare la mia password? Non la ricordo."),
        ("pt", "Qual é a capital do Brasil? Você sabe?"),
        ("nl", "Hoe laat is het en waar ben je?"),
        ("sv", "Hej, hur mår du och vad gör du?"),
        ("pl", "Jak się masz i co jest dla ciebie ważne?"),
        ("tr", "Bu nedir ve nasıl çalışır?"),
        ("id", "Apa yang bisa saya lakukan untuk anda?"),
        ("vi", "Tôi có thể giúp gì cho bạn?"),
        ("zh", "请解释一下什么是机器学习"),
        ("zh", "用Python写一个快速排序算法"),
        ("ja", "東京の天気を教えてください"),
        ("ko", "오늘 날씨가 어때요?"),
        ("ru", "Напиши стихотворение о море"),
        ("uk", "Привіт, як справи?"),
        ("bg", "Къде е гарата?"),
        ("ar", "ما هي عاصمة فرنسا؟"),
        ("fa", "پایتخت فرانسه چیست؟"),
        ("el", "Ποια είναι η πρωτεύουσα της Γαλλίας;"),
        ("he", "מהי בירת צרפת?"),
        ("th", "สวัสดีครับ วันนี้อากาศเป็นอย่างไร"),
        ("hi", "फ्रांस की राजधानी क्या है?"),
    ],
)
def test_tells_the_language(language: str, text: str) -> None:
    assert detect_language(excerpt(text)) == language


@pytest.mark.parametrize("text", ["", "Hello", "x = y + 1", "a1b2c3d4e5f6", "12, 34, 56", "{'id': 1, 'e': 2}", "🎉"])
def test_says_nothing_where_the_text_does_not_tell(text: str) -> None:
    assert detect_language(excerpt(text)) == ""


def test_a_foreign_name_does_not_change_the_language() -> None:
    assert detect_language(excerpt("What does the name 東京 mean, and how is it written in Latin letters?")) == "en"


@given(st.text())
def test_any_text_gets_a_short_tag_or_none(text: str) -> None:
    assert len(detect_language(excerpt(text))) in (0, 2)
