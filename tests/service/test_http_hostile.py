"""What comes over HTTP and is no good request: refused in OpenAI's envelope, in bounded time and memory."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

import pytest
from http_edge import ASKING, CHAT, ServedHttp, serving_http
from identities import caller
from scripted_engine import ScriptedEngine, forever, says, within

from router_service.config.configuration import HttpSettings
from router_service.domain.call import Call
from router_service.domain.event import Deltas, Emit, TextDelta
from router_service.domain.identity import Identity, IdentityKind
from router_service.identity.authenticator import Credentials
from router_service.web.exchange import MAX_HEADER_BYTES
from router_service.web.protocol import Protocol
from tests.loop_clock import leap

JSON = {"content_type": "application/json"}


async def until_connections(served: ServedHttp, count: int) -> None:
    async with asyncio.timeout(30):
        while len(served.server._state.connections) != count:  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(0.001)


@pytest.mark.parametrize(
    ("body", "param", "says"),
    [
        (b"", "body", "is not well-formed JSON"),
        (b"[]", "body", "must be a JSON object"),
        (b'{"model": "auto"', "body", "is not well-formed JSON"),
        (b'{"model": "\xff\xfe"}', "body", "UTF-8"),
        (b'{"model": "auto", "messages": [{"role": "user", "content": "x"}], "other": "\xff"}', "body", "UTF-8"),
        (b'{"model": "auto", "messages": [{"role": "user", "content": "\\ud800"}]}', "body", "well-formed"),
        (b'{"messages": [{"role": "user", "content": "x"}]}', "model", "must name a model"),
        (b'{"model": "auto"}', "messages", "must hold at least one message"),
        (b'{"model": "auto", "messages": [{"role": "user", "content": 7}]}', "messages[0].content", "expected"),
        (b'{"model": "auto", "messages": "Hi"}', "messages", "expected `array`, got `str`"),
        (b'{"model": "auto", "messages": [{"role": "robot", "content": "x"}]}', "messages[0].role", "must be system"),
        (b"[" * 100_000 + b"]" * 100_000, "body", ""),
        (b'{"x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", None, "deep"),
        (b'{"model": "auto", "messages": ' + b"[" * 90_000 + b"]" * 90_000 + b"}", None, ""),
        (b'{"model": "auto", "x": ' + b'{"a":' * 70 + b"1" + b"}" * 70 + b"}", None, "must not nest deeper than 64"),
    ],
)
async def test_a_bad_body_is_refused_by_its_field(body: bytes, param: str | None, says: str) -> None:
    engine = ScriptedEngine()
    async with serving_http(engine) as served:
        connection = await served.connect()
        connection.send("POST", CHAT, body, **JSON)
        reply = await connection.reply()
        assert reply.status == 400
        assert reply.error["code"] == "INVALID_REQUEST"
        assert param is None or reply.error["param"] == param
        assert says in reply.error["message"]
        connection.ask()
        assert (await connection.reply()).status == 200
    assert len(engine.calls) == 1


async def test_what_a_bad_field_holds_is_not_repeated() -> None:
    async with serving_http(ScriptedEngine()) as served:
        reply = await served.ask(
            {"model": "auto", "messages": [{"role": "SECRET", "content": {"SECRET": 1}}], "n": "SECRET"}
        )
    assert reply.status == 400
    assert b"SECRET" not in reply.body


async def test_a_body_that_says_it_is_too_long_is_not_waited_for() -> None:
    async with serving_http(ScriptedEngine(), HttpSettings(address="127.0.0.1:0", max_body_bytes=1000)) as served:
        connection = await served.connect()
        connection.send("POST", CHAT, content_length="1001", **JSON)
        reply = await connection.reply()
    assert (reply.status, reply.error["code"]) == (413, "INVALID_REQUEST")
    assert "1000 bytes" in reply.error["message"]


async def test_a_body_that_grows_too_long_is_refused_and_its_rest_is_thrown_away() -> None:
    async with serving_http(ScriptedEngine(), HttpSettings(address="127.0.0.1:0", max_body_bytes=1000)) as served:
        connection = await served.connect()
        head = (
            f"POST {CHAT} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
        )
        connection.writer.write(head.encode() + b"400\r\n" + b" " * 1024 + b"\r\n")
        reply = await connection.reply()
        connection.writer.write(b"400\r\n" + b" " * 1024 + b"\r\n0\r\n\r\n")
        connection.ask()
        assert (await connection.reply()).status == 200
    assert reply.status == 413


async def test_a_body_that_turns_out_to_be_no_http_is_told_so(caplog: pytest.LogCaptureFixture) -> None:
    engine = ScriptedEngine()
    async with serving_http(engine) as served:
        connection = await served.connect()
        head = (
            f"POST {CHAT} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
        )
        connection.writer.write(head.encode() + b"1\r\n{\r\nno size\r\n")
        reply = await connection.reply()
        assert await connection.closed()
        while served.admission.in_flight:  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(0)
    assert (reply.status, reply.error["code"], reply.headers["connection"]) == (400, "INVALID_REQUEST", "close")
    assert engine.calls == []
    assert caplog.records == []


async def test_a_body_of_two_lengths_is_refused_and_its_connection_ends() -> None:
    """What comes after it may be another request to one reader, and the rest of this one to another."""
    async with serving_http(ScriptedEngine()) as served:
        connection = await served.connect()
        connection.send("POST", CHAT, b"0\r\n\r\n", transfer_encoding="chunked", **JSON)
        reply = await connection.reply()
        assert await connection.closed()
    assert (reply.status, reply.error["code"]) == (400, "INVALID_REQUEST")
    assert "transfer-encoding" in reply.error["message"]


async def test_a_compressed_body_is_told_to_come_plain() -> None:
    async with serving_http(ScriptedEngine()) as served:
        gzip = await served.ask(content_encoding="gzip")
        plain = await served.ask(content_encoding="identity")
    assert (gzip.status, plain.status) == (415, 200)
    assert "content-encoding" in gzip.error["message"]


@pytest.mark.parametrize("number", ["9" * 5000, "1e999"])
async def test_a_number_beyond_all_numbers_is_refused_under_a_key_too(number: str) -> None:
    """Such a field goes on as it is; a key, however, has the whole request compared with its repeat."""
    body = json.dumps({**ASKING, "own": 0}).replace('"own": 0', f'"own": {number}')
    async with serving_http(ScriptedEngine()) as served:
        connection = await served.connect()
        connection.send("POST", CHAT, body.encode(), idempotency_key="k", **JSON)
        reply = await connection.reply()
    assert (reply.status, reply.error["param"]) == (400, "body")
    assert "out of range" in reply.error["message"]


async def test_a_body_that_does_not_arrive_is_given_up() -> None:
    async with serving_http(ScriptedEngine(), body_timeout=0.05) as served:
        connection = await served.connect()
        connection.send("POST", CHAT, b"{", content_length="100", **JSON)
        reply = await connection.reply()
        assert (reply.status, reply.headers["connection"]) == (408, "close")
        assert await connection.closed()
        assert served.admission.in_flight == 0


@pytest.mark.parametrize("said", [b"", b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nx-slow: "])
async def test_headers_that_do_not_arrive_are_given_up(said: bytes) -> None:
    async with serving_http(ScriptedEngine()) as served:
        connection = await served.connect()
        connection.writer.write(said)
        await until_connections(served, 1)
        leap(Protocol.headers_timeout)
        assert await connection.closed()


async def test_slow_headers_after_a_good_request_are_given_up_too(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving_http(ScriptedEngine()) as served:
        connection = await served.connect()
        connection.ask()
        assert (await connection.reply()).status == 200
        # Only now, so that the good ones are not late.
        monkeypatch.setattr(Protocol, "headers_timeout", 0.05)
        connection.writer.write(b"POST /v1")
        assert await connection.closed()


async def test_a_call_may_take_longer_than_its_headers_may() -> None:
    async def script(call: Call, emit: Emit) -> None:
        leap(Protocol.headers_timeout + 1)
        # Whatever is overdue comes first.
        await asyncio.sleep(0.01)

    async with serving_http(ScriptedEngine(script)) as served:
        assert (await served.ask()).status == 200


async def test_headers_that_are_too_large_are_told_so() -> None:
    async with serving_http(ScriptedEngine()) as served:
        connection = await served.connect()
        connection.ask(x_large="x" * (MAX_HEADER_BYTES + 1))
        reply = await connection.reply()
        assert (reply.status, reply.error["code"]) == (431, "INVALID_REQUEST")


async def test_headers_that_never_end_are_cut_off() -> None:
    async with serving_http(ScriptedEngine()) as served:
        connection = await served.connect()
        connection.writer.write(b"GET / HTTP/1.1\r\nx-endless: " + b"x" * 4 * MAX_HEADER_BYTES)
        reply = await connection.reply()
        assert (reply.status, reply.error["code"]) == (431, "INVALID_REQUEST")


@pytest.mark.parametrize("said", [b"\x16\x03\x01\x02\x00\x01", b"GET / HTTP/1.1\r\nno colon\r\n\r\n"])
async def test_what_is_no_http_is_told_so(said: bytes) -> None:
    async with serving_http(ScriptedEngine()) as served:
        connection = await served.connect()
        connection.writer.write(said + b"\r\n\r\n")
        reply = await connection.reply()
        assert (reply.status, reply.error["code"]) == (400, "INVALID_REQUEST")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/", 404), ("GET", "/v2/models", 404), ("PUT", "/v1/models", 405), ("OPTIONS", CHAT, 405)],
)
async def test_other_paths_and_methods_are_told_what_there_is(method: str, path: str, status: int) -> None:
    async with serving_http(ScriptedEngine()) as served:
        connection = await served.connect()
        connection.send(method, path)
        reply = await connection.reply()
    assert (reply.status, reply.error["type"]) == (status, "invalid_request_error")
    assert status == 404 or reply.headers["allow"]


async def test_a_request_id_that_is_unfit_is_refused_and_replaced() -> None:
    async with serving_http(ScriptedEngine()) as served:
        fit = await served.ask(x_request_id="own-1")
        unfit = await served.ask(x_request_id="x" * 129)
    assert fit.headers["x-request-id"] == "own-1"
    assert json.loads(fit.body)["id"] == "chatcmpl-own-1"
    assert unfit.status == 400
    assert unfit.headers["x-request-id"] != "x" * 129


async def test_a_web_page_may_not_spend_the_credit_of_whom_it_visits() -> None:
    async def anybody(credentials: Credentials) -> Identity:
        return Identity(tenant="default", principal="anonymous", kind=IdentityKind.ANONYMOUS, grants=caller().grants)

    engine = ScriptedEngine()
    async with serving_http(engine, authenticate=anybody) as served:
        page = await served.ask(origin="https://example.com")
        connection = await served.connect()
        connection.send("POST", CHAT, json.dumps(ASKING).encode(), content_type="text/plain")
        form = await connection.reply()
        program = await served.ask()
    assert (page.status, form.status, program.status) == (403, 415, 200)
    assert len(engine.calls) == 1


async def test_an_unexpected_error_tells_the_client_its_id_alone(caplog: pytest.LogCaptureFixture) -> None:
    async with serving_http(ScriptedEngine(error=ValueError("the prompt was SECRET"))) as served:
        with caplog.at_level(logging.INFO):
            reply = await served.ask(x_request_id="own-2")
    assert (reply.status, reply.error["code"]) == (500, "INTERNAL")
    assert "own-2" in reply.error["message"]
    assert b"SECRET" not in reply.body
    assert "own-2" in caplog.text
    assert "SECRET" not in caplog.text


@pytest.mark.parametrize("stream", [False, True])
async def test_a_caller_that_leaves_ends_its_call_and_nothing_is_logged(
    caplog: pytest.LogCaptureFixture, stream: bool
) -> None:
    engine = ScriptedEngine(says(TextDelta("Hello"), then=forever))
    async with serving_http(engine) as served:
        connection = await served.connect()
        connection.ask({**ASKING, "stream": stream})
        if stream:
            await connection.reader.readuntil(b"Hello")
        else:
            while not engine.calls:  # noqa: ASYNC110 - it has no event
                await asyncio.sleep(0)
        connection.writer.close()
        await within(30, engine.cancelled)
        while served.admission.in_flight:  # noqa: ASYNC110 - likewise
            await asyncio.sleep(0)
    assert caplog.records == []


async def test_a_caller_that_leaves_is_noticed_behind_its_next_request() -> None:
    engine = ScriptedEngine(forever)
    async with serving_http(engine) as served:
        connection = await served.connect()
        connection.ask()
        while not engine.calls:  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(0)
        connection.ask()
        await connection.writer.drain()
        await asyncio.sleep(0)
        connection.writer.close()
        await within(30, engine.cancelled)


async def test_a_reader_that_stops_ends_its_call_and_its_connection(caplog: pytest.LogCaptureFixture) -> None:
    async def talking(call: Call, emit: Emit) -> None:
        while True:
            await emit(Deltas(attempt=1, deltas=[TextDelta("x" * 50_000)]))

    engine = ScriptedEngine(says(then=talking))
    async with serving_http(engine, write_timeout=0.05) as served:
        connection = await served.connect()
        connection.reader._limit = 1000  # type: ignore[attr-defined]  # reads no more by itself
        connection.ask({**ASKING, "stream": True})
        await within(30, engine.cancelled)
        await until_connections(served, 0)
    assert caplog.records == []


async def test_an_idle_connection_is_closed() -> None:
    async with serving_http(ScriptedEngine(), HttpSettings(address="127.0.0.1:0", keep_alive=0.05)) as served:
        connection = await served.connect()
        connection.ask()
        await connection.reply()
        assert await connection.closed()


async def test_pipelined_requests_are_answered_in_order() -> None:
    async with serving_http(ScriptedEngine()) as served:
        connection = await served.connect()
        names: list[Any] = ["first", "second", "third"]
        for name in names:
            connection.ask(x_request_id=name)
        assert [(await connection.reply()).headers["x-request-id"] for _ in names] == names
