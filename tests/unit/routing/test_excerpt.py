"""What is read fast is what a plain regular expression finds."""

from __future__ import annotations

import re
from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from router_service.routing.complexity import assess_complexity, complexity_parts
from router_service.routing.excerpt import excerpt, words_of
from router_service.routing.learned import scaled, terms_of, without_politeness

# Letters, digits that count as letters or not, marks, blanks, half a surrogate pair, and what East Asia writes.
CHARACTERS = [*"aZ7_ \n-'’“—…•é²½٣ªßİ\xa0\u2028\u0301\x1c𝒳🎉", "\ud800", *"漢カ한・", "two words", "x1y"]
# So many plain letters that other characters are rare, as they are in most texts.
texts = st.lists(st.sampled_from(CHARACTERS), max_size=20).flatmap(
    lambda parts: st.sampled_from(["".join(parts), "".join(parts) + " plain" * 4 * len(parts), "plain".join(parts)])
)

POLITE = re.compile(
    r"\b(?:please|kindly|hello|hi|hey|thank you|thanks?)\b(?: (?:there|so much|very much|a lot|in advance))*[!,.]*\s*"
    r"|\bquick question\b[:,]?\s*|\b(?:can|could|would) you (?=please\b|kindly\b)"
)
POLITE_PIECES = [
    *(
        "please",
        "kindly",
        "hello",
        "hi",
        "delhi",
        "hey",
        "thank",
        "thanks",
        " you",
        "quick",
        " question",
        "can",
        "work",
    ),
    *(
        " can you ",
        " could you ",
        "would you ",
        " there",
        " so much",
        " in advance",
        "_",
        "1",
        "é",
        " ",
        "\n",
        "!",
        ", ",
    ),
]
FORMULA = re.compile(
    r"\\(?:frac|int|sum|sqrt|lim|partial|begin)\b|\$[^$\n]{3,}\$|\w\s?\^\s?[\dn(]|\d*[a-z]\s?[+*-]\s?\d+\S*\s?=|[a-z]\([a-z]\)\s?="
)


@given(texts)
@example("don’t — ever")
@example("chapter ٣ of the book")
def test_words_are_runs_of_letters(text: str) -> None:
    assert words_of(text.lower()) == re.findall(r"[^\W\d_]+", text.lower())


@given(texts)
@example("it’s 2 × 3 — or 5²")
@example("the sign 山 means mountain, " * 3)
def test_terms_are_words_and_numbers_and_pairs_of_them(text: str) -> None:
    words = re.findall(r"[\u3040-\u30ff\u3400-\u9fff]|[^\W_]{2,}", text.lower())
    assert terms_of(excerpt(text)) == Counter(words) + Counter(pairwise(words))


@given(st.lists(st.sampled_from(POLITE_PIECES)).map("".join))
@example("xcan you please")
@example("so can you please")
def test_what_is_polite_is_found_wherever_it_stands(text: str) -> None:
    assert without_politeness(excerpt(text)).lower.strip() == POLITE.sub("", text).strip()


@given(st.lists(st.sampled_from([*"xnf371^+-*=()$. \n²é", "\\", "\\frac", "{"])).map("".join))
@example("x + 3 =")
@example("n ^ (")
@example("f(x)=")
@example("(x)=")
@example("2 + 3 =")
def test_a_formula_is_mathematics(text: str) -> None:
    found = dict(complexity_parts(excerpt(text)))["mathematics"]
    assert bool(found) == (FORMULA.search(text) is not None)


@pytest.mark.parametrize("work", ["证明", "アルゴリズム", "함수 작성", "다음을 증명"])
def test_a_word_of_east_asia_counts_in_a_text_of_latin_letters(work: str) -> None:
    text = "This sentence is here to be long, and says little. "
    assert assess_complexity(excerpt(text + work)) > assess_complexity(excerpt(text)) + 0.05


@given(st.lists(st.tuples(st.floats(-1e9, 1e9), st.floats(-1e9, 1e9), st.floats(1e-3, 1e9))))
def test_a_figure_is_at_most_three_deviations_away(figures: list[tuple[float, float, float]]) -> None:
    wanted = [max(-3.0, min(3.0, (figure - mean) / spread)) for figure, mean, spread in figures]
    assert scaled([figure for figure, _, _ in figures], [(mean, spread) for _, mean, spread in figures]) == wanted
