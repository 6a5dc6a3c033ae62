from __future__ import annotations

import pytest
from routing_values import none_of, one_of

from router_service.domain.deployment import Capability
from router_service.domain.policy import RangeMatch, TextMatch, When
from router_service.routing.words import in_words


@pytest.mark.parametrize(
    ("when", "words"),
    [
        (When(), "every call"),
        (When(tier=one_of("free")), "tier is free"),
        (When(feature=one_of("draft", "summary", "ads")), "feature is ads, draft or summary"),
        (When(tier=none_of("free")), "tier is not free"),
        (When(tier=one_of("")), "tier is empty"),
        (
            When(tier=TextMatch(any_of=frozenset({"pro"}), none_of=frozenset({"free"}))),
            "tier is pro and is not free",
        ),
        (When(task_type=one_of("faq"), complexity=one_of("simple")), "task type is faq and complexity is simple"),
        (When(language=one_of("zh"), labels={"team": one_of("blue")}), "language is zh and label team is blue"),
        (When(input_tokens=RangeMatch(at_least=1000)), "input tokens at least 1000"),
        (When(turns=RangeMatch(at_most=3)), "turns at most 3"),
        (When(turns=RangeMatch(at_least=2, at_most=3)), "turns from 2 to 3"),
        (When(needs=frozenset({Capability.TOOLS, Capability.VISION})), "it needs tools and vision"),
        (When(needs_none_of=frozenset({Capability.TOOLS})), "it does not need tools"),
        (When(feature=one_of(*"abcdefgh")), "feature is a, b, c, d, e, f or 2 more"),
    ],
)
def test_conditions_read_as_a_sentence(when: When, words: str) -> None:
    assert in_words(when) == words
