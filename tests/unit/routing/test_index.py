from __future__ import annotations

import itertools
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st
from routing_values import call, deployment, none_of, one_of, rule, signals

from router_service.domain.call import Caller
from router_service.domain.decision import Signals
from router_service.domain.deployment import Capability
from router_service.domain.policy import RangeMatch, Rule, TextMatch, When
from router_service.routing.index import RuleIndex

ANYONE = [deployment("any")]

VALUES = st.sampled_from(["", "a", "b", "c"])
TEXTS = st.none() | st.builds(
    TextMatch,
    any_of=st.none() | st.frozensets(VALUES),
    none_of=st.frozensets(VALUES),
)
RANGES = st.none() | st.builds(
    RangeMatch, at_least=st.none() | st.integers(0, 5), at_most=st.none() | st.integers(0, 5)
)
NEEDS = st.frozensets(st.sampled_from([Capability.TOOLS, Capability.VISION]))
WHENS = st.builds(
    When,
    feature=TEXTS,
    tier=TEXTS,
    task_type=TEXTS,
    complexity=TEXTS,
    language=TEXTS,
    labels=st.dictionaries(VALUES, TEXTS.filter(lambda text: text is not None), max_size=2),
    input_tokens=RANGES,
    turns=RANGES,
    needs=NEEDS,
    needs_none_of=NEEDS,
)
SIMPLE = st.builds(When, feature=TEXTS, tier=TEXTS, input_tokens=RANGES, needs=NEEDS)
CALLERS = st.builds(
    Caller, feature=VALUES, tier=VALUES, task_type=VALUES, labels=st.dictionaries(VALUES, VALUES, max_size=2)
)
SIGNALS = st.builds(
    signals,
    complexity=VALUES,
    language=VALUES,
    input_tokens=st.integers(0, 5),
    turns=st.integers(0, 5),
    needs=NEEDS,
)


def holds(when: When, caller: Caller, known: Signals) -> bool:
    """A rule's meaning, read off its definition."""
    texts = [
        (when.feature, caller.feature),
        (when.tier, caller.tier),
        (when.task_type, caller.task_type),
        (when.complexity, known.complexity),
        (when.language, known.language),
        *((condition, caller.labels.get(name, "")) for name, condition in when.labels.items()),
    ]
    ranges = [(when.input_tokens, known.input_tokens), (when.turns, known.turns)]
    return (
        all(condition is None or condition.accepts(value) for condition, value in texts)
        and all(condition is None or condition.accepts(value) for condition, value in ranges)
        and when.needs <= known.needs
        and when.needs_none_of.isdisjoint(known.needs)
    )


@given(st.lists(WHENS, max_size=8), CALLERS, SIGNALS)
def test_finds_the_same_rule_as_reading_them_one_by_one(whens: list[When], caller: Caller, known: Signals) -> None:
    rules = [rule(str(number), ANYONE, when) for number, when in enumerate(whens)]
    first = next((made for made in rules if holds(made.when, caller, known)), None)
    assert RuleIndex(rules).first_match(caller, known) is first


def first(rules: list[Rule], known: Signals | None = None, **caller: object) -> str:
    found = RuleIndex(rules).first_match(call(**caller).caller, known or signals())
    return found.name if found else ""


def test_values_match_in_any_case() -> None:
    rules = [rule("free", ANYONE, When(tier=one_of("free"), labels={"team": one_of("blue")}))]
    assert first(rules, tier="Free", labels={"team": "BLUE"}) == "free"


def test_the_primary_language_counts() -> None:
    rules = [rule("chinese", ANYONE, When(language=one_of("zh")))]
    assert first(rules, signals(language="zh-cn")) == "chinese"
    assert first(rules, signals(language="ja")) == ""


def test_a_label_that_is_not_given_is_not_one_of_any() -> None:
    rules = [
        rule("some", ANYONE, When(labels={"team": one_of("blue")})),
        rule("others", ANYONE, When(labels={"team": none_of("blue")})),
    ]
    assert first(rules) == "others"


def test_the_first_of_ten_thousand_rules_is_found() -> None:
    rules = [
        rule(f"{number}", ANYONE, When(feature=one_of(f"feature-{number}"), tier=none_of("free")))
        for number in range(10_000)
    ]
    rules += [rule("again", ANYONE, When(feature=one_of("feature-9999"))), rule("rest", ANYONE)]
    assert first(rules, feature="feature-9999", tier="pro") == "9999"
    assert first(rules, feature="feature-9999", tier="free") == "again"
    assert first(rules, feature="unheard-of") == "rest"


def test_only_rules_that_pass_the_index_are_read() -> None:
    """What makes ten thousand rules as fast as ten."""
    read: list[str] = []

    class Watched(frozenset):  # type: ignore[type-arg]
        def __init__(self, name: str) -> None:
            self.name = name

        def __new__(cls, name: str) -> Watched:
            return super().__new__(cls)

        def __le__(self, other: object) -> bool:
            read.append(self.name)
            return True

    rules = [
        rule(f"{number}", ANYONE, When(tier=one_of(f"tier-{number}"), needs=Watched(f"{number}")))
        for number in range(1000)
    ]
    assert first(rules, tier="tier-700") == "700"
    assert read == ["700"]


@settings(max_examples=60)
@given(earlier=SIMPLE, later=SIMPLE, same=st.sets(st.sampled_from(["feature", "tier", "input_tokens", "needs"])))
def test_a_rule_that_an_earlier_one_covers_is_never_reached(earlier: When, later: When, same: set[str]) -> None:
    # Few differences, so that it is covered often enough.
    later = replace(later, **{name: getattr(earlier, name) for name in same})
    index = RuleIndex([rule("earlier", ANYONE, earlier), rule("later", ANYONE, later)])
    reached = {
        found.name
        for feature, tier, tokens, needs in itertools.product(
            "abd", "abd", range(7), [frozenset(), frozenset({Capability.TOOLS})]
        )
        if (found := index.first_match(Caller(feature=feature, tier=tier), signals(input_tokens=tokens, needs=needs)))
    }
    assert earlier.covers(earlier)
    assert not (earlier.covers(later) and "later" in reached)


def test_a_text_match_covers_what_accepts_no_more() -> None:
    some = [frozenset(some) for some in ((), ("a",), ("b",), ("a", "b"))]
    matches = [TextMatch(any_of=any_of, none_of=none_of) for any_of in (None, *some) for none_of in some]
    for wide, narrow in itertools.product(matches, matches):
        accepted = [value for value in "abc" if narrow.accepts(value)]
        assert wide.covers(narrow) == all(wide.accepts(value) for value in accepted), (wide, narrow)


def test_a_range_covers_what_accepts_no_more() -> None:
    bounds = [*itertools.product((None, 1, 2), (None, 2, 3))]
    ranges = [RangeMatch(at_least=low, at_most=high) for low, high in bounds]
    for wide, narrow in itertools.product(ranges, ranges):
        accepted = [value for value in range(5) if narrow.accepts(value)]
        assert wide.covers(narrow) == all(wide.accepts(value) for value in accepted), (wide, narrow)
