"""What a worker and its supervisor say to each other, and by way of the supervisor the workers among themselves."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import secrets
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum

logger = logging.getLogger("llmrouter.workers")

Tell = Callable[[bytes], Awaitable[bytes]]

# Kind, worker, question, length of the body.
_HEAD = struct.Struct("!BHII")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Which worker of how many, both from 1: "2/4". Whoever replaces a worker that died has its place."""

    number: int
    of: int

    @classmethod
    def read(cls, text: str) -> Place:
        """Raises `ValueError` for what `str` of a place does not give."""
        number, _, of = text.partition("/")
        return cls(number=int(number), of=int(of))

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    def others(self) -> list[int]:
        """The numbers of all other workers."""
        return [number for number in range(1, self.of + 1) if number != self.number]


class Kind(IntEnum):
    """What a frame says."""

    READY = 1
    """A worker to its supervisor: I serve."""
    ASK = 2
    TELL = 3
    ABSENT = 4
    """The answer where the worker that was asked is not there, or could not tell."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One message. `worker` is whom it is for on the way to the supervisor, and whom it is from on the way back."""

    kind: Kind
    worker: int = 0
    question: int = 0
    body: bytes = b""

    def send(self, writer: asyncio.StreamWriter) -> None:
        """Queue it. Whoever waits for an answer bounds the wait, so that nobody waits for room on the line."""
        writer.write(_HEAD.pack(self.kind, self.worker, self.question, len(self.body)) + self.body)


async def frames(reader: asyncio.StreamReader) -> AsyncIterator[Frame]:
    """Until the line ends, however it does: what is no frame ends it too."""
    with contextlib.suppress(OSError, asyncio.IncompleteReadError, ValueError):
        while True:
            kind, worker, question, length = _HEAD.unpack(await reader.readexactly(_HEAD.size))
            yield Frame(Kind(kind), worker, question, await reader.readexactly(length))


class Line:
    """A worker's end of the line to its supervisor: it says that it serves, asks the other workers, and tells them.

    `end` does not block. Processes that the worker starts must not have it: the line ends with the worker. A question
    that has no answer after `patience` seconds has none.
    """

    def __init__(self, place: Place, end: socket.socket, *, patience: float = 5.0) -> None:
        self.place = place
        self.ended = asyncio.Event()
        """Set once the supervisor's end has closed, however that came."""
        self._end = end
        self._patience = patience
        self._writer: asyncio.StreamWriter | None = None
        self._listening: asyncio.Task[None] | None = None
        self._telling: set[asyncio.Task[None]] = set()
        # Whoever takes this place later does not take old answers for its own.
        self._questions = itertools.count(secrets.randbits(32))
        self._awaited: dict[tuple[int, int], asyncio.Future[bytes | None]] = {}

    @property
    def number(self) -> int:
        """Which worker this is, from 1."""
        return self.place.number

    async def open(self, tell: Tell) -> None:
        """Listen from now on; `tell` answers what other workers ask."""
        reader, self._writer = await asyncio.open_unix_connection(sock=self._end)
        self._listening = asyncio.create_task(self._listen(reader, tell))

    def say_ready(self) -> None:
        """Tell the supervisor that this worker serves."""
        self._send(Frame(Kind.READY))

    async def ask_others(self, question: bytes) -> Mapping[int, bytes | None]:
        """What each of the other workers answers, by its number; `None` for one that is not there, or not in time."""
        if self.ended.is_set():
            return dict.fromkeys(self.place.others())
        number = next(self._questions) % 2**32
        waits = {(number, other): asyncio.get_running_loop().create_future() for other in self.place.others()}
        self._awaited.update(waits)
        try:
            for other in self.place.others():
                self._send(Frame(Kind.ASK, other, number, question))
            await asyncio.wait(waits.values(), timeout=self._patience)
            return {other: wait.result() if wait.done() else None for (_, other), wait in waits.items()}
        finally:
            for wait in waits:
                del self._awaited[wait]

    async def aclose(self) -> None:
        """Leave the line."""
        if self._writer is not None:
            self._writer.close()
        tasks = [*self._telling, *([] if self._listening is None else [self._listening])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _listen(self, reader: asyncio.StreamReader, tell: Tell) -> None:
        async for frame in frames(reader):
            if frame.kind is Kind.ASK:
                task = asyncio.create_task(self._answer(frame, tell))
                self._telling.add(task)
                task.add_done_callback(self._telling.discard)
            elif (wait := self._awaited.get((frame.question, frame.worker))) is not None and not wait.done():
                wait.set_result(frame.body if frame.kind is Kind.TELL else None)
        self.ended.set()
        for wait in self._awaited.values():
            if not wait.done():
                wait.set_result(None)

    async def _answer(self, asked: Frame, tell: Tell) -> None:
        try:
            answer = Frame(Kind.TELL, asked.worker, asked.question, await tell(asked.body))
        except Exception:
            logger.exception("a question of worker %d cannot be answered", asked.worker)
            answer = Frame(Kind.ABSENT, asked.worker, asked.question)
        self._send(answer)

    def _send(self, frame: Frame) -> None:
        if self._writer is not None and not self._writer.is_closing():
            frame.send(self._writer)
