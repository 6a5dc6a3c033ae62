"""Every fault the simulated provider knows, with marked words in prompt, key, body and headers: none of them leaves."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc.aio
import msgspec
import pytest
from google.rpc import status_pb2
from scripted_engine import read_all
from test_confidentiality import Watched, watched  # noqa: F401 - a fixture

from llmrouter.v1 import call_pb2, chat_pb2, router_service_pb2, router_service_pb2_grpc
from router_service import app
from router_service.engine import complete
from router_service.engine.receipts import ReceiptStore
from router_service.simulator import ErrorStyle, Fault, FaultKind, Simulator, in_band, rejections
from router_service.simulator.rejections import Response

PROMPT = "canary-prompt-51c8"
KEY = "sk-canary-key-e07b"
BODY = "canary-body-9d24"
HEADER = "canary-header-3a6f"
SOLID = frozenset({FaultKind.NONE, FaultKind.LINE_SEPARATORS})


def faults() -> Iterator[Fault]:
    """Each kind before and amid the output, each style of error in a stream, and what waits so that it ends soon."""
    quick = {FaultKind.SLOW_HEADERS: 0.001, FaultKind.DRIP: 0.0001, FaultKind.PING_FLOOD: 0.01}
    for kind in FaultKind:
        for style in ErrorStyle if kind is FaultKind.IN_BAND_ERROR else [ErrorStyle.VLLM]:
            for after_tokens in (0, 3):
                yield Fault(kind=kind, after_tokens=after_tokens, style=style, seconds=quick.get(kind))


FAULTS = list(faults())


def configuration() -> str:
    # A deployment for each call: a breaker that one fault opened must not hide the next.
    models = "\n".join(
        f"  {way}-{number}: {{provider: ours, upstream_name: gpt-4o, price: {{input: 1, output: 2}}}}"
        for way in ("unary", "stream")
        for number in range(len(FAULTS))
    )
    return f"""
server: {{address: "127.0.0.1:0", lame_duck: 0s}}
providers:
  ours: {{base_url: "${{SIMULATOR_URL}}/openai/v1", api_key: {KEY}}}
models:
{models}
policies:
  default:
    timeouts: {{first_token: 1s, stall: 1s, total: 5s}}
    retries: {{same_deployment: 1, backoff_initial: 1ms, backoff_max: 1ms}}
    rules: [{{use: [unary-0]}}]
"""


def tainted(value: Any) -> Any:
    """The same JSON with a mark in whatever is meant for people to read."""
    if isinstance(value, dict):
        marked = {
            key: f"{it} {BODY}" if key in {"message", "msg"} and isinstance(it, str) else tainted(it)
            for key, it in value.items()
        }
        return {**marked, "debug": BODY}
    return [tainted(it) for it in value] if isinstance(value, list) else value


def taint(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the provider's own words and headers be marked."""
    page, json_response, body = rejections.html, rejections._json, in_band.body

    def marked_json(status: int, value: object, headers: Mapping[str, str] | None = None) -> Response:
        response = json_response(status, tainted(msgspec.json.decode(msgspec.json.encode(value))), headers)
        return replace(response, headers={**response.headers, "x-upstream-note": HEADER})

    monkeypatch.setattr(rejections, "html", lambda status, title: page(status, f"{title} {BODY}"))
    monkeypatch.setattr(rejections, "_json", marked_json)
    monkeypatch.setattr(in_band, "body", lambda style, envelope: tainted(body(style, envelope)))


def everything_about(error: grpc.aio.AioRpcError) -> str:
    """All a caller is told: code, text, trailers, details."""
    trailers = dict(error.trailing_metadata() or ())
    status = status_pb2.Status.FromString(trailers.pop("grpc-status-details-bin", b""))
    return f"{error!r} {error.details()} {trailers} {status} {error.initial_metadata()}"


