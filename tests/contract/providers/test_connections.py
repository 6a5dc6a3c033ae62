"""What the network does to a call: failures before and after sending, timeouts, reuse, TLS and proxies."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import httpx2
import pytest
import trustme
from provider_calls import DEPLOYMENT, Outcome, a_provider, a_request, completed, idle, some_settings, streamed
from scripted_upstream import Connection, running
from wild_streams import DONE, FINISH, chunk

from router_service.domain.error import UpstreamError, UpstreamFault
from router_service.domain.event import Delta
from router_service.domain.upstream import Reply
from router_service.domain.vendor import Auth, Quirks
from router_service.providers.transport import AiohttpTransport
from tests.loop_clock import leap

ANSWER = json.dumps({"choices": [{"message": {"content": "Hi"}, "finish_reason": "stop"}]}).encode()


async def answer(connection: Connection) -> None:
    await connection.respond(200, ANSWER)


class Never:
    """Never answers; `asked` is set once it was asked."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()

    async def __call__(self, connection: Connection) -> None:
        self.asked.set()
        await connection.closed()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def both(base_url: str, **more: object) -> list[Outcome]:
    async with a_provider(base_url, **more) as provider:
        return [await completed(provider), await streamed(provider)]


# Before sending: nothing was dispatched


@pytest.mark.parametrize("host", ["127.0.0.1:{port}", "does-not-exist.invalid"])
async def test_refused_and_unknown_hosts_were_not_dispatched(host: str) -> None:
    for outcome in await both(f"http://{host.format(port=free_port())}/v1"):
        assert outcome.failure.fault is UpstreamFault.CONNECT
        assert not outcome.reply.dispatched


