"""A simulated OpenAI-compatible provider, or several, on one loopback port."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Any, Self

import msgspec

from router_service.simulator import bulk, rejections
from router_service.simulator.completion import PromptCache, complete, echoed, separated
from router_service.simulator.delivery import Delivery
from router_service.simulator.dialects import OPENAI
from router_service.simulator.faults import Fault, FaultKind
from router_service.simulator.http import Connection, Exchange, Request
from router_service.simulator.journal import Entry, Journal
from router_service.simulator.models import DEFAULT_MODELS, SimulatedModel
from router_service.simulator.refusal import Refused
from router_service.simulator.rejections import Response
from router_service.simulator.script import Rule, Script
from router_service.simulator.wire import Envelope

INSTANT = math.inf
"""The speed at which models neither think nor pause."""

_STRANGE = {FaultKind.LINE_SEPARATORS: separated, FaultKind.ECHO_PREFIX: echoed}
_CHAT = "/chat/completions"
_MODELS = "/models"


class Simulator:
    """Serves while entered (`async with`).

    One port poses as many providers: `url("openai")` is the base URL of the provider "openai", `base_url` that of a
    provider without a name. `keys` maps a provider ("" for the nameless) to the one key it accepts; providers not in
    it accept any. `speed` divides the models' pauses. `now` is the wall clock, in seconds since the epoch.
    """

    def __init__(
        self,
        models: Iterable[SimulatedModel] = DEFAULT_MODELS,
        script: Script | None = None,
        *,
        keys: Mapping[str, str] | None = None,
        speed: float = INSTANT,
        host: str = "127.0.0.1",
        port: int = 0,
        journal_size: int = 100_000,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.script = script or Script()
        self.journal = Journal(keep=journal_size)
        self._models = {(model.provider, model.name): model for model in models}
        self._keys = dict(keys or {})
        self._speed = speed
        self._address = (host, port)
        self._now = now
        self._cache = PromptCache()
        self._connections: set[Connection] = set()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        host, port = self._address
        self._server = await asyncio.get_running_loop().create_server(
            lambda: Connection(self._serve, bulk.response, self._connections), host, port, backlog=1024
        )
        self._address = (host, self._server.sockets[0].getsockname()[1])
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.close()
            for connection in tuple(self._connections):
                connection.abort()
            await self._server.wait_closed()

    @property
    def origin(self) -> str:
        """Such as "http://127.0.0.1:18401": what a configuration's `${SIMULATOR_URL}` stands for."""
        host, port = self._address
        return f"http://{host}:{port}"

    @property
    def base_url(self) -> str:
        """The base URL of the nameless provider."""
        return f"{self.origin}/v1"

    def url(self, provider: str) -> str:
        """The base URL of a provider."""
        return f"{self.origin}/{provider}/v1"

    @property
    def connections(self) -> int:
        """How many clients are connected now."""
        return len(self._connections)

    def fail(
        self,
        model: str | None,
        fault: Fault | FaultKind | str,
        *,
        provider: str | None = None,
        contains: str | None = None,
        times: int | None = 1,
        skip: int = 0,
        **particulars: Any,
    ) -> None:
        """Let the next `times` requests (`None`: all) for `model` (`None`: any) at `provider` (`None`: any) go wrong.

        `particulars` are those of `Fault`, such as `after_tokens=3`. Rules are tried in the order they were added.
        """
        chosen = fault if isinstance(fault, Fault) else Fault.of(fault, **particulars)
        self.script.add(Rule(fault=chosen, provider=provider, model=model, contains=contains, times=times, skip=skip))

    async def _serve(self, request: Request, exchange: Exchange) -> None:
        provider = _provider(request.path)
        asks = request.method == "POST" and request.path.endswith(_CHAT)
        body = _decoded(request.body) if asks else None
        entry = Entry(
            id=self.journal.received + 1,
            received_at=asyncio.get_running_loop().time(),
            method=request.method,
            path=request.path,
            provider=provider,
            model=str((body or {}).get("model") or ""),
            header_names=tuple(request.headers),
            body=body or {},
            attempt_id=request.headers.get("x-client-request-id", ""),
            stream=bool((body or {}).get("stream")),
        )
        self.journal.add(entry)
        delivery = Delivery(exchange, entry, self.journal, speed=self._speed)
        model = self._served(provider, entry.model)
        try:
            if asks:
                if body is None:
                    raise Refused(400, "The body must be a JSON object.")
                await self._chat(request, entry, delivery)
                return
            self._authenticate(request, provider)
            if not (request.method == "GET" and request.path.endswith(_MODELS)):
                raise Refused(404, f"Invalid URL ({request.method} {request.path})")
            await delivery.respond(self._listing(provider))
        except Refused as refused:
            await delivery.respond(rejections.from_refusal(refused, model.dialect if model else OPENAI))

    async def _chat(self, request: Request, entry: Entry, delivery: Delivery) -> None:
        body, provider = entry.body, entry.provider
        fault = entry.fault = self._fault(request, entry)
        if fault is not None:
            if await delivery.withhold(fault):
                return
            if (rejection := rejections.from_fault(fault, entry.model, self._now())) is not None:
                await delivery.respond(rejection)
                return
        self._authenticate(request, provider)
        model = self._served(provider, entry.model)
        if model is None:
            raise Refused(
                404,
                f"The model `{entry.model}` does not exist or you do not have access to it.",
                code="model_not_found",
                param="model",
            )
        completion = complete(model, body, self._cache)
        if fault is not None and (strange := _STRANGE.get(fault.kind)):
            completion, fault = strange(completion), None
        entry.prefix = completion.prefix
        entry.intended = completion.prefix + "".join(completion.text)
        envelope = Envelope(
            id=f"chatcmpl-{entry.id:012x}", model=model.name, created=int(self._now()), dialect=model.dialect
        )
        if entry.stream:
            options = body.get("stream_options") or {}
            asked = bool(options.get("include_usage"))
            await delivery.stream(model, completion, envelope, fault, include_usage=asked)
        else:
            await delivery.whole(model, completion, envelope, fault)

    def _fault(self, request: Request, entry: Entry) -> Fault | None:
        try:
            return self.script.fault_for(entry.provider, entry.model, request.headers, entry.body)
        except ValueError as error:
            raise Refused(400, f"unreadable fault: {error}", code="unreadable_fault") from error

    def _served(self, provider: str, name: str) -> SimulatedModel | None:
        return self._models.get((provider, name)) or self._models.get(("", name))

    def _authenticate(self, request: Request, provider: str) -> None:
        expected = self._keys.get(provider)
        if expected is None:
            return
        given = request.headers.get("api-key") or request.headers.get("authorization", "").removeprefix("Bearer ")
        if given != expected:
            raise Refused(401, "Incorrect API key provided.", code="invalid_api_key")

    def _listing(self, provider: str) -> Response:
        served = [model for model in self._models.values() if model.provider in {"", provider} or not provider]
        data = [{"id": model.name, "object": "model", "owned_by": model.provider or "simulator"} for model in served]
        return Response(status=200, body=msgspec.json.encode({"object": "list", "data": data}))


def _provider(path: str) -> str:
    first = path.lstrip("/").partition("/")[0]
    return "" if first == "v1" or f"/{first}" in {_CHAT, _MODELS} or first == "chat" else first


def _decoded(body: bytes) -> dict[str, Any] | None:
    try:
        decoded = msgspec.json.decode(body)
    except msgspec.DecodeError:
        return None
    return decoded if isinstance(decoded, dict) else None
