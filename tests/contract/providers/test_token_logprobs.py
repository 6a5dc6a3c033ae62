"""Log-probabilities as providers send them: read where they are wished, and never worth an answer."""

from __future__ import annotations

import json
from math import log
from typing import Any

import pytest
from provider_calls import Outcome, a_provider, a_request, completed, streamed
from scripted_upstream import Connection, running
from wild_streams import DONE, FINISH, answer_to_request, chunk, event

from router_service.domain.chat import FinishReason
from router_service.domain.event import TextDelta, ToolCallDelta
from router_service.domain.logprob import LEAST_LOGPROB, Logprobs, LogprobWish, TokenLogprob, TopLogprob
from router_service.domain.vendor import Prefill, Quirks

FOR_THE_CALLER = LogprobWish(top=2, shown=2)
FOR_A_GATE = LogprobWish(top=2, judged=True)
FOR_BOTH = LogprobWish(top=2, shown=0, judged=True)


def entry(token: Any, logprob: Any, *top: Any, **more: Any) -> dict[str, Any]:
    return {"token": token, "logprob": logprob, "bytes": None, "top_logprobs": list(top), **more}


def said(text: str, report: Any, finish: str | None = None) -> dict[str, Any]:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": finish, "logprobs": report}
    return {"id": "c1", "model": "m", "choices": [choice]}


async def whole(body: bytes | str, wish: LogprobWish = FOR_THE_CALLER) -> Outcome:
    async def script(connection: Connection) -> None:
        await connection.respond(200, body.encode() if isinstance(body, str) else body, content_type="application/json")

    async with running(script) as upstream, a_provider(upstream.base_url) as provider:
        return await completed(provider, a_request(logprobs=wish))


async def both(report: Any, wish: LogprobWish = FOR_THE_CALLER, text: str = "Hello") -> list[Outcome]:
    """A stream and a whole answer with this report in them."""
    answer = {"index": 0, "message": {"content": text}, "finish_reason": "stop", "logprobs": report}
    return [
        await answer_to_request(a_request(logprobs=wish), event(said(text, report)), FINISH, DONE),
        await whole(json.dumps({"id": "c1", "model": "m", "choices": [answer]}), wish),
    ]


async def test_a_token_is_read_with_the_others_in_its_place() -> None:
    report = {"content": [entry("Hel", -0.5, {"token": "Hel", "logprob": -0.5}, {"token": "He", "logprob": -1})]}
    for outcome in await both(report):
        assert outcome.error is None
        assert outcome.reply.logprobs == Logprobs(
            (TokenLogprob("Hel", -0.5, b"", (TopLogprob("Hel", -0.5), TopLogprob("He", -1.0))),)
        )


async def test_the_older_shape_of_lists_is_read_the_same() -> None:
    report = {"tokens": ["Hel", "lo"], "token_logprobs": [-0.5, None], "top_logprobs": [{"Hel": -0.5, "He": -1}, None]}
    for outcome in await both(report):
        assert outcome.reply.logprobs == Logprobs(
            (
                TokenLogprob("Hel", -0.5, b"", (TopLogprob("Hel", -0.5), TopLogprob("He", -1.0))),
                TokenLogprob("lo", None),
            )
        )


async def test_a_bare_number_is_that_of_the_chunks_own_text() -> None:
    for outcome in await both(-0.25):
        assert outcome.reply.logprobs == Logprobs((TokenLogprob("Hello", -0.25),))


async def test_those_of_a_refusal_are_read_where_content_has_none() -> None:
    for outcome in await both({"content": None, "refusal": [entry("No", -0.5)]}):
        assert outcome.reply.logprobs == Logprobs((TokenLogprob("No", -0.5),))


async def test_bytes_are_kept_where_the_text_does_not_say_them() -> None:
    report = {"content": [entry("A", -1, bytes=[65]), entry("\ufffd", -1, bytes=[0xF0, 0x9F])]}
    for outcome in await both(report):
        assert [token.token_bytes for token in outcome.reply.tokens] == [b"", b"\xf0\x9f"]


