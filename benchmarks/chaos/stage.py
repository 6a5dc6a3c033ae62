"""A real router before a simulated provider, staged for a group of cells that do not know of each other."""

from __future__ import annotations

import asyncio
import gc
import logging
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path

import grpc
import yaml
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]

from benchmarks.chaos.cells import CANDIDATES, CONTEXT_WINDOWS, RETRIES, Cell, Recovery, Way, met
from benchmarks.chaos.faults import Address
from benchmarks.chaos.unreachable import unreachable
from llmrouter.v1 import call_pb2, chat_pb2, receipt_pb2, router_service_pb2, router_service_pb2_grpc, stream_pb2
from router_service.app import Application
from router_service.domain.vendor import Prefill
from router_service.simulator import Fault, SimulatedModel, Simulator
from router_service.simulator.dialects import DIALECTS, OPENAI
from router_service.simulator.journal import Entry, Outcome

PRICES_USD = {"a": (2.5, 10.0), "b": (0.27, 1.1), "c": (1.0, 3.0)}
"""Per million tokens of input and output. No price of one is a price of another, so a mix-up shows."""

ANSWER_TOKENS = 24
"""Every answer is longer than this and cut to it: the provider finishes it with "length"."""

OUR_MARK = "kestrel"

DEADLINE = 20.0
# A closed connection reaches the provider's end after the call's own; usage may be waited for until then.
_SETTLE = 5.0
AT_ONCE = 16
"""So many cells run at the same time."""

_PREFILLING = replace(OPENAI, prefill=Prefill.PLAIN)

# In milliseconds.
_TIMEOUTS = {"connect": 500, "first_token": 600, "stall": 600}
_TOTAL = {"total": "8s"}
_RETRIES = {"same_deployment": RETRIES, "max_attempts": 12, "backoff_initial": "10ms", "backoff_max": "3s"}
# Silence in a whole answer ends with the total timeout only.
_WHOLE_TOTAL = {"total": 1000}

Sabotage = Callable[[Application], AbstractContextManager[object]]
"""Breaks a router on purpose while entered: a negative control."""


@dataclass(frozen=True, slots=True)
class Delta:
    """A text delta of a stream."""

    sequence: int
    attempt: int
    text: str


@dataclass(slots=True, kw_only=True)
class Observation:
    """What the caller and the provider saw of one call.

    `deltas` are what is left of a stream's after what was discarded, `sequences` the numbers of all its events,
    `finals` how many `Finished` there were and `after_final` what came behind. `text` is the answer's, `None` where
    there is none. `said` is all that the error says, `logged` what the log repeats of the prompt or the key. `entries`
    is the provider's journal of this call, `kept` what GetReceipt gave later. `began` and `ended` are on the event
    loop's clock, in seconds.
    """

    code: str = "OK"
    reason: str = ""
    domain: str = ""
    said: str = ""
    logged: str = ""
    pushback: str = ""
    text: str | None = None
    finish_reason: str = ""
    deltas: list[Delta] = field(default_factory=list)
    sequences: list[int] = field(default_factory=list)
    finals: int = 0
    after_final: int = 0
    receipt: receipt_pb2.Receipt | None = None
    kept: receipt_pb2.Receipt | None = None
    entries: list[Entry] = field(default_factory=list)
    began: float = 0.0
    ended: float = 0.0

    @property
    def seconds(self) -> float:
        """How long the call took."""
        return self.ended - self.began


