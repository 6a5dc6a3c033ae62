"""What a caller said and the keys we hold stay out of logs, metrics, spans and errors, however a call ends."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from llmrouter import AsyncClient, RouterError
from router_service import app
from router_service.engine import complete
from router_service.telemetry.logging import JsonFormatter, TextFormatter
from router_service.telemetry.setup import Telemetry
from router_service.telemetry.tree import SpanCollector

PROMPT = "canary-prompt-7f3a"
KEY = "sk-canary-key-91c2"
CONFIGURATION = f"""
server: {{address: "127.0.0.1:0", lame_duck: 0s}}
providers:
  ours: {{base_url: "${{UPSTREAM}}/v1", api_key: {KEY}}}
models:
  gpt-x: {{provider: ours, price: {{input: 1, output: 2}}}}
policies:
  default: {{rules: [{{name: all, use: [gpt-x]}}]}}
"""


def _response(status: int, body: bytes, kind: str = "application/json") -> bytes:
    head = (
        f"HTTP/1.1 {status} Reason\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
    )
    return head.encode() + body


def _error(status: int, message: str, code: str) -> bytes:
    said = {"error": {"message": message, "type": "invalid_request_error", "code": code, "param": message}}
    return _response(status, json.dumps(said).encode())


def _answer(heard: str, *, stream: bool) -> bytes:
    usage = {"prompt_tokens": 9, "completion_tokens": 5}
    if not stream:
        choice = {"index": 0, "message": {"role": "assistant", "content": heard}, "finish_reason": "stop"}
        return _response(200, json.dumps({"id": "up-1", "choices": [choice], "usage": usage}).encode())
    chunks = [
        {"id": "up-1", "choices": [{"index": 0, "delta": {"content": heard}, "finish_reason": None}]},
        {"id": "up-1", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "usage": usage},
    ]
    lines = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + "data: [DONE]\n\n"
    return _response(200, lines.encode(), "text/event-stream")


def _cut(heard: str) -> bytes:
    chunk = {"id": "up-1", "choices": [{"index": 0, "delta": {"content": heard}, "finish_reason": None}]}
    line = f"data: {json.dumps(chunk)}\n\n".encode()
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 99999\r\nconnection: close\r\n\r\n"
    return head + line


def _reply(mode: str, head: str, body: str) -> bytes:
    """A provider that repeats whatever it was sent, headers and all."""
    heard = f"You sent {head} {body}"
    match mode:
        case "rejected":
            return _error(400, heard, "invalid_value")
        case "filtered":
            return _error(400, heard, "content_filter")
        case "key refused":
            return _error(401, f"Incorrect API key provided: {KEY}. {heard}", "invalid_api_key")
        case "nonsense":
            return _response(200, heard.encode(), "text/html")
        case "cut":
            return _cut(heard)
        case _:
            return _answer(heard, stream=json.loads(body).get("stream", False))


@asynccontextmanager
async def upstream(mode: str) -> AsyncIterator[str]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        lengths = [line.split(":")[1] for line in head.split("\r\n") if line.lower().startswith("content-length")]
        body = (await reader.readexactly(int(lengths[0]))).decode()
        assert PROMPT in body
        assert KEY in head
        writer.write(_reply(mode, head, body))
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@dataclass
class Watched:
    """All that leaves the process besides answers."""

    logs: io.StringIO
    metrics: InMemoryMetricReader
    spans: SpanCollector

    def exported(self) -> str:
        metrics = self.metrics.get_metrics_data()
        assert metrics is not None
        return metrics.to_json()


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Iterator[Watched]:
    seen = Watched(io.StringIO(), InMemoryMetricReader(), SpanCollector())
    monkeypatch.setattr(app, "Telemetry", partial(Telemetry, metric_reader=seen.metrics))
    root = logging.getLogger()
    handlers: list[logging.Handler] = []
    for formatter in (TextFormatter(), JsonFormatter()):
        handler = logging.StreamHandler(seen.logs)
        handler.setFormatter(formatter)
        handlers.append(handler)
        root.addHandler(handler)
    level = root.level
    root.setLevel(logging.INFO)
    yield seen
    root.setLevel(level)
    for handler in handlers:
        root.removeHandler(handler)


def _defect(call: object, *_: object) -> None:
    raise ValueError(f"cannot read {call} with {KEY}")


@pytest.mark.parametrize("way", ["unary", "stream"])
@pytest.mark.parametrize(
    ("mode", "reason", "error_type"),
    [
        ("answered", None, None),
        ("rejected", "UPSTREAM_REJECTED", "400"),
        ("filtered", "CONTENT_FILTERED", "content_filter"),
        ("key refused", "PROVIDER_REFUSES_KEY", "401"),
        ("nonsense", "ATTEMPTS_EXHAUSTED", None),
        ("cut", None, None),
        ("defect", "INTERNAL", None),
    ],
)
async def test_neither_a_prompt_nor_a_key_leaves_but_to_the_provider(
    mode: str,
    reason: str | None,
    error_type: str | None,
    way: str,
    watched: Watched,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    if mode == "defect":
        monkeypatch.setattr(complete, "assess", _defect)
    file = tmp_path / "router.yaml"
    file.write_text(CONFIGURATION)
    failure: RouterError | None = None
    async with upstream(mode) as origin:
        application = app.Application(file, environ={"UPSTREAM": origin}, span_exporter=watched.spans)
        port = await application.start()
        async with AsyncClient.connect(f"127.0.0.1:{port}", timeout=60) as client:
            try:
                if way == "unary":
                    await client.complete(f"Say {PROMPT}")
                else:
                    async with client.stream(f"Say {PROMPT}") as stream:
                        assert PROMPT in "".join([piece async for piece in stream.text()])
            except RouterError as error:
                failure = error
        exported = watched.exported()
        await application.stop()

    logs, spans = watched.logs.getvalue(), "".join(span.to_json() for span in watched.spans.spans)
    told = "" if failure is None else f"{failure} {failure!r} {failure.metadata} {failure.__dict__}"
    everything = logs + exported + spans + told + capfd.readouterr().err
    assert PROMPT not in everything
    assert KEY not in everything

    assert (failure is None) is (mode == "answered")
    if reason is not None:
        assert failure is not None
        assert failure.reason == reason
    assert "llm_router.request.completed" in logs
    assert "llm_router.requests" in exported
    assert ('Provider "ours" refused the key that deployment "gpt-x" uses' in logs) is (mode == "key refused")
    assert ("llm_router.provider.key_refused" in exported and '"value": 1' in exported) or mode != "key refused"
    if error_type is not None:
        assert f'"error.type": "{error_type}"' in exported
        assert f'"error.type": "{error_type}"' in spans
