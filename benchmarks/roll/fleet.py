"""The processes of a roll: a simulated provider, replicas of the router, and callers."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from benchmarks.roll.callers import QUESTION, STORY

_STARTED_WITHIN = 180.0
_ENDED_WITHIN = 180.0
_KEPT_LINES = 40
_SCRIPT = f"""
- {{contains: "{QUESTION}", fault: stall, after_tokens: 2, seconds: 0.2, times: null}}
- {{contains: "{STORY}", fault: stall, after_tokens: 5, seconds: LASTS, times: null}}
"""
_CONFIGURATION = """
server: {lame_duck: LAME_DUCK, grace: 20s}
providers:
  openai: {base_url: "${SIMULATOR_URL}/openai/v1", api_key: sk-roll}
models:
  gpt-4o: {provider: openai, price: {input: 2.50, output: 10.00}}
features:
  any: {max_output_tokens: 30}
policies:
  default: {rules: [{use: [gpt-4o]}]}
"""


class Broken(Exception):
    """A process did not do what it should; the message has its last lines."""


class Child:
    """A process whose output is read all the time: a full pipe would stop it."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._lines: deque[str] = deque(maxlen=_KEPT_LINES)
        self._news = asyncio.Event()
        self._reading = asyncio.create_task(self._read())

    @classmethod
    async def start(cls, *command: str, environ: Mapping[str, str] | None = None) -> Child:
        """Start it with these additions to the environment."""
        return cls(
            await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                env={**os.environ, **(environ or {})},
                limit=1 << 20,
            )
        )

    async def line(self, begins: str, *, within: float = _STARTED_WITHIN) -> str:
        """The line that begins so (or holds it, after a time stamp), now or in so many seconds. Raises `Broken`."""
        try:
            async with asyncio.timeout(within):
                while True:
                    for line in self._lines:
                        if begins in line:
                            return line
                    if self._reading.done():
                        break
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            pass
        raise Broken(f"no line with {begins!r} from the process, but:\n{self.said}")

    @property
    def said(self) -> str:
        """Its last lines."""
        return "\n".join(self._lines)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    async def finish(self) -> int:
        """Close its input and wait for the end; returns the exit status."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        async with asyncio.timeout(_ENDED_WITHIN):
            await self._reading
            return await self._process.wait()

    async def kill(self) -> None:
        """End it whatever it does, and wait for that."""
        if self._process.returncode is None:
            self._process.kill()
        await self._reading
        await self._process.wait()

    async def _read(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            self._lines.append(line.decode(errors="replace").rstrip())
            self._news.set()
        self._news.set()


class Replica:
    """One router at an address that stays the same over restarts."""

    def __init__(self, port: int, file: Path, simulator: str) -> None:
        self.address = f"127.0.0.1:{port}"
        self._file = file
        self._environ = {"SIMULATOR_URL": simulator, "LLMROUTER_LEDGER": ""}
        self._child: Child | None = None

    async def start(self) -> None:
        """Start it and wait until it serves."""
        serve = ("-m", "router_service", "serve", "--config", str(self._file), "--address", self.address)
        self._child = await Child.start(sys.executable, *serve, environ=self._environ)
        await self._child.line("serving on")

    async def called(self) -> None:
        """Wait until it has answered a call since it was started: clients have found it."""
        assert self._child is not None
        await self._child.line("llm_router.request.completed")

    async def stop(self, number: signal.Signals) -> None:
        """End it by a signal and wait for that. Raises `Broken` where it does not end well."""
        assert self._child is not None
        self._child.signal(number)
        status = await self._child.finish()
        if number is not signal.SIGKILL and status != 0:
            raise Broken(f"the replica ended with {status}:\n{self._child.said}")

    async def kill(self) -> None:
        if self._child is not None:
            await self._child.kill()


class Fleet:
    """Replicas over one simulated provider."""

    def __init__(self, replicas: Sequence[Replica]) -> None:
        self.replicas = replicas

    @property
    def target(self) -> str:
        """All addresses as one gRPC target."""
        return "ipv4:" + ",".join(replica.address for replica in self.replicas)

    @asynccontextmanager
    async def called(self, client: str, callers: int, streams: int) -> AsyncIterator[Callers]:
        """Callers in a process of their own."""
        command = ("-m", "benchmarks.roll.callers", "--client", client, "--target", self.target)
        sizes = ("--callers", str(callers), "--streams", str(streams))
        child = await Child.start(sys.executable, *command, *sizes)
        try:
            await child.line("calling")
            yield Callers(child)
        finally:
            await child.kill()


class Callers:
    """A running process of callers."""

    def __init__(self, child: Child) -> None:
        self._child = child

    async def result(self) -> dict[str, Any]:
        """Let their last calls end, and return what became of all. Raises `Broken`."""
        if await self._child.finish() != 0:
            raise Broken(f"the callers failed:\n{self._child.said}")
        result: dict[str, Any] = json.loads(await self._child.line('{"calls"'))
        return result


@asynccontextmanager
async def fleet(size: int, directory: Path, *, lame_duck: float, story: float) -> AsyncIterator[Fleet]:
    """So many replicas that serve; `lame_duck` and how long a streamed `story` lasts are in seconds."""
    script, file = directory / "script.yaml", directory / "router.yaml"
    script.write_text(_SCRIPT.replace("LASTS", str(story)))
    file.write_text(_CONFIGURATION.replace("LAME_DUCK", f"{round(lame_duck * 1000)}ms"))
    async with AsyncExitStack() as stack:
        simulate = ("-m", "router_service.simulator", "--port", "0", "--speed", "inf", "--faults", str(script))
        simulator = await Child.start(sys.executable, *simulate)
        stack.push_async_callback(simulator.kill)
        origin = (await simulator.line("export SIMULATOR_URL=")).partition("=")[2]
        replicas = [Replica(port, file, origin) for port in free_ports(size)]
        for replica in replicas:
            stack.push_async_callback(replica.kill)
        await asyncio.gather(*(replica.start() for replica in replicas))
        yield Fleet(replicas)


def free_ports(count: int) -> list[int]:
    """So many ports that nobody listens on."""
    # Bound all at once, so that they differ.
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports
