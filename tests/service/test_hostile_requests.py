"""Requests that are too large, too odd or too greedy: refused by name, with bounded memory, and never passed on."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from bystanders import MOST_MIB, others_are_served, resident_mib
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from raw_http2 import END_HEADERS, END_STREAM, Headers, Kind, call, call_headers, connected, frame, message
from scripted_engine import ScriptedEngine, chat, complete_request, read_all, serving, stream_request

from llmrouter import AsyncClient
from llmrouter.v1 import chat_pb2, router_service_pb2, router_service_pb2_grpc
from router_service.app import Application

MIB = 1024 * 1024
COMPLETE = "/llmrouter.v1.RouterService/Complete"
REQUEST = complete_request().SerializeToString()


async def status_of(calling: Any) -> tuple[grpc.StatusCode, dict[str, str]]:
    """The status of a call and its violations, by field."""
    if hasattr(calling, "read"):
        await read_all(calling)
    else:
        with pytest.raises(grpc.aio.AioRpcError):
            await calling
    bad_request = error_details_pb2.BadRequest()
    status = await rpc_status.aio.from_call(calling)
    for packed in status.details if status else ():
        packed.Unpack(bad_request)
    return await calling.code(), {it.field: it.description for it in bad_request.field_violations}


def asking(method: str, wire_chat: chat_pb2.Chat, stub: Any) -> Any:
    request = {"Complete": "CompleteRequest", "StreamComplete": "StreamCompleteRequest", "Route": "RouteRequest"}
    return getattr(stub, method)(getattr(router_service_pb2, request[method])(chat=wire_chat))


DEEP = '{"a":' + "[" * 100 + "]" * 100 + "}"
TOOL = chat_pb2.Tool(name="t", parameters_json="{}")


@pytest.mark.parametrize("method", ["Complete", "StreamComplete", "Route"])
@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        (chat_pb2.Chat(messages=[*chat().messages] * 513), "chat.messages"),
        (
            chat_pb2.Chat(messages=[chat_pb2.Message(role=1, parts=[chat_pb2.Part(text="x")] * 257)]),
            "chat.messages[0].parts",
        ),
        (
            chat_pb2.Chat(messages=[chat_pb2.Message(role=2, parts=[chat_pb2.Part(text="x")] * 200)] * 500),
            "chat.messages",
        ),
        (chat_pb2.Chat(messages=chat().messages, tools=[TOOL] * 129), "chat.tools"),
        (
            chat_pb2.Chat(messages=chat().messages, tools=[chat_pb2.Tool(name="t", parameters_json=DEEP)]),
            "chat.tools[0].parameters_json",
        ),
        (chat_pb2.Chat(messages=chat().messages, extra_json=DEEP), "chat.extra_json"),
        (chat_pb2.Chat(messages=chat().messages, extra_json=" " * MIB), "chat.extra_json"),
        (
            chat_pb2.Chat(messages=chat().messages, parameters=chat_pb2.Parameters(max_output_tokens=2**31 - 1)),
            "chat.parameters.max_output_tokens",
        ),
    ],
    ids=["messages", "parts", "pieces", "tools", "deep tool", "deep extra", "long extra", "tokens"],
)
async def test_what_is_over_a_limit_is_named_and_not_dispatched(method: str, wrong: chat_pb2.Chat, field: str) -> None:
    engine = ScriptedEngine()
    async with serving(engine) as served:
        code, violations = await status_of(asking(method, wrong, served.stub))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert list(violations) == [field]
    assert "must" in violations[field]
    assert engine.calls == []


@pytest.mark.parametrize("method", ["Complete", "StreamComplete", "Route"])
async def test_a_message_over_4_mib_is_refused_whatever_the_method(method: str) -> None:
    engine = ScriptedEngine()
    async with serving(engine) as served:
        code, _ = await status_of(asking(method, chat("x" * 4 * MIB), served.stub))
        await others_are_served(served, 1)
    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert len(engine.calls) == 1


async def sent_in_frames(port: int, payload: bytes, extra: Headers) -> bytes:
    """The block of headers that answers one message sent in frames of 16 KiB."""
    async with connected(port) as raw:
        await raw.greet()
        await raw.send(frame(Kind.HEADERS, 1, call_headers(COMPLETE, extra), END_HEADERS))
        for start in range(0, len(payload), 16_384):
            last = END_STREAM if start + 16_384 >= len(payload) else 0
            await raw.send(frame(Kind.DATA, 1, payload[start : start + 16_384], last))
        return (await raw.until(Kind.HEADERS)).payload


@pytest.mark.parametrize(("encoding", "window_bits"), [("gzip", 31), ("deflate", 15)])
async def test_a_bomb_is_refused_before_it_is_unpacked(encoding: str, window_bits: int) -> None:
    packing = zlib.compressobj(9, zlib.DEFLATED, window_bits)
    zeros = bytes(MIB)
    bomb = b"".join(packing.compress(zeros) for _ in range(512)) + packing.flush()
    assert len(bomb) < MIB
    before = resident_mib()
    engine = ScriptedEngine()
    async with serving(engine) as served:
        answers = await asyncio.gather(
            *(
                sent_in_frames(served.port, message(bomb, compressed=True), [("grpc-encoding", encoding)])
                for _ in range(4)
            )
        )
        assert all(b"grpc-status\x018" in answer and b"larger than max" in answer for answer in answers)
        await others_are_served(served, 1)
    assert len(engine.calls) == 1
    assert resident_mib() - before < MOST_MIB


@pytest.mark.parametrize(
    "extra",
    [[("x-large", "a" * 17_000)], [(f"x-{number}", "a" * 90) for number in range(200)]],
    ids=["one value", "many values"],
)
async def test_metadata_over_16_kib_is_refused_and_the_connection_lives(extra: list[tuple[str, str]]) -> None:
    engine = ScriptedEngine()
    async with serving(engine) as served, connected(served.port) as raw:
        await raw.greet()
        await raw.send(call(1, COMPLETE, REQUEST, extra))
        answer = await raw.until(Kind.HEADERS)
        assert b"grpc-status\x018" in answer.payload
        assert b"aaaa" not in answer.payload
        assert engine.calls == []
        await raw.send(call(3, COMPLETE, REQUEST))
        await raw.until(Kind.DATA)


@pytest.mark.parametrize("value", ["a\r\nx-tenant: other", "a\nb", "a\rb", "a\0b"], ids=["CRLF", "LF", "CR", "NUL"])
@pytest.mark.parametrize("key", ["x-anything", "traceparent", "x-request-id", "authorization", "user-agent"])
async def test_metadata_that_would_start_a_new_line_is_refused(key: str, value: str) -> None:
    engine = ScriptedEngine()
    async with serving(engine) as served, connected(served.port) as raw:
        await raw.greet()
        await raw.send(call(1, COMPLETE, REQUEST, [(key, value)]))
        answer = await raw.until(Kind.HEADERS)
    assert b"grpc-status\x013" in answer.payload
    assert (b"x-request-id: must be" if key == "x-request-id" else f"metadata[{key}]".encode()) in answer.payload
    assert b"tenant" not in answer.payload
    assert engine.calls == []


@pytest.mark.parametrize("request_id", ["", "ü", "a" * 129, "a\tb", "\x7f"])
async def test_a_request_id_is_printable_ascii_or_refused(request_id: str) -> None:
    engine = ScriptedEngine()
    async with serving(engine) as served, connected(served.port) as raw:
        await raw.greet()
        await raw.send(call(1, COMPLETE, REQUEST, [("x-request-id", request_id)]))
        answer = await raw.until(Kind.HEADERS)
    assert b"grpc-status\x013" in answer.payload
    assert b"must be 1 to 128 printable ASCII" in answer.payload
    assert engine.calls == []


async def test_foreign_words_in_metadata_that_nobody_reads_do_no_harm() -> None:
    engine = ScriptedEngine()
    async with serving(engine) as served, connected(served.port) as raw:
        await raw.greet()
        await raw.send(call(1, COMPLETE, REQUEST, [("x-city", "Zürich"), ("x-data-bin", b"\0\r\n")]))
        await raw.until(Kind.DATA)
    assert len(engine.calls) == 1


CONFIGURATION = """
server: {address: "127.0.0.1:0", lame_duck: 0s}
providers:
  ours: {base_url: "${UPSTREAM}/v1", api_key: sk-ours, propagate_trace: PROPAGATES}
