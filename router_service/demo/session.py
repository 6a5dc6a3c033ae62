"""Runs prompts through a real service: a gRPC channel on one side, HTTP and SSE on the other."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan

from llmrouter import AsyncClient, RouterError
from llmrouter.v1.model_pb2 import Deployment
from llmrouter.v1.receipt_pb2 import Receipt
from router_service.app import Application
from router_service.demo.prompts import DemoPrompt
from router_service.simulator.script import load
from router_service.simulator.server import Simulator
from router_service.telemetry.tree import SpanCollector

_DATA = Path(__file__).parent.parent / "demo_data"
CONFIGURATION = _DATA / "router.yaml"
FAULTS = _DATA / "faults.yaml"


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoCall:
    """One call that was made, with the answer's text and its receipt. `turn` counts a conversation's calls from 1;
    `error` is empty where it was answered; `streamed` says whether its text was shown as it arrived."""

    title: str
    text: str
    receipt: Receipt
    turn: int = 1
    error: str = ""
    streamed: bool = False


@dataclass(slots=True)
class DemoResult:
    """All calls, what could be called, and the spans of all of them."""

    calls: list[DemoCall] = field(default_factory=list)
    deployments: Sequence[Deployment] = ()
    spans: Sequence[ReadableSpan] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Where a person can watch: `began` gets a call's number, prompt and turn, `wrote` its text, `ended` the call."""

    began: Callable[[int, DemoPrompt, int], None] = lambda number, prompt, turn: None
    wrote: Callable[[str], None] = lambda text: None
    ended: Callable[[DemoCall], None] = lambda call: None


QUIET = Progress()


async def run_demo(
    prompts: Sequence[DemoPrompt], *, progress: Progress = QUIET, real: bool = False, speed: float = 4.0
) -> DemoResult:
    """Send the prompts, in order, and collect what came of them.

    `real` uses the provider keys in the environment instead of the simulated provider. `speed` divides the simulated
    models' pauses.
    """
    collector = SpanCollector(limit=100_000)
    result = DemoResult()
    async with _service(collector, real=real, speed=speed) as client:
        for prompt in prompts:
            async for call in _converse(client, prompt, progress, first=len(result.calls) + 1):
                result.calls.append(call)
                progress.ended(call)
        result.deployments = await client.models()
    # Only the calls' own traces: listing the models was one too.
    result.spans = [span for call in result.calls for span in collector.trace(call.receipt.trace_id)]
    return result


@asynccontextmanager
async def _service(collector: SpanCollector, *, real: bool, speed: float) -> AsyncIterator[AsyncClient]:
    """A serving router and a client of it."""
    async with AsyncExitStack() as stack:
        environ: Mapping[str, str] = os.environ
        if not real:
            simulator = await stack.enter_async_context(Simulator(script=load(FAULTS), speed=speed))
            environ = {**os.environ, "SIMULATOR_URL": simulator.origin}
        application = Application(
            None if real else CONFIGURATION, environ=environ, address="127.0.0.1:0", span_exporter=collector
        )
        port = await application.start()
        stack.push_async_callback(application.stop)
        yield await stack.enter_async_context(AsyncClient.connect(f"127.0.0.1:{port}"))


async def _converse(
    client: AsyncClient, prompt: DemoPrompt, progress: Progress, *, first: int
) -> AsyncIterator[DemoCall]:
    """The calls of one prompt: one for its messages, or one a turn, each with the answers before it."""
    messages: list[Mapping[str, Any]] = list(prompt.messages)
    for turn, text in enumerate(prompt.turns or (None,), start=1):
        if text is not None:
            messages.append({"role": "user", "content": text})
        progress.began(first, prompt, turn)
        call = replace(await _call(client, prompt, messages, progress), turn=turn)
        yield call
        if call.error:
            return
        messages.append({"role": "assistant", "content": call.text})
        first += 1


async def _call(
    client: AsyncClient, prompt: DemoPrompt, messages: Sequence[Mapping[str, Any]], progress: Progress
) -> DemoCall:
    try:
        if not prompt.stream:
            answer = await client.complete(messages, **prompt.options)
            return DemoCall(title=prompt.title, text=answer.text or _tool_calls(answer.message), receipt=answer.receipt)
        pieces = []
        async with client.stream(messages, **prompt.options) as stream:
            async for text in stream.text():
                pieces.append(text)
                progress.wrote(text)
        assert stream.finished is not None
        text = "".join(pieces) or _tool_calls(stream.finished.message)
        return DemoCall(title=prompt.title, text=text, receipt=stream.finished.receipt, streamed=bool(pieces))
    except RouterError as error:
        receipt = await client.receipt(error.request_id) if error.request_id else Receipt()
        error_text = f"{error.reason or error.code.name}: {error.message}"
        return DemoCall(title=prompt.title, text="", receipt=receipt, error=error_text)
    except (TypeError, ValueError) as error:
        return DemoCall(title=prompt.title, text="", receipt=Receipt(), error=f"NOT_SENT: {error}")


def _tool_calls(message: Any) -> str:
    return "; ".join(f"{call.name}({call.arguments_json})" for call in message.tool_calls)
