"""A real Jaeger v2 of one's own on free ports, and its API."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import urllib.request
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CONFIGURATION = Path(__file__).parents[2] / "deploy" / "jaeger" / "jaeger.yaml"
_PORTS = ("JAEGER_HTTP_PORT", "JAEGER_GRPC_PORT", "OTLP_GRPC_PORT", "OTLP_HTTP_PORT")
_START_SECONDS = 120.0

Trace = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Jaeger:
    """A running one: where spans go, and where they are asked for."""

    otlp: str
    api: str

    async def get(self, path: str) -> Any:
        """What the API answers to a path with its query."""
        return await asyncio.to_thread(_get, f"{self.api}{path}")

    async def trace(self, trace_id: str, complete: Callable[[Trace], bool]) -> Trace:
        """A trace of the API of the pages, once it is complete: spans arrive in batches, from two programs."""

        async def look() -> Trace | None:
            found = await self.get(f"/api/traces/{trace_id}")
            return found["data"][0] if found["data"] and complete(found["data"][0]) else None

        return await until(look, f"the trace {trace_id} is not complete")


@asynccontextmanager
async def jaeger(program: str, folder: Path) -> AsyncIterator[Jaeger]:
    """Run a Jaeger, whose log is in `folder`."""
    ports = _free_ports()
    environ = os.environ | {name: str(port) for name, port in ports.items()} | {"JAEGER_LOG_LEVEL": "warn"}
    with (folder / "jaeger.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            program, "--config", str(CONFIGURATION), env=environ, stdout=log, stderr=log
        )
    server = Jaeger(f"http://127.0.0.1:{ports['OTLP_GRPC_PORT']}", f"http://127.0.0.1:{ports['JAEGER_HTTP_PORT']}")
    try:
        await until(lambda: _answers(server, process), f"{program} did not start", _START_SECONDS)
        yield server
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()


async def _answers(server: Jaeger, process: asyncio.subprocess.Process) -> bool:
    assert process.returncode is None, "Jaeger ended at its start: its log is in the test's folder"
    try:
        await server.get("/api/services")
        otlp = server.otlp.rpartition(":")[2]
        _, writer = await asyncio.open_connection("127.0.0.1", int(otlp))
    except OSError:
        return False
    writer.close()
    await writer.wait_closed()
    return True


async def until(look: Callable[[], Any], otherwise: str, seconds: float = 60.0) -> Any:
    """What `look` finds, once it finds anything."""
    try:
        async with asyncio.timeout(seconds):
            while not (found := await look()):  # noqa: ASYNC110 - another program's state has no event here
                await asyncio.sleep(0.05)
            return found
    except TimeoutError:
        raise AssertionError(otherwise) from None


def _get(url: str) -> Any:
    try:
        with urllib.request.urlopen(url, timeout=60) as response:  # noqa: S310 - http to this machine
            return json.load(response)
    except urllib.error.HTTPError as error:
        with error:
            if error.code == 404:
                return {"data": None}
            raise


def _free_ports() -> dict[str, int]:
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in _PORTS]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return dict(zip(_PORTS, (one.getsockname()[1] for one in sockets), strict=True))
