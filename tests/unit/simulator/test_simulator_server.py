import asyncio
import json
from typing import Any

import aiohttp
import pytest

from router_service.simulator import BULK, SimulatedModel, Simulator
from router_service.simulator.bulk import CHUNKS
from router_service.simulator.dialects import DIALECTS


async def post(
    http: aiohttp.ClientSession, url: str, body: Any, headers: dict[str, str] | None = None
) -> tuple[int, dict[str, Any]]:
    async with http.post(f"{url}/chat/completions", json=body, headers=headers) as response:
        return response.status, await response.json()


def payloads(stream: str) -> list[str]:
    return [line.removeprefix("data:").strip() for line in stream.splitlines() if line.startswith("data:")]


async def test_one_port_poses_as_several_providers(
    simulator: Simulator, http: aiohttp.ClientSession, chat: Any
) -> None:
    status, answer = await post(http, simulator.url("openai"), chat())
    assert (status, answer["choices"][0]["finish_reason"]) == (200, "stop")
    status, answer = await post(http, simulator.url("deepseek"), chat())
    assert (status, answer["error"]["code"]) == (404, "model_not_found")
    assert [entry.provider for entry in simulator.journal] == ["openai", "deepseek"]


async def test_a_model_without_a_provider_is_served_everywhere(http: aiohttp.ClientSession, chat: Any) -> None:
    async with Simulator([SimulatedModel(name="any")]) as simulator:
        for url in (simulator.base_url, simulator.url("azure"), f"{simulator.origin}/gemini/v1beta/openai"):
            assert (await post(http, url, chat("any")))[0] == 200
    assert [entry.provider for entry in simulator.journal] == ["", "azure", "gemini"]


async def test_the_same_prompt_is_answered_the_same_by_stream_and_whole(
    simulator: Simulator, http: aiohttp.ClientSession, chat: Any
) -> None:
    _, whole = await post(http, simulator.url("openai"), chat())
    asked = chat(stream=True, stream_options={"include_usage": True})
    async with http.post(simulator.url("openai") + "/chat/completions", json=asked) as response:
        assert response.content_type == "text/event-stream"
        *chunks, done = payloads(await response.text())
    text = "".join(
        choice["delta"].get("content") or "" for chunk in map(json.loads, chunks) for choice in chunk["choices"]
    )
    assert (text, done) == (whole["choices"][0]["message"]["content"], "[DONE]")
    assert json.loads(chunks[-1])["usage"]["completion_tokens"] == whole["usage"]["completion_tokens"]
    entry = simulator.journal[-1]
    assert (entry.tokens_sent, entry.billed.output_tokens) == (whole["usage"]["completion_tokens"],) * 2
    assert entry.usage_reported


async def test_usage_streams_only_where_asked_for(simulator: Simulator, http: aiohttp.ClientSession, chat: Any) -> None:
    async with http.post(simulator.url("openai") + "/chat/completions", json=chat(stream=True)) as response:
        assert "usage" not in await response.text()
    assert not simulator.journal[-1].usage_reported


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"authorization": "Bearer right"}, 200),
        ({"api-key": "right"}, 200),
        ({"authorization": "Bearer wrong"}, 401),
        ({}, 401),
    ],
)
async def test_a_wrong_key_is_refused(
    http: aiohttp.ClientSession, chat: Any, headers: dict[str, str], status: int
) -> None:
    async with Simulator(keys={"openai": "right"}) as simulator:
        assert (await post(http, simulator.url("openai"), chat(), headers))[0] == status
        assert "right" not in repr(list(simulator.journal))


async def test_a_prompt_beyond_the_window_is_refused_in_openais_words(http: aiohttp.ClientSession, chat: Any) -> None:
    async with Simulator([SimulatedModel(name="small", context_window=100)]) as simulator:
        status, answer = await post(http, simulator.base_url, chat("small", "word " * 200))
    assert (status, answer["error"]["code"]) == (400, "context_length_exceeded")
    assert "maximum context length" in answer["error"]["message"]
    assert simulator.journal[0].billed.input_tokens == 0


async def test_mistral_refuses_a_field_with_an_object_as_message(http: aiohttp.ClientSession, chat: Any) -> None:
    async with Simulator([SimulatedModel(name="m", dialect=DIALECTS["mistral"])]) as simulator:
        status, answer = await post(http, simulator.base_url, chat("m", max_completion_tokens=5))
    assert (status, answer["message"]["detail"][0]["loc"]) == (422, ["body", "max_completion_tokens"])


