"""Where the lines of all workers come together, so that each can ask the others."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

from router_service.workers.line import Frame, Kind, frames

# Bytes that a worker left unread, with which it counts as absent: it hangs.
_UNREAD = 64 * 1024


class Switchboard:
    """Passes questions and answers on, from one worker's line to another's. What they say is none of its business."""

    def __init__(self) -> None:
        self._lines: dict[int, asyncio.StreamWriter] = {}

    async def attend(self, number: int, end: socket.socket, on_ready: Callable[[], None]) -> None:
        """Serve a worker's line until it ends. It may be asked from when it says that it is ready."""
        end.setblocking(False)
        reader, writer = await asyncio.open_unix_connection(sock=end)
        try:
            async for frame in frames(reader):
                if frame.kind is Kind.READY:
                    self._lines[number] = writer
                    on_ready()
                else:
                    self._pass_on(frame, number, writer)
        finally:
            self._lines.pop(number, None)
            writer.close()

    def _pass_on(self, frame: Frame, sender: int, back: asyncio.StreamWriter) -> None:
        line = self._lines.get(frame.worker)
        if line is None or line.transport.get_write_buffer_size() > _UNREAD:
            if frame.kind is Kind.ASK:
                Frame(Kind.ABSENT, frame.worker, frame.question).send(back)
            return
        Frame(frame.kind, sender, frame.question, frame.body).send(line)