class _Log(logging.Handler):
    """Takes the router's log in the place of the terminal, and keeps the lines with a mark in them."""

    def __init__(self) -> None:
        super().__init__()
        self._lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        line = self.format(record)
        if OUR_MARK in line:
            self._lines.append(line)

    def lines_with(self, mark: str) -> str:
        """What was logged with this mark in it."""
        return "\n".join(line for line in self._lines if mark in line)

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Listen while entered."""
        logger = logging.getLogger("llmrouter")
        logger.addHandler(self)
        logger.propagate, before = False, logger.propagate
        try:
            yield
        finally:
            logger.propagate = before
            logger.removeHandler(self)


@dataclass(slots=True)
class Stage:
    """Cells, ready to be performed. Prompts and keys carry marks that no error and no log may repeat."""

    cells: Sequence[Cell]
    simulator: Simulator
    calls: router_service_pb2_grpc.RouterServiceAsyncStub
    log: _Log
    at_once: int = AT_ONCE
    _entries: dict[str, list[Entry]] = field(default_factory=dict)
    _entries_read: int = 0

    async def perform_all(self) -> list[Observation]:
        """All cells, many at once; in their order."""
        turn = asyncio.Semaphore(self.at_once)

        async def one(number: int) -> Observation:
            async with turn:
                return await self._perform(number)

        observations = await asyncio.gather(*(one(number) for number in range(len(self.cells))))
        for number, seen in enumerate(observations):
            seen.logged = self.log.lines_with(_mark(number))
        return observations

    async def _perform(self, number: int) -> Observation:
        cell = self.cells[number]
        self._script(number, cell)
        seen = Observation()
        request_id = f"chaos-{number}"
        loop = asyncio.get_running_loop()
        seen.began = loop.time()
        try:
            if cell.way is Way.STREAM:
                await self._stream(_request(number, cell), request_id, seen)
            else:
                await self._unary(_request(number, cell), request_id, seen)
        except grpc.aio.AioRpcError as error:
            _note_error(error, seen)
        seen.ended = loop.time()
        seen.kept = await self._receipt(request_id)
        await self._note_journal(number, seen)
        for letter in CANDIDATES:
            self.simulator.script.heal(provider=_provider(number, letter))
        return seen

    def _script(self, number: int, cell: Cell) -> None:
        """Have the simulated provider do what `met` says of each candidate's first attempts, then of all later ones."""
        for letter in CANDIDATES:
            for tries in range(1, RETRIES + 2):
                strike = met(cell, letter, tries)
                cause = strike.cause if strike is not None else Fault.of("none")
                if isinstance(cause, Fault):
                    times = None if tries == RETRIES + 1 else 1
                    self.simulator.fail(None, cause, provider=_provider(number, letter), times=times)

    async def _unary(self, request: router_service_pb2.CompleteRequest, request_id: str, seen: Observation) -> None:
        response = await self.calls.Complete(request, timeout=DEADLINE, metadata=(("x-request-id", request_id),))
        seen.text = _text(response.message)
        seen.finish_reason = chat_pb2.FinishReason.Name(response.finish_reason)
        seen.receipt = response.receipt

    async def _stream(self, request: router_service_pb2.CompleteRequest, request_id: str, seen: Observation) -> None:
        streamed = router_service_pb2.StreamCompleteRequest(chat=request.chat, routing=request.routing)
        call = self.calls.StreamComplete(streamed, timeout=DEADLINE, metadata=(("x-request-id", request_id),))
        async for response in call:
            seen.after_final += seen.finals
            seen.sequences.append(response.sequence)
            if response.HasField("text_delta"):
                seen.deltas.append(Delta(response.sequence, response.text_delta.attempt, response.text_delta.text))
            elif response.HasField("attempt_discarded"):
                kept = response.attempt_discarded.from_sequence
                seen.deltas = [delta for delta in seen.deltas if delta.sequence < kept]
            elif response.HasField("finished"):
                seen.finals += 1
                _note_finished(response.finished, seen)

    async def _receipt(self, request_id: str) -> receipt_pb2.Receipt | None:
        try:
            response = await self.calls.GetReceipt(router_service_pb2.GetReceiptRequest(request_id=request_id))
        except grpc.aio.AioRpcError:
            return None
        return response.receipt

    async def _note_journal(self, number: int, seen: Observation) -> None:
        """The provider's side, once it has noticed the end of every request."""
        loop = asyncio.get_running_loop()
        until = loop.time() + _SETTLE
        while True:
            while self._entries_read < len(self.simulator.journal):
                entry = self.simulator.journal[self._entries_read]
                self._entries.setdefault(entry.provider, []).append(entry)
                self._entries_read += 1
            entries = [entry for letter in CANDIDATES for entry in self._entries.get(_provider(number, letter), ())]
            if loop.time() > until or all(entry.outcome is not Outcome.OPEN for entry in entries):
                # The journal goes on: what closes these later, such as the end of the stage, is not the router.
                seen.entries = [replace(entry) for entry in entries]
                return
            await asyncio.sleep(0.02)


@asynccontextmanager
async def staged(
    cells: Sequence[Cell], sabotage: Sabotage | None = None, *, patience: int = 1, at_once: int = AT_ONCE
) -> AsyncIterator[Stage]:
    """A router with deployments of its own for every cell, so that no breaker and no key is shared.

    `patience` multiplies its timeouts, `at_once` is how many cells run at the same time.
    """
    models = [
        SimulatedModel(
            name=_model(letter, every_chunk=every_chunk),
            quality=0.9,
            first_token_seconds=0.001,
            tokens_per_second=1000,
            dialect=dialect,
        )
        for letter in CANDIDATES
        for every_chunk, dialect in ((False, _PREFILLING), (True, DIALECTS["vllm"]))
    ]
    log = _Log()
    with tempfile.TemporaryDirectory() as folder, unreachable() as addresses, log.listening():
        async with Simulator(models, speed=1) as simulator:
            file = Path(folder) / "router.yaml"
            file.write_text(yaml.dump(_configuration(cells, simulator, addresses, patience), Dumper=yaml.CSafeDumper))
            application = Application(file, environ={})
            port = await application.start()
            options = (("grpc.enable_retries", 0),)
            try:
                # A collection of all that was staged would hold up every call at once.
                gc.collect()
                gc.freeze()
                with sabotage(application) if sabotage is not None else nullcontext():
                    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=options) as channel:
                        yield Stage(cells, simulator, router_service_pb2_grpc.RouterServiceStub(channel), log, at_once)
            finally:
                gc.unfreeze()
                await application.stop()


