"""Makes a case's calls through the public Python clients and reports what they gave their user."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.message import Message

from llmrouter import AsyncClient, Client, RouterError, StreamEvent
from llmrouter.v1.chat_pb2 import ReasoningEffort
from llmrouter.v1.router_service_pb2 import CompleteRequest, StreamCompleteResponse

_KINDS = {
    field.message_type.name: field.name
    for field in StreamCompleteResponse.DESCRIPTOR.fields
    if field.message_type is not None
}


@dataclass(frozen=True, slots=True)
class Control:
    """The control server at `url`, which README.md describes."""

    url: str

    def cases(self) -> list[str]:
        """The names of all cases."""
        return [case["name"] for case in self._ask("GET", "/cases")]

    async def begin(self, case: str) -> Any:
        """A router for a case, and the first call."""
        return await asyncio.to_thread(self._ask, "POST", f"/cases/{case}")

    async def report(self, session: str, outcome: dict[str, Any]) -> Any:
        """What is wrong so far, and the next call."""
        return await asyncio.to_thread(self._ask, "POST", f"/sessions/{session}/outcome", outcome)

    async def ask_for(self, session: str, what: str) -> None:
        """Have the server `drain`, or `wait?tokens=3`."""
        await asyncio.to_thread(self._ask, "POST", f"/sessions/{session}/{what}")

    def _ask(self, method: str, path: str, body: Any = None) -> Any:
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(self.url + path, data, {"content-type": "application/json"}, method=method)  # noqa: S310
        with urllib.request.urlopen(request, timeout=60) as response:  # noqa: S310
            return json.load(response)


class Threaded:
    """`Client`, driven by a thread for each wait, so that one runner serves both clients."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def __aenter__(self) -> Threaded:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._client.close()

    async def complete(self, *prompt: Any, **options: Any) -> Any:
        waiting = asyncio.ensure_future(asyncio.to_thread(self._client.complete, *prompt, **options))
        try:
            return await asyncio.shield(waiting)
        except asyncio.CancelledError:
            # A thread cannot be cancelled: whoever wants a call to end closes its client.
            self._client.close()
            await asyncio.wait([waiting])
            assert isinstance(waiting.exception(), RouterError)
            raise

    async def route(self, *prompt: Any, **options: Any) -> Any:
        return await asyncio.to_thread(self._client.route, *prompt, **options)

    async def receipt(self, request_id: str) -> Any:
        return await asyncio.to_thread(self._client.receipt, request_id)

    async def models(self) -> Any:
        return await asyncio.to_thread(self._client.models)

    @asynccontextmanager
    async def stream(self, *prompt: Any, **options: Any) -> AsyncIterator[_ThreadedStream]:
        with self._client.stream(*prompt, **options) as stream:
            yield _ThreadedStream(stream)


class _ThreadedStream:
    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.request_id = stream.request_id

    async def __aiter__(self) -> AsyncIterator[StreamEvent]:
        while (event := await asyncio.to_thread(next, self._stream, None)) is not None:
            yield event


Connect = Callable[..., Any]


def threaded(target: str, **options: Any) -> Threaded:
    """Connect the client for threads."""
    return Threaded(Client.connect(target, **options))


CLIENTS: dict[str, Connect] = {"awaited": AsyncClient.connect, "threaded": threaded}


async def run(control: Control, case: str, connect: Connect) -> list[str]:
    """Run a case; returns what is wrong."""
    begun = await control.begin(case)
    session, call = begun["session"], begun["call"]
    while True:
        outcome: dict[str, Any] = {}
        async with connect(begun["target"], api_key=call["apiKey"], timeout=20.0) as client:
            try:
                await _METHODS[call["method"]](control, session, client, call, outcome)
            except RouterError as error:
                outcome |= {"error": _error(error), "requestId": error.request_id}
            # Before the client closes, which would end whatever the call left behind.
            reply = await control.report(session, outcome)
        call = reply["call"]
        if call is None:
            return reply["problems"]


