"""Where the lines of all workers come together, so that each can ask the others."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from dataclasses import dataclass, field

from router_service.workers.line import Frame, Kind, frames

# So many questions without an answer, and a worker counts as absent: it hangs. When it goes on it has no more to do.
_UNANSWERED = 16


@dataclass(frozen=True, slots=True)
class _Attended:
    """A worker's line, with who asked it what and has no answer yet."""

    writer: asyncio.StreamWriter
    unanswered: set[tuple[int, int]] = field(default_factory=set)


class Switchboard:
    """Passes questions and answers on, from one worker's line to another's. What they say is none of its business."""

    def __init__(self) -> None:
        self._workers: dict[int, _Attended] = {}

    async def attend(self, number: int, end: socket.socket, on_ready: Callable[[], None]) -> None:
        """Serve a worker's line until it ends. It may be asked from when it says that it is ready."""
        end.setblocking(False)
        reader, writer = await asyncio.open_unix_connection(sock=end)
        own = _Attended(writer)
        try:
            async for frame in frames(reader):
                if frame.kind is Kind.READY:
                    self._workers[number] = own
                    on_ready()
                elif frame.kind is Kind.ASK:
                    self._ask(frame, number, writer)
                else:
                    own.unanswered.discard((frame.worker, frame.question))
                    self._answer(frame, number)
        finally:
            self._workers.pop(number, None)
            for asker, question in own.unanswered:
                self._answer(Frame(Kind.ABSENT, asker, question), number)
            writer.close()

    def _ask(self, asked: Frame, asker: int, back: asyncio.StreamWriter) -> None:
        worker = self._workers.get(asked.worker)
        if worker is None or len(worker.unanswered) >= _UNANSWERED:
            Frame(Kind.ABSENT, asked.worker, asked.question).send(back)
            return
        worker.unanswered.add((asker, asked.question))
        Frame(Kind.ASK, asker, asked.question, asked.body).send(worker.writer)

    def _answer(self, answer: Frame, sender: int) -> None:
        """Pass it on whole, whatever its size: who asked waits for it."""
        asker = self._workers.get(answer.worker)
        if asker is not None:
            Frame(answer.kind, sender, answer.question, answer.body).send(asker.writer)