models:
  gpt-x: {provider: ours}
policies:
  default: {rules: [{use: [gpt-x]}]}
"""
CANARY = "canary-5d1e"
ANSWER = b'{"choices":[{"index":0,"message":{"role":"assistant","content":"Hi."},"finish_reason":"stop"}]}'
STREAMED = b'data: {"choices":[{"index":0,"delta":{"content":"Hi."},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'


@asynccontextmanager
async def listening_upstream() -> AsyncIterator[tuple[str, list[bytes]]]:
    """A provider that keeps the head and the body of every request."""
    heard: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        lengths = [line.split(b":")[1] for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")]
        body = await reader.readexactly(int(lengths[0]))
        heard.append(head + body)
        streamed = b'"stream":true' in body.replace(b" ", b"")
        kind, answer = (b"text/event-stream", STREAMED) if streamed else (b"application/json", ANSWER)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: %b\r\ncontent-length: %d\r\n" % (kind, len(answer)))
        writer.write(b"connection: close\r\n\r\n" + answer)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", heard


FORWARDED: Sequence[tuple[str, str | bytes]] = (
    ("authorization", f"Bearer {CANARY}"),
    ("cookie", f"session={CANARY}"),
    ("x-api-key", CANARY),
    ("api-key", CANARY),
    ("x-forwarded-for", CANARY),
    ("x-tenant", CANARY),
    ("openai-organization", CANARY),
    ("accept-language", CANARY),
    ("baggage", f"secret={CANARY}"),
    ("tracestate", f"vendor={CANARY}"),
    ("x-secret-bin", CANARY.encode()),
    ("x-request-id", CANARY),
)


@pytest.mark.parametrize("propagates", ["false", "true"])
@pytest.mark.parametrize("way", ["unary", "stream"])
async def test_no_metadata_of_a_caller_reaches_a_provider(way: str, propagates: str, tmp_path: Path) -> None:
    file = tmp_path / "router.yaml"
    file.write_text(CONFIGURATION.replace("PROPAGATES", propagates))
    async with listening_upstream() as (origin, heard):
        application = Application(file, environ={"UPSTREAM": origin})
        port = await application.start()
        options = [("grpc.primary_user_agent", CANARY), ("grpc.default_authority", f"{CANARY}.example")]
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options) as channel:
            stub = router_service_pb2_grpc.RouterServiceStub(channel)
            if way == "unary":
                await stub.Complete(complete_request(), metadata=FORWARDED, timeout=60)
            else:
                _, error = await read_all(stub.StreamComplete(stream_request(), metadata=FORWARDED, timeout=60))
                assert error is None
        await application.stop()
    assert len(heard) == 1
    assert b"sk-ours" in heard[0]
    assert CANARY.encode() not in heard[0]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("way", ["unary", "stream"])
async def test_a_redirect_is_not_followed_and_no_key_leaves(way: str, status: int, tmp_path: Path) -> None:
    elsewhere: list[bytes] = []
    asked: list[bytes] = []

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        elsewhere.append(await reader.read(65_536))
        writer.close()

    async def redirect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        head = f"HTTP/1.1 {status} Elsewhere\r\nlocation: {location}/v1/chat/completions\r\ncontent-length: 0\r\n"
        writer.write(f"{head}connection: close\r\n\r\n".encode())
        await writer.drain()
        writer.close()

    file = tmp_path / "router.yaml"
    file.write_text(CONFIGURATION.replace("PROPAGATES", "false"))
    async with (
        await asyncio.start_server(listen, "127.0.0.1", 0) as other,
        await asyncio.start_server(redirect, "127.0.0.1", 0) as provider,
    ):
        # Another origin by its port, and by its name.
        location = f"http://localhost:{other.sockets[0].getsockname()[1]}"
        application = Application(
            file, environ={"UPSTREAM": f"http://127.0.0.1:{provider.sockets[0].getsockname()[1]}"}
        )
        port = await application.start()
        async with AsyncClient.connect(f"127.0.0.1:{port}", timeout=60) as client:
            stub = client._stub
            if way == "unary":
                code, _ = await status_of(stub.Complete(complete_request(), timeout=60))
            else:
                code, _ = await status_of(stub.StreamComplete(stream_request(), timeout=60))
        await application.stop()
    assert code is not grpc.StatusCode.OK
    assert elsewhere == []
    assert asked
    assert all(b"sk-ours" in head for head in asked)
