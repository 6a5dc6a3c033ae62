"""Workers ask each other over real lines to a switchboard, in one event loop."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from router_service.workers.line import Line, Place, Tell
from router_service.workers.switchboard import Switchboard


class Worker:
    """A worker's line, with the supervisor's part of it."""

    def __init__(self, board: Switchboard, place: str, *, patience: float = 5.0) -> None:
        self._ours, theirs = socket.socketpair()
        theirs.setblocking(False)
        self._board = board
        self.line = Line(Place.read(place), theirs, patience=patience)
        self._ready = asyncio.Event()

    async def serves(self, tell: Tell) -> None:
        self._attending = asyncio.create_task(self._board.attend(self.line.number, self._ours, self._ready.set))
        await self.line.open(tell)
        self.line.say_ready()
        await self._ready.wait()

    async def leaves(self) -> None:
        await self.line.aclose()
        await self._attending


def says(text: str) -> Tell:
    async def tell(question: bytes) -> bytes:
        return f"{text} of {question.decode()}".encode()

    return tell


@asynccontextmanager
async def workers(*places: str, patience: float = 5.0) -> AsyncIterator[list[Worker]]:
    """Those of them that serve; each says its place."""
    board = Switchboard()
    made = [Worker(board, place, patience=patience) for place in places]
    for worker in made:
        await worker.serves(says(str(worker.line.place)))
    async with asyncio.timeout(20):
        yield made
        await asyncio.gather(*(worker.leaves() for worker in made))


async def test_each_of_several_at_once_hears_from_all_others() -> None:
    async with workers("1/3", "2/3", "3/3") as (first, second, third):
        asked = [worker.line.ask_others(question) for worker in (first, second, third) for question in (b"a", b"b")]
        answers = await asyncio.gather(*asked)
    assert answers[0] == {2: b"2/3 of a", 3: b"3/3 of a"}
    assert answers[1] == {2: b"2/3 of b", 3: b"3/3 of b"}
    assert answers[5] == {1: b"1/3 of b", 2: b"2/3 of b"}


async def test_an_answer_of_any_size_arrives_whole() -> None:
    board = Switchboard()
    asker, teller = Worker(board, "1/2"), Worker(board, "2/2")
    await asker.serves(says(""))
    await teller.serves(says("x" * 3_000_000))
    async with asyncio.timeout(20):
        assert await asker.line.ask_others(b"y") == {2: b"x" * 3_000_000 + b" of y"}
        await asyncio.gather(asker.leaves(), teller.leaves())


async def test_large_answers_to_several_questions_at_once_all_arrive() -> None:
    board = Switchboard()
    made = [Worker(board, f"{number}/4", patience=60.0) for number in range(1, 5)]
    for number, worker in enumerate(made, 1):
        await worker.serves(says(f"{number}" * 1_000_000))
    async with asyncio.timeout(60):
        asked = [worker.line.ask_others(question) for worker in made[:2] for question in (b"a", b"b")]
        for answers in await asyncio.gather(*asked):
            assert [len(answer or b"") for answer in answers.values()] == [1_000_005] * 3
        await asyncio.gather(*(worker.leaves() for worker in made))


async def test_who_dies_with_a_question_is_known_at_once() -> None:
    asked = asyncio.Event()

    async def hang(_: bytes) -> bytes:
        asked.set()
        return await asyncio.get_running_loop().create_future()

    board = Switchboard()
    asker, dying = Worker(board, "1/2", patience=60.0), Worker(board, "2/2")
    await asker.serves(says(""))
    await dying.serves(hang)
    async with asyncio.timeout(20):
        asking = asyncio.create_task(asker.line.ask_others(b""))
        await asked.wait()
        await dying.leaves()
        assert await asking == {2: None}
        await asker.leaves()


async def test_who_hangs_is_asked_no_more_until_it_answers() -> None:
    go_on = asyncio.Event()
    heard = []

    async def hang(question: bytes) -> bytes:
        heard.append(question)
        await go_on.wait()
        return question

    board = Switchboard()
    asker, hanging = Worker(board, "1/2", patience=60.0), Worker(board, "2/2")
    await asker.serves(says(""))
    await hanging.serves(hang)
    async with asyncio.timeout(20):
        asking = [asyncio.create_task(asker.line.ask_others(b"early")) for _ in range(30)]
        await asyncio.wait(asking, return_when=asyncio.FIRST_COMPLETED)
        assert await asker.line.ask_others(b"late") == {2: None}
        go_on.set()
        told = [answers[2] for answers in await asyncio.gather(*asking)]
        assert told.count(b"early") == len(heard) < 30
        assert await asker.line.ask_others(b"again") == {2: b"again"}
        await asyncio.gather(asker.leaves(), hanging.leaves())


async def test_who_is_not_there_is_known_at_once() -> None:
    # With so much patience a wait for nobody would be the test's own timeout.
    async with workers("1/3", "3/3", patience=60.0) as (first, third):
        assert await first.line.ask_others(b"") == {2: None, 3: b"3/3 of "}
        await third.leaves()
        assert await first.line.ask_others(b"") == {2: None, 3: None}


async def test_who_hangs_is_not_waited_for() -> None:
    async def hang(_: bytes) -> bytes:
        return await asyncio.get_running_loop().create_future()

    board = Switchboard()
    asker, hanging = Worker(board, "1/2", patience=0.01), Worker(board, "2/2")
    await asker.serves(says(""))
    await hanging.serves(hang)
    async with asyncio.timeout(20):
        assert await asker.line.ask_others(b"") == {2: None}
        await asyncio.gather(asker.leaves(), hanging.leaves())


async def test_a_worker_that_reads_nothing_more_is_absent_and_costs_no_memory() -> None:
    board = Switchboard()
    asker = Worker(board, "1/2", patience=60.0)
    await asker.serves(says(""))
    ours, stopped = socket.socketpair()
    attending = asyncio.create_task(board.attend(2, ours, lambda: None))
    with stopped:
        stopped.send(b"\x01" + bytes(10))
        async with asyncio.timeout(20):
            # The first ones wait; whoever comes later is told at once.
            filling = [asyncio.create_task(asker.line.ask_others(bytes(50_000))) for _ in range(20)]
            await asyncio.wait(filling, return_when=asyncio.FIRST_COMPLETED)
            assert await asker.line.ask_others(b"") == {2: None}
            for task in filling:
                task.cancel()
            await asyncio.gather(*filling, return_exceptions=True)
    await asyncio.gather(attending, asker.leaves())


async def test_what_cannot_be_told_is_absent_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def fail(_: bytes) -> bytes:
        raise RuntimeError

    board = Switchboard()
    asker, failing = Worker(board, "1/2", patience=60.0), Worker(board, "2/2")
    await asker.serves(says(""))
    await failing.serves(fail)
    with caplog.at_level(logging.ERROR):
        async with asyncio.timeout(20):
            assert await asker.line.ask_others(b"") == {2: None}
            await asyncio.gather(asker.leaves(), failing.leaves())
    assert "worker 1 cannot be answered" in caplog.text


async def test_a_worker_learns_that_its_supervisor_left() -> None:
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    line = Line(Place(number=1, of=2), theirs, patience=60.0)
    await line.open(says(""))
    asked = asyncio.create_task(line.ask_others(b""))
    async with asyncio.timeout(20):
        await asyncio.get_running_loop().run_in_executor(None, ours.recv, 1)
        assert not line.ended.is_set()
        ours.close()
        await line.ended.wait()
        assert await asked == {2: None}
        assert await line.ask_others(b"") == {2: None}
    await line.aclose()