async def _complete(control: Control, session: str, client: Any, call: Any, outcome: dict[str, Any]) -> None:
    asked = asyncio.ensure_future(client.complete(**_arguments(call)))
    if during := call.get("during"):
        await control.ask_for(session, f"wait?tokens={during['upstreamTokens']}")
        if during["do"] == "cancel":
            asked.cancel()
            await asyncio.wait([asked])
            outcome["cancelled"] = asked.cancelled()
            return
        await control.ask_for(session, during["do"])
    answer = await asked
    outcome["requestId"] = answer.receipt.request_id
    outcome["answer"] = {
        "text": answer.text,
        "finishReason": answer.finish_reason,
        "message": _json(answer.message),
        "receipt": _json(answer.receipt),
    }


async def _stream(control: Control, session: str, client: Any, call: Any, outcome: dict[str, Any]) -> None:
    during, events = call.get("during"), outcome.setdefault("events", [])
    async with client.stream(**_arguments(call)) as stream:
        outcome["requestId"] = stream.request_id
        async for event in stream:
            events.append({_KINDS[type(event).__name__]: _json(event)})
            if during and len(events) == during["events"]:
                if during["do"] == "cancel":
                    outcome["cancelled"] = True
                    return
                await control.ask_for(session, during["do"])


async def _route(_: Control, __: str, client: Any, call: Any, outcome: dict[str, Any]) -> None:
    outcome["response"] = _json(await client.route(**_arguments(call)))


async def _receipt(_: Control, __: str, client: Any, call: Any, outcome: dict[str, Any]) -> None:
    outcome["response"] = {"receipt": _json(await client.receipt(call["request"]["requestId"]))}


async def _models(_: Control, __: str, client: Any, ___: Any, outcome: dict[str, Any]) -> None:
    outcome["response"] = {"deployments": [_json(one) for one in await client.models()]}


_METHODS = {
    "Complete": _complete,
    "StreamComplete": _stream,
    "Route": _route,
    "GetReceipt": _receipt,
    "ListModels": _models,
}


def _arguments(call: Any) -> dict[str, Any]:
    """The prompt and the options that say what the request says."""
    request = ParseDict(call["request"], CompleteRequest())
    chat, routing, parameters = request.chat, request.routing, request.chat.parameters
    options: dict[str, Any] = {
        **_set_fields(request.caller),
        **_set_fields(routing),
        **_set_fields(parameters),
        "labels": dict(request.caller.labels),
        "stop": list(parameters.stop),
        "tools": list(chat.tools),
        "idempotency_key": request.idempotency_key,
        "timeout": call["timeoutMs"] / 1000 if "timeoutMs" in call else None,
        "traceparent": call.get("traceparent"),
        "request_id": call.get("requestId"),
    }
    if chat.HasField("tool_choice"):
        options["tool_choice"] = chat.tool_choice
    if chat.HasField("response_format"):
        options["response_format"] = chat.response_format
    if chat.extra_json:
        options["extra"] = json.loads(chat.extra_json)
    if parameters.reasoning_effort:
        effort = ReasoningEffort.Name(parameters.reasoning_effort)
        options["reasoning_effort"] = effort.removeprefix("REASONING_EFFORT_").lower()
    given = {name: value for name, value in options.items() if value not in (None, "", [], {})}
    return {"prompt": list(chat.messages), **given}


def _set_fields(message: Message) -> dict[str, Any]:
    return {field.name: value for field, value in message.ListFields()}


def _error(error: RouterError) -> dict[str, Any]:
    return {
        "code": error.code.name,
        "reason": error.reason,
        "message": error.message,
        "metadata": error.metadata,
        "retryAfterMs": error.retry_after * 1000 if error.retry_after is not None else None,
        "violations": [{"field": bad.field, "description": bad.description} for bad in error.violations],
        "receiptSummary": _json(error.receipt_summary) if error.receipt_summary is not None else None,
        "requestId": error.request_id,
    }


def _json(message: Message) -> dict[str, Any]:
    return MessageToDict(message)
