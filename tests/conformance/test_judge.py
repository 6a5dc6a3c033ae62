"""The judge and the tally find what is wrong: without that the golden cases would show nothing."""

from __future__ import annotations

import asyncio
import copy
import sys
from typing import Any

import pytest

from tests.conformance import run as driver
from tests.conformance.cases import Case, filled, load, merged
from tests.conformance.judge import Unreadable, normal, problems
from tests.conformance.python_runner import CLIENTS, Control, run
from tests.conformance.serve import Fixture
from tests.conformance.session import Session

EVENTS: list[dict[str, Any]] = [
    {"decision": {"policy": "default"}},
    {"attempt_started": {"attempt": 1, "deployment": "one"}},
    {"textDelta": {"attempt": 1, "text": "Half an ans"}},
    {"attemptDiscarded": {"attempt": 1, "fromSequence": "3", "reason": "STREAM_TRUNCATED"}},
    {"attemptStarted": {"attempt": 2, "deployment": "two"}},
    {"textDelta": {"attempt": 2, "text": "A whole "}},
    {"textDelta": {"attempt": 2, "text": "one."}},
    {
        "finished": {
            "message": {"role": "ROLE_ASSISTANT", "parts": [{"text": "A whole one."}]},
            "finishReason": "FINISH_REASON_STOP",
            "receipt": {"requestId": "r-1", "costNanoUsd": 62400},
        }
    },
]
CALL = {
    "method": "StreamComplete",
    "want": {
        "events": [
            "decision",
            "attemptStarted",
            "textDelta+",
            "attemptDiscarded",
            "attemptStarted",
            "textDelta+",
            "finished",
        ],
        "answer": {"text": "A whole one.", "finishReason": "stop", "receipt": {"costNanoUsd": "62400"}},
    },
}


def judged(events: list[dict[str, Any]], **more: Any) -> list[str]:
    return problems(CALL, normal("StreamComplete", {"requestId": "r-1", "events": events, **more}))


def test_a_right_stream_has_no_problems_however_a_language_prints_it() -> None:
    assert judged(EVENTS) == []


@pytest.mark.parametrize(
    ("position", "change"),
    [
        (2, {"reasoningDelta": {"attempt": 1, "text": "Half an ans"}}),
        (3, {"decision": {}}),
        (5, {"textDelta": {"attempt": 2, "text": "No whole "}}),
        (6, {"textDelta": {"attempt": 1, "text": ""}}),
        (7, {"finished": {"finishReason": "FINISH_REASON_STOP", "receipt": {"costNanoUsd": 62401}}}),
        (7, {"finished": {"finishReason": "FINISH_REASON_LENGTH", "receipt": {"costNanoUsd": 62400}}}),
    ],
)
def test_one_wrong_event_is_found(position: int, change: dict[str, Any]) -> None:
    events = copy.deepcopy(EVENTS)
    events[position] = change
    assert judged(events) != []


@pytest.mark.parametrize("left_out", range(len(EVENTS)))
def test_a_missing_event_is_found(left_out: int) -> None:
    events = EVENTS[:left_out] + EVENTS[left_out + 1 :]
    # Of two deltas in a row one may be left out as far as the order goes, but not of the text.
    assert judged(events) != []


@pytest.mark.parametrize("more", [{"error": {"code": "UNAVAILABLE"}}, {"cancelled": True}, {"requestId": ""}])
def test_what_nobody_wanted_is_found(more: dict[str, Any]) -> None:
    assert judged(EVENTS, **more) != []


