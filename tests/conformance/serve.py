"""`python -m tests.conformance.serve`: the live server that every language's runner talks to, until stdin closes.

What it answers is in README.md.
"""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from itertools import count
from types import TracebackType
from typing import IO, Any, Self

from aiohttp import web

from tests.conformance.cases import FOLDER, Case, load
from tests.conformance.session import Session

_LARGEST_REPORT = 64 * 1024 * 1024


class Fixture:
    """The control server, while entered. `url` is what runners are given."""

    def __init__(self, cases: dict[str, Case]) -> None:
        self._cases = cases
        self._sessions: dict[str, Session] = {}
        self._numbers = count(1)
        self._passed: set[str] = set()
        self._failed: dict[str, list[str]] = {}
        self.url = ""

    @property
    def passed(self) -> list[str]:
        """The cases that were run to their end and never failed."""
        return [name for name in self._cases if name in self._passed and name not in self._failed]

    @property
    def failed(self) -> dict[str, list[str]]:
        """Cases with what was wrong; also those that were begun and not ended."""
        begun = {session.case.name: ["it was begun and not ended"] for session in self._sessions.values()}
        return {**begun, **self._failed}

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=_LARGEST_REPORT)
        app.add_routes(
            [
                web.get("/cases", self._list),
                web.get("/tally", self._tally),
                web.post("/cases/{name:.+}", self._begin),
                web.post("/sessions/{id}/outcome", self._outcome),
                web.post("/sessions/{id}/wait", self._wait),
                web.post("/sessions/{id}/drain", self._drain),
                web.get("/sessions/{id}", self._state),
                web.delete("/sessions/{id}", self._abandon),
            ]
        )
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.gather(*(session.stop() for session in self._sessions.values()))
        await self._runner.cleanup()

    async def _list(self, _: web.Request) -> web.Response:
        return web.json_response(
            [{"name": case.name, "description": case.description} for case in self._cases.values()]
        )

    async def _tally(self, _: web.Request) -> web.Response:
        return web.json_response({"cases": len(self._cases), "passed": self.passed, "failed": self.failed})

    async def _begin(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if name not in self._cases:
            raise web.HTTPNotFound(text=f"There is no case {name}; GET /cases lists them")
        session, number = Session(self._cases[name]), str(next(self._numbers))
        self._sessions[number] = session
        await session.start()
        return web.json_response({"session": number, "target": session.target, "call": session.call})

    async def _outcome(self, request: web.Request) -> web.Response:
        session = self._session(request)
        await session.outcome(await request.json())
        call = session.call
        if call is None:
            await self._end(request.match_info["id"], session)
        return web.json_response({"problems": session.problems, "call": call})

    async def _end(self, number: str, session: Session) -> None:
        del self._sessions[number]
        await session.stop()
        if session.problems:
            self._failed[session.case.name] = session.problems
        else:
            self._passed.add(session.case.name)

    async def _wait(self, request: web.Request) -> web.Response:
        try:
            await self._session(request).wait_for_tokens(int(request.query["tokens"]))
        except TimeoutError as error:
            raise web.HTTPRequestTimeout(text="The provider has not sent so many tokens") from error
        return web.json_response({})

    async def _drain(self, request: web.Request) -> web.Response:
        await self._session(request).drain()
        return web.json_response({})

    async def _state(self, request: web.Request) -> web.Response:
        return web.json_response({"openUpstream": self._session(request).open_upstream()})

    async def _abandon(self, request: web.Request) -> web.Response:
        session = self._session(request)
        del self._sessions[request.match_info["id"]]
        self._failed[session.case.name] = ["the runner gave it up"]
        await session.stop()
        return web.json_response({})

    def _session(self, request: web.Request) -> Session:
        session = self._sessions.get(request.match_info["id"])
        if session is None:
            raise web.HTTPNotFound(text="There is no such session, or its last call was reported")
        return session


async def _closed(stream: IO[str]) -> None:
    """Until a stream ends. A thread reads it, since stdin may be a pipe, a terminal or a file."""
    loop, closed = asyncio.get_running_loop(), asyncio.Event()

    def read() -> None:
        stream.read()
        loop.call_soon_threadsafe(closed.set)

    threading.Thread(target=read, daemon=True).start()
    await closed.wait()


async def _serve() -> None:
    cases = load()
    async with Fixture(cases) as fixture:
        ready: dict[str, Any] = {"control": fixture.url, "folder": str(FOLDER), "cases": len(cases)}
        sys.stdout.write(json.dumps(ready) + "\n")
        sys.stdout.flush()
        await _closed(sys.stdin)


if __name__ == "__main__":
    asyncio.run(_serve())
