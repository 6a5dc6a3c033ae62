"""The report: the same in sentences, as data and as a page on which nothing hostile acts."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser

from router_service.lab.comparison import Bar
from router_service.lab.markup import safe
from router_service.lab.page import page
from router_service.lab.report import Report, as_data, caveats, conclusions, report_on
from router_service.lab.trials import Judging, Source
from tests.unit.lab.made_trials import trial, trials

HOSTILE = (
    "</pre><script>alert(1)</script><img src=x onerror=alert(2)>\"'><style>*{display:none}</style>"
    '<a href="https://evil.example/">x</a><svg onload=alert(3)>&lt;b&gt; \x1b[31m\x00\u202egnp\ud800 java:alert(4)'
)
ALLOWED = {
    "html", "head", "meta", "title", "style", "body", "main", "header", "p", "h1", "h2", "h3", "h4", "section", "ul",
    "li", "figure", "svg", "line", "text", "g", "circle", "div", "table", "thead", "tbody", "tr", "th", "td", "span",
    "select", "option", "label", "input", "output", "article", "pre", "small", "script",
}  # fmt: skip


class Seen(HTMLParser):
    """What a browser would make of the page."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self._raw = ""
        self.raw: dict[str, list[str]] = {"script": [], "style": []}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._raw = tag if tag in self.raw else ""

    def handle_endtag(self, tag: str) -> None:
        self._raw = ""

    def handle_data(self, data: str) -> None:
        (self.raw[self._raw] if self._raw else self.texts).append(data)


def report(**more: object) -> Report:
    made = [
        *trials("dear", [1.0] * 60, cost=9_000, feature="faq"),
        *trials("cheap", [1.0] * 58 + [0.0, 0.0], cost=1_000, feature="chat"),
    ]
    return report_on("set.jsonl", made, Bar(0.85), **more)  # type: ignore[arg-type]


def seen(text: str) -> Seen:
    parser = Seen()
    parser.feed(text)
    parser.close()
    return parser


def test_hostile_texts_are_shown_and_do_nothing() -> None:
    made = [
        trial("1", HOSTILE, answer=HOSTILE, prompt=HOSTILE, feature=HOSTILE, path=(HOSTILE,), request_id=HOSTILE),
        trial(HOSTILE, "b", None, answer=None, error=HOSTILE, feature="x", cost=7),
        *trials("b", [1.0] * 6),
    ]
    judging = Judging(judge=HOSTILE, graded=1, cost=1, unpriced=1, failures={HOSTILE: 1}, is_compared=True)
    text = page(report_on(HOSTILE, made, Bar(0.9, is_relative=True), judging=judging, notes=[HOSTILE]))
    found = seen(text)
    assert {tag for tag, _ in found.tags} <= ALLOWED
    assert len(found.raw["script"]) == len(found.raw["style"]) == 1
    names = {name for _, attributes in found.tags for name in attributes}
    assert not [name for name in names if name.startswith("on") or name in {"style", "href", "src", "action"}]
    shown = "".join(found.texts)
    assert "<script>alert(1)</script>" in shown
    assert "\\u001b[31m\\u0000\\u202egnp\\ud800" in shown
    assert not [one for one in shown if not one.isprintable() and not one.isspace()]
    text.encode()


def test_the_page_loads_nothing_and_its_policy_knows_its_own_script_and_style() -> None:
    text = page(report())
    found = seen(text)
    [policy] = [attributes["content"] for _, attributes in found.tags if "http-equiv" in attributes]
    assert policy is not None
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    for kind in ("script", "style"):
        [content] = found.raw[kind]
        hashed = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert rules.pop(f"{kind}-src") == f"'sha256-{hashed}'"
    assert rules == {"default-src": "'none'", "base-uri": "'none'", "form-action": "'none'"}
    assert not re.search(r"(?i)https?:|url\(|@import|//\w", text.replace("// Shows", ""))
    assert "prefers-color-scheme: dark" in text


def test_the_filters_have_what_they_filter_by() -> None:
    made = [*trials("a", [1.0, 1.0, None], feature="x"), *trials("b", [1.0, 0.0, 1.0], feature="x")]
    made[2] = trial("p2", "a", None, feature="x", error="DEADLINE_EXCEEDED", answer=None)
    found = seen(page(report_on("set", made, Bar(0.9))))
    articles = [attributes for tag, attributes in found.tags if tag == "article"]
    assert [("data-apart" in one, "data-failed" in one) for one in articles] == [
        (False, False),
        (True, False),
        (False, True),
    ]
    assert {one["data-feature"] for one in articles} == {"x"}
    ids = {attributes.get("id") for _, attributes in found.tags}
    script = found.raw["script"][0]
    assert set(re.findall(r'getElementById\("(\w+)"\)', script)) <= ids


def test_texts_that_are_not_known_are_said_to_be_so() -> None:
    made = trials("arm", [1.0] * 6, prompt=None, answer=None)
    shown = "".join(seen(page(report_on("recorded", made, Bar(0.9)))).texts)
    assert "the prompt is not known" in shown
    assert "the answer is not known" in shown


def test_nothing_at_all_makes_a_page() -> None:
    empty = report_on("set", [], Bar(0.9))
    assert "None is known" in page(empty)
    assert json.dumps(as_data(empty))


def test_the_conclusion_names_the_cheapest_with_its_uncertainty() -> None:
    [first] = conclusions(report())
    assert first == (
        "cheap is the cheapest that meets the bar of quality 0.85, with 95% confidence (quality 0.967 "
        "(0.885-0.996), n = 60, $0.001 per 1,000 calls; 89% less than dear, the best)."
    )
    made = [*trials("dear", [1.0] * 20, cost=9), *trials("cheap", [1.0] * 19 + [0.0], cost=1)]
    stay, cheaper = conclusions(report_on("set", made, Bar(0.98, is_relative=True)))
    assert "stay with dear" in stay
    assert re.fullmatch(
        r"cheap is cheaper: cannot tell with 20 prompts \(-0\.030 \(.*about [\d,]+ would tell.*", cheaper
    )


def test_what_weakens_the_evidence_is_said() -> None:
    judging = Judging(judge="dear", graded=3, cost=1, unpriced=0, failures={"NO_GRADE": 2}, is_compared=True)
    told = " ".join(caveats(report(judging=judging, notes=["It broke off."])))
    assert told.startswith("It broke off. dear judged answers of its own")
    assert "no usable grade for 2 answers (NO_GRADE 2)" in told
    assert "adjusted for the 2 subjects (Holm)" in told
    gates = caveats(report_on("set", trials("a", [1.0] * 6, source=Source.GATES), Bar(0.9)))
    assert gates[0].startswith("Quality is only what gates")


def test_data_has_every_call_and_all_figures() -> None:
    data = json.loads(json.dumps(as_data(report())))
    assert data["cheapest_that_meets"] == "cheap"
    assert len(data["trials"]) == 120
    assert data["trials"][0].keys() >= {"request_id", "cost", "path", "quality", "source"}
    cheap = data["subjects"][0]
    assert (cheap["subject"], cheap["standing"]["standing"], cheap["cost_per_1000"]) == ("cheap", "meets", 1_000_000)
    assert data["features"].keys() == {"chat", "faq"}


def test_spaces_stay_as_they_are() -> None:
    assert safe("a\n\tb\u00a0c 你好") == "a\n\tb\u00a0c 你好"
