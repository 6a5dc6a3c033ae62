"""The supervisor in a process of its own, over workers that do nothing."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from router_service.workers.supervisor import pause_before

# A worker as the supervisor knows it: it says that it serves, and ends by SIGTERM or with the line.
WORKER = r"""
import os, signal, socket, sys
line = socket.socket(fileno=int(sys.argv[-1]))
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
signal.signal(signal.SIGHUP, lambda *_: os.write(1, b"reloads %d\n" % os.getpid()))
line.send(b"\x01" + bytes(10))
while True:
    try:
        line.recv(1)
        break
    except InterruptedError:
        pass
os.write(1, b"left alone %d\n" % os.getpid())
"""
STUBBORN = WORKER.replace("lambda *_: os._exit(0)", "signal.SIG_IGN")
BROKEN = "import sys; print('no journal', flush=True); sys.exit(3)"


class Supervised:
    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.lines: list[str] = []

    async def said(self, pattern: str) -> re.Match[str]:
        """The next line of its output that matches."""
        assert self.process.stdout is not None
        async with asyncio.timeout(120):
            while line := (await self.process.stdout.readline()).decode():
                self.lines.append(line)
                if match := re.search(pattern, line):
                    return match
        raise AssertionError(f"{pattern} was never said, but {self.lines}")

    async def ended(self) -> int:
        assert self.process.stdout is not None
        async with asyncio.timeout(120):
            self.lines.append((await self.process.stdout.read()).decode())
            return await self.process.wait()


@asynccontextmanager
async def supervised(worker: str, *, workers: int = 2) -> AsyncIterator[Supervised]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "router_service.workers", "--workers", str(workers), "--address", "127.0.0.1:0"),
        *("--", sys.executable, "-c", worker),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        yield Supervised(process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        # Workers end with the line: the pipe closes when the last of them is gone.
        assert process.stdout is not None
        async with asyncio.timeout(120):
            await process.stdout.read()


async def both_serve(router: Supervised) -> tuple[int, int]:
    """The process ids of two workers."""
    first = await router.said(r"worker 1 serves as process (\d+)")
    second = await router.said(r"worker 2 serves as process (\d+)")
    return int(first[1]), int(second[1])


async def test_a_worker_that_dies_is_replaced_at_once() -> None:
    async with supervised(WORKER) as router:
        _, second = await both_serve(router)
        os.kill(second, signal.SIGKILL)
        await router.said("worker 2 was ended by SIGKILL; another takes its place in 0 s")
        assert int((await router.said(r"worker 2 serves as process (\d+)"))[1]) != second
        await router.said("all 2 workers serve")


async def test_a_worker_that_an_operator_drains_is_replaced() -> None:
    async with supervised(WORKER) as router:
        first, _ = await both_serve(router)
        os.kill(first, signal.SIGTERM)
        await router.said("worker 1 ended with code 0; another takes its place")
        await router.said("worker 1 serves")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_drains_all_workers(number: signal.Signals) -> None:
    async with supervised(WORKER) as router:
        await both_serve(router)
        router.process.send_signal(number)
        assert await router.ended() == 0
        assert "left alone" not in "".join(router.lines)


async def test_a_second_signal_kills() -> None:
    async with supervised(STUBBORN) as router:
        await both_serve(router)
        router.process.send_signal(signal.SIGTERM)
        await router.said("a second signal stops at once")
        router.process.send_signal(signal.SIGTERM)
        assert await router.ended() == -signal.SIGTERM
        assert "left alone" not in "".join(router.lines)


async def test_a_hangup_reloads_every_worker() -> None:
    async with supervised(WORKER) as router:
        workers = await both_serve(router)
        await router.said("all 2 workers serve")
        router.process.send_signal(signal.SIGHUP)
        reloaded = {int((await router.said(r"reloads (\d+)"))[1]) for _ in workers}
        assert reloaded == set(workers)


async def test_workers_do_not_outlive_a_killed_supervisor() -> None:
    async with supervised(WORKER) as router:
        workers = await both_serve(router)
        router.process.kill()
        left = {int((await router.said(r"left alone (\d+)"))[1]) for _ in workers}
        assert left == set(workers)


async def test_what_no_worker_can_start_with_is_said_once_and_ends_the_supervisor() -> None:
    async with supervised(BROKEN) as router:
        assert await router.ended() == 3
        printed = "".join(router.lines)
        assert printed.count("no journal") == 1
        assert "worker 1 ended with code 3 before it served, and no other serves: giving up" in printed


async def test_a_worker_that_keeps_dying_is_started_less_and_less_often() -> None:
    once = WORKER.replace("line.recv(1)\n", "os._exit(4)\n")
    async with supervised(once, workers=1) as router:
        await router.said("worker 1 serves")
        await router.said("worker 1 ended with code 4; another takes its place in 0 s")
        await router.said("worker 1 ended with code 4; another takes its place in 0.5 s")


def test_pauses_grow_to_half_a_minute() -> None:
    assert [pause_before(failures) for failures in (1, 2, 3, 4, 20)] == [0.0, 0.5, 1.0, 2.0, 30.0]