@pytest.mark.parametrize(
    ("stated", "read"),
    [
        (None, None),
        (-9999.0, LEAST_LOGPROB),
        (-1e300, LEAST_LOGPROB),
        (-(2**62), LEAST_LOGPROB),
        (0.00001, 0.0),
        (0, 0.0),
        (3.5, None),
        ("-0.5", None),
        (True, None),
        ([-0.5], None),
        ({"a": 1}, None),
    ],
)
async def test_what_is_no_log_probability_leaves_its_token_without_one(stated: Any, read: float | None) -> None:
    for outcome in await both({"content": [entry("Hello", stated)]}):
        assert outcome.error is None
        assert outcome.reply.message().text == "Hello"
        assert outcome.reply.finish_reason is FinishReason.STOP
        assert outcome.reply.logprobs == Logprobs((TokenLogprob("Hello", read),))


@pytest.mark.parametrize(("written", "read"), [(b"NaN", None), (b"-Infinity", LEAST_LOGPROB), (b"Infinity", None)])
async def test_numbers_that_json_does_not_have_cost_no_answer(written: bytes, read: float | None) -> None:
    report = b'{"content":[{"token":"NaN -Infinity","logprob":' + written + b',"top_logprobs":[]}]}'
    text = b'"say \\"NaN\\" or -Infinity"'
    chunked = (
        b'data: {"id":"c","model":"m","choices":[{"delta":{"content":' + text + b'},"logprobs":' + report + b"}]}\n\n"
    )
    body = b'{"id":"c","model":"m","choices":[{"message":{"content":' + text + b'},"finish_reason":"stop","logprobs":'
    for outcome in (
        await answer_to_request(a_request(logprobs=FOR_THE_CALLER), chunked, FINISH, DONE),
        await whole(body + report + b"}]}"),
    ):
        assert outcome.error is None
        assert outcome.reply.message().text == 'say "NaN" or -Infinity'
        assert outcome.reply.logprobs == Logprobs((TokenLogprob("NaN -Infinity", read),))


@pytest.mark.parametrize("written", [b"1e999", b"-1e999", b"9" * 400, b"-" + b"9" * 400])
async def test_a_number_too_large_for_any_costs_its_token_alone(written: bytes) -> None:
    report = b'{"content":[{"token":"a","logprob":' + written + b'},{"token":"b","logprob":-1}]}'
    choice = b'{"message":{"content":"Hello"},"finish_reason":"stop","logprobs":' + report + b"}"
    outcome = await whole(b'{"id":"c","model":"m","choices":[' + choice + b"]}")
    assert outcome.error is None
    assert outcome.reply.message().text == "Hello"
    assert outcome.reply.tokens[-1] == TokenLogprob("b", -1.0)


@pytest.mark.parametrize(
    "report",
    [
        None,
        True,
        "none",
        [],
        [1, 2],
        {},
        {"content": None},
        {"content": "Hello"},
        {"content": {"token": "Hello"}},
        {"content": [None, 1, "a", [], {}, {"token": None, "logprob": -1}, {"token": 7, "logprob": -1}]},
        {"content": [{"logprob": -1}]},
        {"tokens": "Hello", "token_logprobs": -1},
        {"tokens": [None, 1, {}]},
        {"token_logprobs": [-1.0]},
    ],
)
@pytest.mark.parametrize("wish", [FOR_THE_CALLER, FOR_A_GATE])
async def test_a_report_of_another_shape_is_left_out(report: Any, wish: LogprobWish) -> None:
    for outcome in await both(report, wish):
        assert outcome.error is None
        assert outcome.reply.message().text == "Hello"
        assert outcome.reply.logprobs is None
        assert outcome.reply.margins is None


@pytest.mark.parametrize(
    "top", [None, "a", 7, {"Hello": "x"}, [None, {"token": 1}, {"token": "x", "bytes": ["a", 999]}]]
)
async def test_strange_alternatives_cost_no_token(top: Any) -> None:
    for outcome in await both({"content": [{"token": "Hello", "logprob": -0.5, "top_logprobs": top}]}):
        assert outcome.error is None
        (token,) = outcome.reply.tokens
        assert (token.token, token.logprob) == ("Hello", -0.5)