@pytest.mark.parametrize(
    ("want", "outcome"),
    [
        ({"error": {"code": "NOT_FOUND"}}, {"requestId": "r", "error": {"code": "INTERNAL"}}),
        ({"error": {"code": "NOT_FOUND"}}, {"requestId": "r", "answer": {"text": ""}}),
        ({"error": {"retryAfterMs": {"$any": False}}}, {"requestId": "r", "error": {"retryAfterMs": 1}}),
        (
            {"error": {"retryAfterMs": {"$atLeast": 2, "$atMost": 9}}},
            {"requestId": "r", "error": {"retryAfterMs": 10}},
        ),
        ({"error": {"message": {"$contains": "key"}}}, {"requestId": "r", "error": {"message": "no"}}),
        ({"response": {"deployments": {"$length": 2}}}, {"response": {"deployments": [{"id": "one"}]}}),
        ({"response": {"deployments": [{"healthy": True}]}}, {"response": {"deployments": [{"id": "one"}]}}),
        ({"cancelled": True}, {}),
        ({"answr": {"text": "a typing mistake in a case"}}, {"requestId": "r", "answer": {"text": "a"}}),
    ],
)
def test_other_outcomes_than_wanted_are_found(want: dict[str, Any], outcome: dict[str, Any]) -> None:
    assert problems({"method": "ListModels", "want": want}, normal("ListModels", outcome)) != []


@pytest.mark.parametrize("outcome", [{"txet": ""}, {"events": [{"noEvent": {}}]}, {"answer": {"message": "Hi"}}])
def test_an_unreadable_report_is_refused(outcome: dict[str, Any]) -> None:
    with pytest.raises(Unreadable):
        normal("StreamComplete", outcome)


def test_placeholders_and_changes_are_written_out() -> None:
    known = {"keys": {"acme": "rk_1"}, "calls": [{"token": "t"}]}
    assert filled({"a": "${keys.acme}", "b": ["x ${calls.0.token}", {"$repeat": ["ab", 2]}]}, known) == {
        "a": "rk_1",
        "b": ["x t", "abab"],
    }
    many = {"$many": {"name": "m", "times": 2, "is": {"provider": "p"}}}
    assert merged({"a": {"b": 1, "c": 2}, "d": {"x": 3}}, {"a": {"c": None, "e": 4}, "d": many}) == {
        "a": {"b": 1, "e": 4},
        "d": {"x": 3, "m-0001": {"provider": "p"}, "m-0002": {"provider": "p"}},
    }


async def test_what_the_provider_saw_counts() -> None:
    case = load()["unary/plain"]
    wrong = Case(name=case.name, description=case.description, calls=case.calls, upstream=[])
    async with Fixture({case.name: wrong}) as fixture:
        found = await run(Control(fixture.url), case.name, CLIENTS["awaited"])
        assert [problem.partition(":")[0] for problem in found] == ["upstream"]
        assert list(fixture.failed) == [case.name]
        assert fixture.passed == []


async def test_a_case_that_was_begun_and_not_ended_has_failed() -> None:
    case = load()["unary/plain"]
    async with Fixture({case.name: case}) as fixture:
        await Control(fixture.url).begin(case.name)
        assert list(fixture.failed) == [case.name]


async def test_each_session_has_limits_and_prices_of_its_own() -> None:
    sessions = [Session(load()["rate_limit/requests"]) for _ in range(2)]
    await asyncio.gather(*(session.start() for session in sessions))
    assert len({session.target for session in sessions}) == 2
    await asyncio.gather(*(session.stop() for session in sessions))


@pytest.mark.parametrize(("code", "sound"), [("print('Hello')", True), ("pass", False), ("print(1/0)", False)])
async def test_an_example_that_fails_or_says_nothing_is_found(code: str, sound: bool) -> None:
    language = driver.Language(name="one", command=(), examples=((sys.executable, "-c", code),))
    assert await driver._examples(language) is sound


def test_a_runner_that_leaves_cases_out_fails_its_language(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lazy = driver.Language(name="lazy", command=(sys.executable, "-c", "pass"))
    missing = driver.Language(name="missing", command=("no-such-tool",), tools=("no-such-tool",))
    monkeypatch.setattr(driver, "LANGUAGES", (lazy, missing))
    monkeypatch.delenv("CI", raising=False)
    assert driver.main(["lazy"]) == 1
    assert f"lazy: 0 passed, of {len(load())} cases each" in capsys.readouterr().out
    assert driver.main(["missing"]) == 0
    assert "left out, no-such-tool is missing here" in capsys.readouterr().out
    monkeypatch.setenv("CI", "true")
    assert driver.main(["missing"]) == 1
    assert driver.main(["klingon"]) == 2