def _configuration(
    cells: Sequence[Cell], simulator: Simulator, addresses: Mapping[Address, str], patience: int
) -> dict[str, object]:
    def patient(milliseconds: Mapping[str, int]) -> dict[str, str]:
        return {name: f"{value * patience}ms" for name, value in milliseconds.items()}

    providers: dict[str, dict[str, object]] = {}
    models: dict[str, object] = {}
    policies: dict[str, object] = {}
    for number, cell in enumerate(cells):
        for letter in CANDIDATES:
            name = _provider(number, letter)
            strike = met(cell, letter, 1)
            cause = strike.cause if strike is not None else None
            providers[name] = {
                "base_url": addresses[cause] if isinstance(cause, Address) else simulator.url(name),
                "api_key": f"sk-{_mark(number)}",
            }
            if cell.recovery is Recovery.CONTINUE:
                dialect = DIALECTS["vllm"] if cell.fault.every_chunk else _PREFILLING
                providers[name]["quirks"] = {"prefill": dialect.prefill.value}
            into, out = PRICES_USD[letter]
            models[name] = {
                "provider": name,
                "upstream_name": _model(letter, every_chunk=cell.fault.every_chunk),
                "context_window": CONTEXT_WINDOWS[letter],
                "price": {"input": into, "output": out},
            }
        whole = cell.way is Way.WHOLE
        policies[f"cell-{number}"] = {
            "rules": [{"use": [_provider(number, letter) for letter in CANDIDATES]}],
            "stream_upstream": not whole,
            "timeouts": patient(_TIMEOUTS) | (patient(_WHOLE_TOTAL) if whole else _TOTAL),
            "retries": _RETRIES,
            "recovery": cell.recovery.value,
        }
    return {
        "server": {"address": "127.0.0.1:0", "lame_duck": "0s", "grace": "1s"},
        # The cells do not know of each other: none may use up the repeats of another.
        "retry_budget": {"per_second": 10_000},
        "providers": providers,
        "models": models,
        "policies": policies,
        "default_policy": "cell-0",
    }


def _request(number: int, cell: Cell) -> router_service_pb2.CompleteRequest:
    said = f"Explain how tides work to {_mark(number)}."
    message = chat_pb2.Message(role=chat_pb2.ROLE_USER, parts=[chat_pb2.Part(text=said)])
    return router_service_pb2.CompleteRequest(
        chat=chat_pb2.Chat(messages=[message], parameters=chat_pb2.Parameters(max_output_tokens=ANSWER_TOKENS)),
        routing=call_pb2.Routing(policy=f"cell-{number}", accept_discard=cell.recovery is Recovery.RESTART),
    )


def _note_finished(finished: stream_pb2.Finished, seen: Observation) -> None:
    seen.receipt = finished.receipt
    if finished.HasField("message"):
        seen.text = _text(finished.message)
        seen.finish_reason = chat_pb2.FinishReason.Name(finished.finish_reason)


def _note_error(error: grpc.aio.AioRpcError, seen: Observation) -> None:
    seen.code = error.code().name
    trailing = {str(key): value for key, value in error.trailing_metadata() or ()}
    seen.pushback = str(trailing.get("grpc-retry-pushback-ms", ""))
    seen.said = f"{error.details()} {trailing!r}"
    status = status_pb2.Status.FromString(trailing.get("grpc-status-details-bin", b""))
    for detail in status.details:
        info = error_details_pb2.ErrorInfo()
        if detail.Unpack(info):
            seen.reason, seen.domain = info.reason, info.domain


def _text(message: chat_pb2.Message) -> str:
    return "".join(part.text for part in message.parts)


def _provider(number: int, letter: str) -> str:
    return f"c{number}{letter}"


def _model(letter: str, *, every_chunk: bool) -> str:
    return f"chaos-{letter}-every-chunk" if every_chunk else f"chaos-{letter}"


def _mark(number: int) -> str:
    """A word in the prompt and in the keys that no error and no log may repeat."""
    return f"canary{number}{OUR_MARK}"