@pytest.mark.parametrize(("method", "path"), [("GET", "/v1/nothing"), ("GET", "/v1/chat/completions")])
async def test_an_unknown_url_is_404(simulator: Simulator, http: aiohttp.ClientSession, method: str, path: str) -> None:
    async with http.request(method, simulator.origin + path) as response:
        assert response.status == 404


async def test_models_are_listed_per_provider(simulator: Simulator, http: aiohttp.ClientSession) -> None:
    async with http.get(simulator.url("deepseek") + "/models") as response:
        listed = (await response.json())["data"]
    assert {model["id"] for model in listed} == {"deepseek-chat", "deepseek-reasoner"}


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"model":"gpt-4o"}', b'{"model":"gpt-4o","messages":[]}'])
async def test_a_bad_body_is_400_and_in_the_journal(
    simulator: Simulator, http: aiohttp.ClientSession, body: bytes
) -> None:
    async with http.post(simulator.url("openai") + "/chat/completions", data=body) as response:
        assert response.status == 400
    assert simulator.journal[0].status == 400


async def test_connections_are_kept_and_pipelined_requests_answered_in_order(simulator: Simulator) -> None:
    host, port = simulator.origin.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, port)
    get = b"GET /openai/v1/%b HTTP/1.1\r\nhost: x\r\n\r\n"
    writer.write(
        get % b"models" + get % b"nothing" + get.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n") % b"models"
    )
    answers = (await reader.read()).split(b"HTTP/1.1 ")[1:]
    writer.close()
    assert [int(answer[:3]) for answer in answers] == [200, 404, 200]


async def test_a_request_may_arrive_in_pieces_and_in_chunks(simulator: Simulator, chat: Any) -> None:
    host, port = simulator.origin.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, port)
    body = json.dumps(chat()).encode()
    halves = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (body[:9], body[9:]))
    head = b"POST /openai/v1/chat/completions HTTP/1.1\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n"
    for byte in head + halves + b"0\r\n\r\n":
        writer.write(bytes((byte,)))
        await asyncio.sleep(0)
    assert (await reader.read()).startswith(b"HTTP/1.1 200 OK")
    writer.close()


async def test_a_client_that_waits_for_leave_to_send_its_body_gets_it(simulator: Simulator, chat: Any) -> None:
    host, port = simulator.origin.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, port)
    body = json.dumps(chat()).encode()
    head = "POST /openai/v1/chat/completions HTTP/1.1\r\nexpect: 100-continue\r\nconnection: close\r\n"
    writer.write(f"{head}content-length: {len(body)}\r\n\r\n".encode())
    assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    writer.write(body)
    assert (await reader.read()).startswith(b"HTTP/1.1 200 OK")
    writer.close()


async def test_the_bulk_model_streams_64_chunks_and_answers_whole(
    simulator: Simulator, http: aiohttp.ClientSession, chat: Any
) -> None:
    async with http.post(f"{simulator.base_url}/chat/completions", json=chat(BULK, stream=True)) as response:
        *chunks, done = payloads(await response.text())
    contents = [
        chunk for chunk in map(json.loads, chunks) if chunk["choices"] and chunk["choices"][0]["delta"].get("content")
    ]
    assert (len(contents), done) == (CHUNKS, "[DONE]")
    assert json.loads(chunks[-1])["usage"]["completion_tokens"] == CHUNKS
    status, whole = await post(http, simulator.base_url, chat(BULK))
    assert (status, whole["usage"]["completion_tokens"]) == (200, CHUNKS)


async def test_speed_divides_the_models_pauses(http: aiohttp.ClientSession, chat: Any) -> None:
    slow = SimulatedModel(name="slow", first_token_seconds=50, tokens_per_second=2)
    async with Simulator([slow], speed=1000) as simulator:
        await post(http, simulator.base_url, chat("slow", stream=False))
        async with http.post(simulator.base_url + "/chat/completions", json=chat("slow", stream=True)) as response:
            await response.read()
    for entry in simulator.journal:
        assert entry.ended_at is not None
        expected = (50 + entry.tokens_sent / 2) / 1000
        assert entry.ended_at - entry.received_at >= expected * 0.95
