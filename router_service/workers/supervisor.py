"""Starts workers, puts others in the place of those that die, and ends them all together."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
from collections.abc import Callable, Sequence

from router_service.workers.line import Place
from router_service.workers.switchboard import Switchboard

logger = logging.getLogger("llmrouter.workers")

# A worker that served this long did not die of its start.
_STEADY = 60.0
# Deaths at the start, one after another and with nobody serving, after which it is not tried again.
_HOPELESS = 5
_SHORTEST_PAUSE = 0.5
_LONGEST_PAUSE = 30.0
# Of the line of a worker that ended: for what it said last.
_LAST_WORDS = 1.0


def pause_before(failures: int) -> float:
    """Seconds to wait before the next start, after so many failures in a row."""
    return 0.0 if failures <= 1 else min(_SHORTEST_PAUSE * 2.0 ** (failures - 2), _LONGEST_PAUSE)


class Supervisor:
    """Runs `command` so many times, each with its place as `--worker` and the file descriptor of its line to the
    supervisor as `--line`. A worker drains when the supervisor's end of the line closes, however that came.

    The first worker goes ahead, so that what keeps all of them from serving is said once.
    """

    def __init__(
        self, command: Sequence[str], workers: int, *, pause_before: Callable[[int], float] = pause_before
    ) -> None:
        self._command = command
        self._workers = workers
        self._pause_before = pause_before
        self._running: dict[int, asyncio.subprocess.Process] = {}
        self._serving: set[int] = set()
        self._switchboard = Switchboard()
        self._to_reload: set[int] = set()
        self._others_may_start = asyncio.Event()
        self._stopping = asyncio.Event()
        self._has_served = False
        self._code = 0

    async def run(self) -> int:
        """Until SIGTERM or SIGINT, or until nothing helps; returns the exit code. Call it in the main thread."""
        loop = asyncio.get_running_loop()
        for ending in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(ending, self._asked_to_stop, ending)
        loop.add_signal_handler(signal.SIGHUP, self._reload)
        async with asyncio.TaskGroup() as places:
            for number in range(1, self._workers + 1):
                places.create_task(self._keep(number))
        return self._code

    async def _keep(self, number: int) -> None:
        """Have a worker in this place until the end."""
        loop = asyncio.get_running_loop()
        failures = 0
        if number > 1:
            await self._others_may_start.wait()
        while not self._stopping.is_set():
            began = loop.time()
            code, served = await self._one(number)
            if self._stopping.is_set():
                # One that was still starting knows no better way to end.
                if code not in (0, -signal.SIGTERM):
                    self._code = self._code or 1
                return
            failures = 1 if served and loop.time() - began >= _STEADY else failures + 1
            if not served and not self._serving and (not self._has_served or failures >= _HOPELESS):
                logger.error("worker %d %s before it served, and no other serves: giving up", number, _told(code))
                self._code = code if code > 0 else 1
                self._stop()
                return
            pause = self._pause_before(failures)
            logger.log(
                logging.WARNING if code else logging.INFO,
                "worker %d %s; another takes its place in %g s",
                number,
                _told(code),
                pause,
            )
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._stopping.wait()

    async def _one(self, number: int) -> tuple[int, bool]:
        """A worker's whole life: its exit code, and whether it came to serve."""
        ours, theirs = socket.socketpair()
        with ours:
            with theirs:
                line, place = theirs.fileno(), Place(number=number, of=self._workers)
                process = await asyncio.create_subprocess_exec(
                    *(*self._command, "--worker", str(place), "--line", str(line)),
                    stdin=asyncio.subprocess.DEVNULL,
                    pass_fds=(line,),
                )
            self._running[number] = process
            if self._stopping.is_set():
                _signal(process, signal.SIGTERM)
            attending = asyncio.create_task(
                self._switchboard.attend(number, ours, lambda: self._serves(number, process))
            )
            code = await process.wait()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LAST_WORDS):
                    await attending
            served = number in self._serving
            self._serving.discard(number)
            self._to_reload.discard(number)
            del self._running[number]
            return code, served

    def _serves(self, number: int, process: asyncio.subprocess.Process) -> None:
        self._serving.add(number)
        self._has_served = True
        self._others_may_start.set()
        logger.info("worker %d serves as process %d", number, process.pid)
        if len(self._serving) == self._workers:
            logger.info("all %d workers serve", self._workers)
        if number in self._to_reload:
            _signal(process, signal.SIGHUP)

    def _asked_to_stop(self, number: signal.Signals) -> None:
        if not self._stopping.is_set():
            logger.info("draining %d workers; a second signal stops at once", len(self._running))
            self._stop()
            return
        for process in self._running.values():
            _signal(process, signal.SIGKILL)
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    def _stop(self) -> None:
        self._stopping.set()
        self._others_may_start.set()
        for process in self._running.values():
            _signal(process, signal.SIGTERM)

    def _reload(self) -> None:
        for number, process in self._running.items():
            # To one that is still starting the signal would be the end; it may have read the file already.
            if number in self._serving:
                _signal(process, signal.SIGHUP)
            else:
                self._to_reload.add(number)


def _signal(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(number)


def _told(code: int) -> str:
    if code >= 0:
        return f"ended with code {code}"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"was ended by signal {-code}"
