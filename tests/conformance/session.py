"""One case being run: a router and a provider of its own, so that no case sees another's limits, health or prices."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from router_service.app import Application
from router_service.simulator import INSTANT, Simulator
from router_service.simulator.journal import Outcome
from router_service.simulator.script import Script, rule_of
from router_service.telemetry.tree import SpanCollector
from tests.conformance.cases import FOLDER, Case, filled, merged
from tests.conformance.judge import Unreadable, normal, problems, upstream_problems

KEYS = {name: f"rk_{name.capitalize():x<12}_" + name[0] * 48 for name in ("acme", "globex", "narrow", "unknown")}
"""API keys by the name that cases use; the router knows all but the last."""

_SETTLED_WITHIN = 30.0


class Session:
    """Runs one case's calls in order. `start` it, then `outcome` for each call; `stop` it in any case."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.problems: list[str] = []
        self._stack = AsyncExitStack()
        self._outcomes: list[dict[str, Any]] = []
        self._stopping: asyncio.Task[None] | None = None
        self.target = ""

    @property
    def call(self) -> dict[str, Any] | None:
        """The next call to make, without what is wanted of it; `None` after the last."""
        number = len(self._outcomes)
        if number == len(self.case.calls):
            return None
        call = {"apiKey": "${keys.acme}", "request": {}, **self.case.calls[number]}
        return {key: value for key, value in self._filled(call).items() if key != "want"}

    async def start(self) -> None:
        """Serve."""
        case, folder = self.case, Path(self._stack.enter_context(TemporaryDirectory()))
        base = yaml.safe_load((FOLDER / "router.yaml").read_text("utf-8"))
        file = folder / "router.yaml"
        configuration = merged({**base, "ledger": {"folder": str(folder / "ledger")}}, case.router)
        file.write_text(yaml.safe_dump(configuration), "utf-8")
        script = Script(rule_of(rule) for rule in case.provider)
        self._simulator = await self._stack.enter_async_context(Simulator(script=script, speed=case.speed or INSTANT))
        environ = {
            "SIMULATOR_URL": self._simulator.origin,
            "PEPPER": "pepper-of-the-conformance-cases",
            **{f"KEY_{name.upper()}": key for name, key in KEYS.items()},
        }
        self._application = Application(file, environ=environ, span_exporter=SpanCollector())
        self._stack.push_async_callback(self._stop_router)
        self.target = f"127.0.0.1:{await self._application.start()}"

    async def outcome(self, told: Mapping[str, Any]) -> None:
        """Judge what the client gave for the current call, and go on to the next."""
        number = len(self._outcomes)
        call = self.case.calls[number]
        try:
            outcome = normal(call["method"], told)
        except Unreadable as error:
            self.problems.append(f"call {number + 1}: {error}")
            outcome = {}
        else:
            self.problems += [f"call {number + 1}: {problem}" for problem in problems(self._filled(call), outcome)]
        self._outcomes.append(outcome)
        if not await self._settled():
            self.problems.append(f"call {number + 1}: the router still serves it {_SETTLED_WITHIN:g} s after its end")
        if self.call is None and self.case.upstream is not None:
            self.problems += upstream_problems(self._filled(self.case.upstream), list(self._simulator.journal))

    async def wait_for_tokens(self, tokens: int) -> None:
        """Until the provider has sent so many tokens of an answer. Raises `TimeoutError`."""
        await self._simulator.journal.wait_for(lambda entry: entry.tokens_sent >= tokens, 30)

    def open_upstream(self) -> int:
        """Requests that the provider has not ended yet."""
        return sum(entry.outcome is Outcome.OPEN for entry in self._simulator.journal)

    async def drain(self) -> None:
        """Begin to stop the router; returns once it refuses new calls or, beforehand, tells clients of it."""
        self._stopping = self._stopping or asyncio.create_task(self._application.stop())
        await asyncio.sleep(0)

    async def stop(self) -> None:
        """Stop serving."""
        await self._stack.aclose()

    async def _stop_router(self) -> None:
        await self.drain()
        assert self._stopping is not None
        await self._stopping

    async def _settled(self) -> bool:
        """Whether router and provider are done with the call, soon: receipts are written after a caller has left."""
        try:
            async with asyncio.timeout(_SETTLED_WITHIN):
                while self._application._server.in_flight or self.open_upstream():  # noqa: ASYNC110
                    await asyncio.sleep(0.002)
        except TimeoutError:
            return False
        return True

    def _filled(self, value: Any) -> Any:
        return filled(value, {"keys": KEYS, "calls": self._outcomes})