async def test_tls_that_fails_was_not_dispatched() -> None:
    async def no_tls(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await reader.read()
        writer.close()

    server = await asyncio.start_server(no_tls, "127.0.0.1", 0)
    async with server:
        for outcome in await both(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"):
            assert outcome.failure.fault is UpstreamFault.CONNECT
            assert not outcome.reply.dispatched


async def test_an_untrusted_certificate_was_not_dispatched() -> None:
    async with running(answer, tls=server_tls(trustme.CA())) as upstream:
        for outcome in await both(upstream.base_url):
            assert outcome.failure.fault is UpstreamFault.CONNECT
            assert not outcome.reply.dispatched
        assert not upstream.requests


async def test_a_connection_that_is_never_accepted_times_out_undispatched() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        # A full backlog: further connections wait for an answer that never comes.
        waiting = [socket.socket() for _ in range(3)]
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(("127.0.0.1", port))
        try:
            async with a_provider(f"http://127.0.0.1:{port}") as provider:
                outcome = await completed(provider, a_request(connect_timeout=0.05))
        finally:
            for each in waiting:
                each.close()
    assert outcome.failure.fault is UpstreamFault.CONNECT
    assert not outcome.reply.dispatched


async def test_tls_that_never_answers_times_out_undispatched() -> None:
    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(mute, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        async with a_provider(f"https://127.0.0.1:{port}") as provider:
            outcome = await completed(provider, a_request(connect_timeout=0.05))
    assert outcome.failure.fault is UpstreamFault.CONNECT
    assert not outcome.reply.dispatched


async def test_a_full_pool_was_not_dispatched() -> None:
    async with running(never := Never()) as upstream, a_provider(upstream.base_url, max_connections=1) as provider:
        first = Outcome()
        busy = asyncio.create_task(provider.complete(a_request(), first.reply))
        await never.asked.wait()
        outcome = await completed(provider, a_request(connect_timeout=0.02))
        busy.cancel()
        await asyncio.wait([busy])
    assert outcome.failure.fault is UpstreamFault.CONNECT
    assert "max_connections" in outcome.failure.message
    assert not outcome.reply.dispatched
    assert first.reply.dispatched


async def test_connections_are_counted_while_in_use_and_while_idle() -> None:
    async with running(never := Never()) as upstream, a_provider(upstream.base_url) as provider:
        assert provider.connections == (0, 0)
        busy = asyncio.create_task(provider.complete(a_request(), Outcome().reply))
        await never.asked.wait()
        assert provider.connections == (1, 0)
        busy.cancel()
        await asyncio.wait([busy])
        assert provider.connections == (0, 0)
    async with running(answer) as upstream, a_provider(upstream.base_url) as provider:
        await completed(provider)
        assert provider.connections == (0, 1)


async def test_no_key_is_an_error_that_says_what_to_do() -> None:
    keyless = a_request(deployment=replace(DEPLOYMENT, has_credentials=False))
    async with a_provider(f"http://127.0.0.1:{free_port()}", keys=()) as provider:
        outcome = await completed(provider, keyless)
    assert outcome.failure.fault is UpstreamFault.AUTH
    assert "api_key" in outcome.failure.message
    assert not outcome.reply.dispatched


# After sending: the provider may bill


@pytest.mark.parametrize("how", ["close", "reset"])
async def test_a_connection_closed_after_sending_is_never_mistaken_for_a_failed_connect(how: str) -> None:
    async def script(connection: Connection) -> None:
        if how == "reset":
            connection.reset()
        else:
            connection.writer.close()

    async with running(script) as upstream:
        for outcome in await both(upstream.base_url):
            assert outcome.failure.fault is UpstreamFault.CONNECTION_LOST
            assert outcome.reply.dispatched


async def test_what_is_not_http_is_a_lost_connection() -> None:
    async def script(connection: Connection) -> None:
        await connection.send(b"SSH-2.0-OpenSSH_9.6\r\n\r\n")

    async with running(script) as upstream:
        for outcome in await both(upstream.base_url):
            assert outcome.failure.fault is UpstreamFault.CONNECTION_LOST
            assert outcome.reply.dispatched


async def test_a_body_cut_short_is_a_lost_connection() -> None:
    async def script(connection: Connection) -> None:
        await connection.send(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n" + ANSWER)
        connection.writer.close()

    async with running(script) as upstream, a_provider(upstream.base_url) as provider:
        outcome = await completed(provider)
    assert outcome.failure.fault is UpstreamFault.CONNECTION_LOST


async def test_a_connection_lost_after_output_is_truncated() -> None:
    delivered = asyncio.Event()

    async def script(connection: Connection) -> None:
        await connection.sse(chunk("Half"), end=False)
        await delivered.wait()
        connection.reset()

    async def receive(_: object) -> None:
        delivered.set()

    outcome = Outcome()
    async with running(script) as upstream, a_provider(upstream.base_url) as provider:
        with pytest.raises(Exception) as caught:  # noqa: PT011 - its fault is what matters
            await provider.stream(a_request(), outcome.reply, receive)
    assert getattr(caught.value, "fault", None) is UpstreamFault.TRUNCATED
    assert outcome.reply.message().text == "Half"


async def test_silence_before_the_headers_is_a_read_timeout() -> None:
    async with running(Never()) as upstream, a_provider(upstream.base_url) as provider:
        outcome = await completed(provider, a_request(read_timeout=0.03))
    assert outcome.failure.fault is UpstreamFault.READ_TIMEOUT
    assert outcome.reply.dispatched


async def test_silence_in_the_middle_is_a_read_timeout() -> None:
    async def script(connection: Connection) -> None:
        await connection.sse(chunk("Half"), end=False)
        await connection.closed()

    outcome = Outcome()

    async def receive(deltas: Sequence[Delta]) -> None:
        await outcome.receive(deltas)
        asyncio.get_running_loop().call_later(0.05, leap, 20)

    async with running(script) as upstream, a_provider(upstream.base_url) as provider:
        with pytest.raises(UpstreamError) as raised:
            await provider.stream(a_request(read_timeout=20), outcome.reply, receive)
    assert raised.value.fault is UpstreamFault.READ_TIMEOUT
    assert outcome.text == "Half"


async def test_a_request_that_nobody_reads_is_a_write_timeout() -> None:
    async def deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        await gone.wait()
        writer.transport.abort()

    gone = asyncio.Event()
    server = await asyncio.start_server(deaf, "127.0.0.1", 0)
    transport = AiohttpTransport()
    request = httpx2.Request(
        "POST",
        f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/",
        content=b"x" * 20_000_000,
        extensions={"timeout": {"pool": 30.0, "connect": 30.0, "write": 0.05, "read": 0.05}},
    )
    async with server:
        with pytest.raises(httpx2.WriteTimeout):
            await transport.handle_async_request(request)
        gone.set()
    await transport.aclose()


# What is sent, and where


async def test_the_request_carries_path_query_key_and_headers() -> None:
    async with (
        running(answer) as upstream,
        a_provider(
            upstream.base_url + "/",
            headers={"OpenAI-Organization": "org-1"},
            query={"api-version": "v1"},
        ) as provider,
    ):
        await completed(provider, a_request(headers={"traceparent": "00-1-2-01"}))
        await streamed(provider)
    unary, stream = upstream.requests
    assert unary.line == "POST /v1/chat/completions?api-version=v1 HTTP/1.1"
    assert unary.headers["host"] == f"127.0.0.1:{upstream.port}"
    assert unary.headers["authorization"] == "Bearer sk-1"
    assert unary.headers["content-type"] == "application/json"
    assert unary.headers["openai-organization"] == "org-1"
    assert unary.headers["traceparent"] == "00-1-2-01"
    assert unary.headers["accept"] == "application/json"
    assert unary.json == {"model": "acme-small", "messages": [{"role": "user", "content": "Hello"}]}
    assert stream.headers["accept"] == "text/event-stream"
    assert stream.headers["accept-encoding"] == "identity"
    assert stream.json["stream"] is True


@pytest.mark.parametrize(
    ("auth", "header", "value"),
    [(Auth.BEARER, "authorization", "Bearer sk-1"), (Auth.API_KEY_HEADER, "api-key", "sk-1"), (Auth.NONE, "x", None)],
)
async def test_the_key_travels_as_the_provider_wants(auth: Auth, header: str, value: str | None) -> None:
    async with running(answer) as upstream, a_provider(upstream.base_url, quirks=Quirks(auth=auth)) as provider:
        await completed(provider)
    headers = upstream.requests[0].headers
    assert headers.get(header) == value
    assert sum(name in headers for name in ("authorization", "api-key")) == (value is not None)


async def test_a_provider_that_needs_no_key_gets_none() -> None:
    async with running(answer) as upstream, a_provider(upstream.base_url, keys=()) as provider:
        assert (await completed(provider)).error is None
    assert "authorization" not in upstream.requests[0].headers


async def test_redirects_are_not_followed_and_cookies_not_kept() -> None:
    async def script(connection: Connection) -> None:
        if connection.requests == 1:
            await connection.respond(307, b"", {"location": "/elsewhere", "set-cookie": "a=b; path=/"})
        else:
            await answer(connection)

    async with running(script) as upstream, a_provider(upstream.base_url) as provider:
        first, second = await completed(provider), await completed(provider)
    assert first.failure.fault is UpstreamFault.MODEL_NOT_FOUND
    assert "base_url" in first.failure.message
    assert second.error is None
    assert [request.line for request in upstream.requests] == ["POST /v1/chat/completions HTTP/1.1"] * 2
    assert "cookie" not in upstream.requests[1].headers


async def test_proxies_come_from_the_settings_and_never_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")
    async with running(answer) as upstream, a_provider(upstream.base_url) as provider:
        assert (await completed(provider)).error is None
    async with (
        running(answer) as proxy,
        a_provider("http://far.invalid/v1", proxy=f"http://127.0.0.1:{proxy.port}") as provider,
    ):
        assert (await completed(provider)).error is None
    assert proxy.requests[0].line == "POST http://far.invalid/v1/chat/completions HTTP/1.1"


async def test_a_proxy_that_is_down_was_not_dispatched() -> None:
    for outcome in await both("http://far.invalid/v1", proxy=f"http://127.0.0.1:{free_port()}"):
        assert outcome.failure.fault is UpstreamFault.CONNECT
        assert not outcome.reply.dispatched


def server_tls(ca: trustme.CA, client_ca: Path | None = None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("127.0.0.1").configure_cert(context)
    if client_ca is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(client_ca)
    return context


async def test_ca_and_client_certificate_come_from_files(tmp_path: Path) -> None:
    ca = trustme.CA()
    ca_file, cert_file, key_file = tmp_path / "ca.pem", tmp_path / "cert.pem", tmp_path / "key.pem"
    ca.cert_pem.write_to_path(ca_file)
    client = ca.issue_cert("client")
    client.cert_chain_pems[0].write_to_path(cert_file)
    client.private_key_pem.write_to_path(key_file)
    async with running(answer, tls=server_tls(ca, ca_file)) as upstream:
        with_both = await both(
            upstream.base_url,
            ca_file=str(ca_file),
            client_cert_file=str(cert_file),
            client_key_file=str(key_file),
        )
        assert [outcome.reply.message().text for outcome in with_both] == ["Hi", "Hi"]


# Connections are reused


async def test_answers_streams_and_errors_leave_their_connection_for_the_next_call() -> None:
    async def script(connection: Connection) -> None:
        step = len(upstream.requests)
        if step == 1:
            await answer(connection)
        elif step == 2:
            await connection.sse(chunk("a") + FINISH + DONE)
        else:
            await connection.respond(500, b"{}")

    async with running(script) as upstream, a_provider(upstream.base_url) as provider:
        await completed(provider)
        await streamed(provider)
        await idle(provider)
        await completed(provider)
        await streamed(provider)
    assert len(upstream.requests) == 4
    assert upstream.connections == 1


@pytest.mark.parametrize("garbage", [b"zz\r\nlo\r\n", b"-5\r\n", b"ffffffffffffffffffff\r\n"])
async def test_a_body_that_ceases_to_be_http_is_noticed_at_once(garbage: bytes) -> None:
    heard = asyncio.Event()

    async def script(connection: Connection) -> None:
        await connection.sse(chunk("Hel"), end=False)
        await heard.wait()
        await connection.send(garbage)
        await connection.closed()

    async def receive(_: object) -> None:
        heard.set()

    async with running(script) as upstream, a_provider(upstream.base_url) as provider, asyncio.timeout(30):
        with pytest.raises(UpstreamError) as raised:
            await provider.stream(a_request(), Reply(), receive)
    assert raised.value.fault is UpstreamFault.TRUNCATED


async def test_an_error_body_is_read_only_so_far() -> None:
    async def script(connection: Connection) -> None:
        await connection.send(b"HTTP/1.1 400 Bad\r\ntransfer-encoding: chunked\r\n\r\n")
        try:
            while True:
                await connection.chunk(b"x" * 65536)
        except ConnectionError:
            pass

    async with running(script) as upstream, a_provider(upstream.base_url) as provider:
        outcome = await completed(provider)
    assert outcome.failure.fault is UpstreamFault.BAD_REQUEST


async def test_a_web_page_for_an_error_is_not_quoted() -> None:
    page = b"<!DOCTYPE html><html><body><h1>CANARY</h1> maximum context, insufficient quota</body></html>"

    async def script(connection: Connection) -> None:
        await connection.respond(502, page, content_type="text/html")

    async with running(script) as upstream:
        for outcome in await both(upstream.base_url):
            assert outcome.failure.fault is UpstreamFault.SERVER
            assert "CANARY" not in repr(vars(outcome.failure)) + str(outcome.failure)


async def test_an_error_whose_body_never_ends_is_told_by_its_status() -> None:
    async def script(connection: Connection) -> None:
        await connection.send(b"HTTP/1.1 429 No\r\ncontent-length: 1000\r\nretry-after: 7\r\n\r\n{")
        await connection.closed()

    async with running(script) as upstream, a_provider(upstream.base_url, settle_seconds=0.01) as provider:
        outcome = await completed(provider)
    assert outcome.failure.fault is UpstreamFault.RATE_LIMITED
    assert outcome.failure.retry_after == 7.0


async def test_a_date_in_retry_after_is_read_against_the_given_clock() -> None:
    async def script(connection: Connection) -> None:
        await connection.respond(503, b"{}", {"Retry-After": "Thu, 01 Jan 1970 00:17:10 GMT"})

    async with running(script) as upstream, a_provider(upstream.base_url) as provider:
        outcome = await completed(provider)
    assert outcome.failure.retry_after == 30.0


async def test_nothing_is_left_open_after_closing() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        async with running(never := Never()) as upstream, a_provider(upstream.base_url) as provider:
            call = asyncio.create_task(completed(provider))
            await never.asked.wait()
            await provider.aclose()
            outcome = await call
            assert (await completed(provider)).failure.fault is UpstreamFault.CONNECT
    assert outcome.failure.fault is UpstreamFault.CONNECTION_LOST


def test_settings_carry_no_secret_into_their_repr() -> None:
    assert "sk-1" not in repr(some_settings("http://x"))
