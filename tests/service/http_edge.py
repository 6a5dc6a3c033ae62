"""The HTTP edge over an engine that follows a script, and raw connections to it."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from identities import caller
from scripted_engine import DEPLOYMENT, NoAccounts, ScriptedEngine

from router_service.config.configuration import HttpSettings, TelemetrySettings
from router_service.config.identity import EVERYBODY, IdentitySettings
from router_service.domain.identity import Identity
from router_service.domain.policy import Policy
from router_service.edge.admission import Admission
from router_service.identity.authenticator import Credentials
from router_service.limits.idempotency import Idempotency
from router_service.limits.local_keys import LocalKeys
from router_service.routing.table import RoutingTable
from router_service.telemetry.setup import Telemetry
from router_service.web.api import Api, Readiness
from router_service.web.completions import ChatCompletions
from router_service.web.names import Names
from router_service.web.server import HttpServer

TABLE = RoutingTable(
    policies={"default": Policy(name="default", rules=())},
    deployments={DEPLOYMENT.id: DEPLOYMENT},
    models={DEPLOYMENT.model: (DEPLOYMENT,)},
    features={},
    default_policy="default",
    fingerprint="f00d",
)
ASKING = {"model": "auto", "messages": [{"role": "user", "content": "Hi."}]}
CHAT = "/v1/chat/completions"


@dataclass
class Reply:
    """A response that was read whole."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def error(self) -> dict[str, Any]:
        """What OpenAI's envelope holds."""
        told: dict[str, Any] = json.loads(self.body)["error"]
        return told


class Connection:
    """A connection whose every byte the test decides."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, method: str, path: str, body: bytes = b"", **headers: str) -> None:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        given = {"host": "router", "content-length": str(len(body)), **named}
        head = "".join(f"{name}: {value}\r\n" for name, value in given.items())
        self.writer.write(f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode("latin-1") + body)

    def ask(self, asking: Mapping[str, Any] = ASKING, **headers: str) -> None:
        self.send("POST", CHAT, json.dumps(asking).encode(), content_type="application/json", **headers)

    async def reply(self) -> Reply:
        """The next response."""
        async with asyncio.timeout(30):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            status, *lines = head.strip().split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
            if headers.get("transfer-encoding") == "chunked":
                body = await self._chunks()
            else:
                body = await self.reader.readexactly(int(headers["content-length"]))
        return Reply(int(status.split()[1]), headers, body)

    async def closed(self) -> bool:
        """Whether the server closes the connection, soon."""
        try:
            async with asyncio.timeout(30):
                return await self.reader.read(1) == b""
        except ConnectionError:
            return True

    async def _chunks(self) -> bytes:
        body = b""
        while True:
            size = int((await self.reader.readline()).strip(), 16)
            body += await self.reader.readexactly(size)
            await self.reader.readline()
            if size == 0:
                return body


@dataclass
class ServedHttp:
    """A running server."""

    server: HttpServer
    admission: Admission
    completions: ChatCompletions
    readiness: Readiness
    connections: list[Connection] = field(default_factory=list)

    async def connect(self) -> Connection:
        connection = Connection(*await asyncio.open_connection("127.0.0.1", self.server.port))
        self.connections.append(connection)
        return connection

    async def ask(self, asking: Mapping[str, Any] = ASKING, **headers: str) -> Reply:
        connection = await self.connect()
        connection.ask(asking, **headers)
        return await connection.reply()


async def somebody(credentials: Credentials) -> Identity:
    return caller()


@asynccontextmanager
async def serving_http(
    engine: ScriptedEngine,
    settings: HttpSettings | None = None,
    *,
    authenticate: Any = somebody,
    telemetry: Telemetry | None = None,
    **bounds: Any,
) -> AsyncIterator[ServedHttp]:
    """A server over `engine` on a free port; `bounds` are those of `ChatCompletions`."""
    settings = settings or HttpSettings(address="127.0.0.1:0")
    names = Names(lambda: TABLE, created=1)
    admission = Admission(max_calls=100)
    readiness = Readiness()
    completions = ChatCompletions(
        engine,
        names,
        allowances=NoAccounts(),
        idempotency=Idempotency(LocalKeys(time.monotonic)),
        max_body=settings.max_body_bytes,
        default_deadline=120.0,
        **bounds,
    )
    api = Api(
        completions,
        names,
        authenticate=authenticate,
        admission=admission,
        telemetry=telemetry or Telemetry(TelemetrySettings()),
        readiness=readiness,
        metrics_for_all=True,
    )
    server = HttpServer(settings, api, readiness, identity=IdentitySettings(anonymous=EVERYBODY))
    await server.start()
    served = ServedHttp(server, admission, completions, readiness)
    try:
        yield served
    finally:
        for connection in served.connections:
            connection.writer.close()
        await server.stop()