async def test_half_a_character_costs_neither_answer_nor_token() -> None:
    body = (
        b'data: {"id":"c","model":"m","choices":[{"delta":{"content":"Hi"},"logprobs":'
        b'{"content":[{"token":"\\ud83d","logprob":-1},{"token":"ok","logprob":-2}]}}]}\n\n'
    )
    outcome = await answer_to_request(a_request(logprobs=FOR_THE_CALLER), body, FINISH, DONE)
    assert outcome.error is None
    assert outcome.text == "Hi"
    assert outcome.reply.tokens[-1] == TokenLogprob("ok", -2.0)


async def test_they_come_with_the_text_of_the_same_read_and_never_alone() -> None:
    outcome = await answer_to_request(
        a_request(logprobs=FOR_THE_CALLER),
        event(said("", {"content": [entry("Hel", -0.1)]})),
        event(said("Hello", {"content": [entry("lo", -0.2)]})),
        FINISH,
        DONE,
    )
    for batch in outcome.batches:
        assert not isinstance(batch[0], Logprobs)
    assert outcome.text == "Hello"
    assert [token.token for token in outcome.reply.tokens] == ["Hel", "lo"]


async def test_thinking_has_none() -> None:
    thinking = event(
        {
            "id": "c1",
            "model": "m",
            "choices": [{"delta": {"reasoning_content": "hm"}, "logprobs": {"content": [entry("hm", -3.0)]}}],
        }
    )
    outcome = await answer_to_request(
        a_request(logprobs=FOR_BOTH), thinking, event(said("Hi", {"content": [entry("Hi", log(0.75))]})), FINISH, DONE
    )
    assert [token.token for token in outcome.reply.tokens] == ["Hi"]
    assert list(outcome.reply.margins or ()) == pytest.approx([0.5])


async def test_those_of_a_repeated_beginning_are_left_out() -> None:
    request = a_request(logprobs=FOR_THE_CALLER, prefix="The tides are")
    outcome = await answer_to_request(
        request,
        event(said("The tides", {"content": [entry("The tides", -1)]})),
        event(said(" are", {"content": [entry(" are", -1)]})),
        event(said(" high", {"content": [entry(" high", -1)]})),
        FINISH,
        DONE,
        quirks=Quirks(prefill=Prefill.PLAIN, echoes_prefix=True),
    )
    assert outcome.text == " high"
    assert [token.token for token in outcome.reply.tokens] == [" high"]


@pytest.mark.parametrize(
    ("token", "margin"),
    [
        (entry("a", log(0.7), {"token": "a", "logprob": log(0.7)}, {"token": "b", "logprob": log(0.2)}), 0.5),
        (entry("b", log(0.2), {"token": "a", "logprob": log(0.7)}, {"token": "b", "logprob": log(0.2)}), -0.5),
        (entry("a", log(0.7)), 0.4),
        (entry("a", log(0.7), {"token": "a", "logprob": log(0.7)}), 0.4),
        (entry("a", log(0.7), {"token": "a", "logprob": log(0.7)}, {"token": "b", "logprob": -9999.0}), 0.7),
    ],
)
async def test_a_gate_gets_by_how_much_each_token_led(token: dict[str, Any], margin: float) -> None:
    for outcome in await both({"content": [token]}, FOR_A_GATE):
        assert list(outcome.reply.margins or ()) == pytest.approx([margin])
        assert outcome.reply.logprobs is None
        assert not any(isinstance(delta, Logprobs) for delta in outcome.deltas)


async def test_a_caller_gets_no_more_than_it_asked_for() -> None:
    report = {"content": [entry("a", log(0.7), {"token": "a", "logprob": log(0.7)}, {"token": "b", "logprob": -2})]}
    for outcome in await both(report, FOR_BOTH):
        assert outcome.reply.logprobs == Logprobs((TokenLogprob("a", log(0.7)),))
        assert outcome.reply.margins is not None


