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
        ("en", "hello"),
        ("en", "thanks a lot!"),
        ("en", "Implement quicksort in rust"),
        ("en", "Tag these tickets."),
        ("de", "Danke"),
        ("de", "Guten Morgen"),
        ("de", "Hallo, wie geht's?"),
        ("de", "Wann öffnet das Museum"),
        ("de", "Beweise, dass es unendlich viele Primzahlen gibt."),
        ("it", "Dov'è il mio pacco?"),
        ("fr", "Merci"),
        ("es", "Gracias"),
        ("pt", "Obrigado"),
        ("tr", "Merhaba"),
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


@pytest.mark.parametrize(
    "text", ["", "Quicksort", "x = y + 1", "a1b2c3d4e5f6", "12, 34, 56", "{'id': 1, 'e': 2}", "🎉"]
)
def test_says_nothing_where_the_text_does_not_tell(text: str) -> None:
    assert detect_language(excerpt(text)) == ""


def test_a_foreign_name_does_not_change_the_language() -> None:
    assert detect_language(excerpt("What does the name 東京 mean, and how is it written in Latin letters?")) == "en"


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("en", "Translate '你好世界，今天天气很好' to English please"),
        ("en", "What does “Wie geht es dir heute?” mean?"),
        ("zh", "请把「Could you tell me where the station is?」翻译成中文"),
        ("de", 'Übersetze das bitte: "The cat is on the table and it is not happy."'),
    ],
)
def test_a_quotation_does_not_change_the_language(language: str, text: str) -> None:
    assert detect_language(excerpt(text)) == language


def test_a_text_that_is_all_quotation_has_its_language() -> None:
    assert detect_language(excerpt("'你好世界，今天天气很好'")) == "zh"


def test_apostrophes_open_no_quotation() -> None:
    assert detect_language(excerpt("l'acqua e' finita e non so dov'è il mio pacco, com'è possibile?")) == "it"


@given(st.text())
def test_any_text_gets_a_short_tag_or_none(text: str) -> None:
    assert len(detect_language(excerpt(text))) in (0, 2)