async def test_no_fault_makes_a_prompt_a_key_or_a_providers_words_leave(
    watched: Watched,  # noqa: F811 - the fixture
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    taint(monkeypatch)
    logging.getLogger().setLevel(logging.DEBUG)
    file = tmp_path / "router.yaml"
    file.write_text(configuration())
    told: list[str] = []
    ended: dict[tuple[str, FaultKind, int], grpc.StatusCode] = {}
    places = asyncio.Semaphore(32)

    async with Simulator() as simulator:
        for number, fault in enumerate(FAULTS):
            simulator.fail(None, fault, contains=f"wish {number}.", times=None)
        application = app.Application(file, environ={"SIMULATOR_URL": simulator.origin}, span_exporter=watched.spans)
        port = await application.start()
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            stub = router_service_pb2_grpc.RouterServiceStub(channel)

            async def call(way: str, number: int, fault: Fault) -> None:
                name = f"{way}-{number}"
                part = chat_pb2.Part(text=f"Grant wish {number}. {PROMPT}")
                asked: dict[str, Any] = {
                    "chat": chat_pb2.Chat(messages=[chat_pb2.Message(role=chat_pb2.ROLE_USER, parts=[part])]),
                    "routing": call_pb2.Routing(deployment=name),
                }
                options: dict[str, Any] = {"metadata": (("x-request-id", name),), "timeout": 30}
                error: grpc.aio.AioRpcError | None = None
                async with places:
                    if way == "stream":
                        request = router_service_pb2.StreamCompleteRequest(**asked)
                        said, error = await read_all(stub.StreamComplete(request, **options))
                        # All but the answer itself, which may well repeat the prompt.
                        told.extend(
                            f"{event.decision} {event.attempt_started} {event.finished.receipt}" for event in said
                        )
                    else:
                        try:
                            await stub.Complete(router_service_pb2.CompleteRequest(**asked), **options)
                        except grpc.aio.AioRpcError as failed:
                            error = failed
                ended[way, fault.kind, fault.after_tokens] = error.code() if error else grpc.StatusCode.OK
                told.append(everything_about(error) if error else "")
                receipt = await stub.GetReceipt(router_service_pb2.GetReceiptRequest(request_id=name), timeout=30)
                told.append(f"{receipt} {application.engine.receipt('default', name)!r}")

            async with asyncio.TaskGroup() as group:
                for way in ("unary", "stream"):
                    for number, fault in enumerate(FAULTS):
                        group.create_task(call(way, number, fault))
        told.append(watched.exported())
        await application.stop()
        struck = {entry.fault.kind for entry in simulator.journal if entry.fault is not None}

    told += [span.to_json() for span in watched.spans.spans]
    told += [watched.logs.getvalue(), capfd.readouterr().err]
    everything = "\n".join(told)
    found = {canary: everything.count(canary) for canary in (PROMPT, KEY, BODY, HEADER, "Provider disconnected")}
    assert found == dict.fromkeys(found, 0)

    # Every fault struck, every call ended in a way that is ours, and the places that were searched are not empty.
    assert struck | SOLID == set(FaultKind)
    assert grpc.StatusCode.UNKNOWN not in ended.values()
    assert {kind for (_, kind, _), code in ended.items() if code is grpc.StatusCode.OK} >= SOLID
    for place in ("llm_router.request.completed", "llm_router.requests", "chat gpt-4o", "error_type"):
        assert place in everything


@asynccontextmanager
async def router(
    tmp_path: Path,
) -> AsyncIterator[tuple[app.Application, Simulator, router_service_pb2_grpc.RouterServiceAsyncStub]]:
    file = tmp_path / "router.yaml"
    file.write_text(configuration())
    async with Simulator() as simulator:
        application = app.Application(file, environ={"SIMULATOR_URL": simulator.origin})
        port = await application.start()
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield application, simulator, router_service_pb2_grpc.RouterServiceStub(channel)
        await application.stop()


CHAT = chat_pb2.Chat(messages=[chat_pb2.Message(role=chat_pb2.ROLE_USER, parts=[chat_pb2.Part(text=PROMPT)])])
DEFECT = "canary-defect-77ab"


def broken(*_: object, **__: object) -> Any:
    raise KeyError(f"{DEFECT} {PROMPT} {KEY}")


@pytest.mark.parametrize(
    ("where", "way"),
    [
        *((where, way) for where in ("assess", "decide") for way in ("unary", "stream", "route")),
        ("Attempts", "unary"),
        ("Attempts", "stream"),
        ("sign", "route"),
    ],
)
async def test_a_defect_anywhere_in_the_engine_is_told_by_its_request_id_alone(
    where: str, way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if where == "sign":
        monkeypatch.setattr(complete.Engine, "sign", broken)
    else:
        monkeypatch.setattr(complete, where, broken)
    options: dict[str, Any] = {"metadata": (("x-request-id", "r-7"),), "timeout": 20}
    error: grpc.aio.AioRpcError | None
    async with router(tmp_path) as (_, _, stub):
        if way == "stream":
            _, error = await read_all(
                stub.StreamComplete(router_service_pb2.StreamCompleteRequest(chat=CHAT), **options)
            )
        else:
            method = stub.Complete if way == "unary" else stub.Route
            kind = router_service_pb2.CompleteRequest if way == "unary" else router_service_pb2.RouteRequest
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await method(kind(chat=CHAT), **options)
            error = caught.value
    assert error is not None
    assert error.code() is grpc.StatusCode.INTERNAL
    assert error.details() == "The router failed. Its log knows more, under the request id r-7."
    said = everything_about(error)
    assert not [canary for canary in (DEFECT, PROMPT, KEY, "KeyError") if canary in said]


async def test_a_defect_while_a_call_is_being_cancelled_reaches_nobody(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    watched: Watched,  # noqa: F811 - the fixture
) -> None:
    """Accounting for a caller who left fails: the caller is gone, the log has no prompt, the server goes on."""
    failed = asyncio.Event()

    def put(*_: object) -> None:
        failed.set()
        broken()

    async with router(tmp_path) as (application, simulator, stub):
        simulator.fail(None, "stall", after_tokens=2, times=1)
        stream = stub.StreamComplete(router_service_pb2.StreamCompleteRequest(chat=CHAT), timeout=20)
        await stream.read()
        with monkeypatch.context() as patched:
            patched.setattr(ReceiptStore, "put", put)
            stream.cancel()
            async with asyncio.timeout(30):
                await failed.wait()
                while application._server.in_flight:  # noqa: ASYNC110 - the count has no event
                    await asyncio.sleep(0.001)
        await stub.Complete(router_service_pb2.CompleteRequest(chat=CHAT), timeout=20)
    logs = watched.logs.getvalue()
    assert not [canary for canary in (DEFECT, PROMPT, KEY) if canary in logs]