async def test_nothing_is_read_where_nobody_wishes_it() -> None:
    report = {"content": [entry("Hello", -0.5)]}
    outcome = await answer_to_request(a_request(), event(said("Hello", report)), FINISH, DONE)
    assert outcome.deltas == [TextDelta("Hello")]
    assert outcome.reply.logprobs is None
    assert outcome.reply.margins is None


async def test_a_flood_of_them_is_bounded_and_the_answer_whole() -> None:
    many = {"content": [entry("x" * 300, -0.5, *({"token": "y" * 300, "logprob": -1},) * 40)] * 60}
    outcome = await answer_to_request(
        a_request(logprobs=LogprobWish(top=20, shown=20, judged=True)),
        *(event(said("Hello", many)) for _ in range(20)),
        FINISH,
        DONE,
    )
    assert outcome.error is None
    assert outcome.text == "Hello" * 20
    logprobs = outcome.reply.logprobs
    assert logprobs is not None
    assert logprobs.truncated
    assert sum(len(one.token) for token in logprobs.tokens for one in (token, *token.top)) < 2 * 1024 * 1024
    assert max(len(token.top) for token in logprobs.tokens) <= 20
    assert len(outcome.reply.margins or ()) == 60 * 20


async def test_a_report_too_large_to_be_read_is_left_out() -> None:
    report = {"content": [entry("Hello", -0.5)] * 60_000}
    body = {"id": "c1", "model": "m", "choices": [{"message": {"content": "Hello"}, "finish_reason": "stop"}]}
    body["choices"][0]["logprobs"] = report  # type: ignore[index]
    outcome = await whole(json.dumps(body), FOR_BOTH)
    assert outcome.error is None
    assert outcome.reply.message().text == "Hello"
    assert outcome.reply.logprobs is None


async def test_a_held_answer_is_told_with_them_in_pieces() -> None:
    report = {"content": [entry("a", -0.5)] * 1200}
    outcome = (await both(report, LogprobWish(top=0, shown=0)))[0]
    told = outcome.reply.deltas()
    assert [type(delta) for delta in told] == [TextDelta, Logprobs, Logprobs, Logprobs]
    assert sum(len(delta.tokens) for delta in told if isinstance(delta, Logprobs)) == 1200


async def test_a_tool_call_is_still_one() -> None:
    call = {"index": 0, "id": "1", "function": {"name": "f", "arguments": "{}"}}
    outcome = await answer_to_request(
        a_request(logprobs=FOR_BOTH), chunk(tool_calls=[call]), chunk(finish="tool_calls"), DONE
    )
    assert outcome.deltas == [ToolCallDelta(index=0, id="1", name="f", arguments_json="{}")]
    assert outcome.reply.finish_reason is FinishReason.TOOL_CALLS


@pytest.mark.parametrize(
    ("wish", "quirks", "want"),
    [
        (None, Quirks(), {}),
        (LogprobWish(top=0, shown=0), Quirks(), {"logprobs": True, "top_logprobs": 0}),
        (LogprobWish(top=20, shown=20), Quirks(), {"logprobs": True, "top_logprobs": 20}),
        (LogprobWish(top=20, shown=20), Quirks(most_top_logprobs=5), {"logprobs": True, "top_logprobs": 5}),
        (LogprobWish(top=2, judged=True), Quirks(logprobs_as_count=True), {"logprobs": 2}),
        (LogprobWish(top=0, shown=0), Quirks(logprobs_as_count=True), {"logprobs": 1}),
    ],
)
async def test_they_are_asked_for_as_the_provider_wants_it(
    wish: LogprobWish | None, quirks: Quirks, want: dict[str, Any]
) -> None:
    async def script(connection: Connection) -> None:
        await connection.sse(chunk("Hi"), FINISH, DONE)

    async with running(script) as upstream, a_provider(upstream.base_url, quirks=quirks) as provider:
        await streamed(provider, a_request(logprobs=wish))
    asked = json.loads(upstream.requests[0].body)
    assert {name: value for name, value in asked.items() if "logprobs" in name} == want
