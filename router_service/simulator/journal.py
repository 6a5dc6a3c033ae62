"""The provider's side of the story: what arrived, what was sent and billed, and when the client left."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from router_service.domain.money import Usage
from router_service.simulator.faults import Fault


class Outcome(StrEnum):
    """How a request ended, as the provider saw it."""

    OPEN = "open"
    FINISHED = "finished"
    """Everything the provider meant to send left, which may be an error."""
    BROKEN = "broken"
    """The provider broke off, as its fault said."""
    ABORTED = "aborted"
    """The client left before the end."""


@dataclass(slots=True, kw_only=True)
class Entry:
    """One request. Times are the event loop's monotonic clock in seconds, `None` for what has not happened.

    `received_at` is when the whole request had arrived. `disconnected_at` is when the client's end of the connection
    went away before the response was complete. `intended` is the whole text that was meant to be said; it begins with
    `prefix`, the beginning that the request gave, if the answer went on from one. `bytes_sent` counts what was handed
    to the socket, `tokens_sent` the output tokens in it. `billed` is what the provider charges;
    `usage_reported` says whether it told the client.
    `header_names` are lower case; header values, such as keys, are not kept.
    """

    id: int
    received_at: float
    method: str
    path: str
    provider: str = ""
    model: str = ""
    header_names: tuple[str, ...] = ()
    body: dict[str, Any] = field(default_factory=dict)
    attempt_id: str = ""
    stream: bool = False
    fault: Fault | None = None
    status: int | None = None
    outcome: Outcome = Outcome.OPEN
    prefix: str = ""
    intended: str = ""
    bytes_sent: int = 0
    tokens_sent: int = 0
    billed: Usage = Usage()
    usage_reported: bool = False
    headers_sent_at: float | None = None
    first_token_at: float | None = None
    disconnected_at: float | None = None
    ended_at: float | None = None


class Journal:
    """The entries in the order of arrival; the oldest are dropped beyond `keep`."""

    def __init__(self, *, keep: int = 100_000) -> None:
        self._entries: deque[Entry] = deque(maxlen=keep)
        self._waiting: list[tuple[Callable[[Entry], bool], asyncio.Future[Entry]]] = []
        self.received = 0

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __getitem__(self, index: int) -> Entry:
        return self._entries[index]

    def of_attempt(self, attempt_id: str) -> Entry | None:
        """The latest request that carried this attempt id."""
        return next((entry for entry in reversed(self._entries) if entry.attempt_id == attempt_id), None)

    def add(self, entry: Entry) -> None:
        """Append a request that has just arrived."""
        self.received += 1
        self._entries.append(entry)
        self.changed(entry)

    def changed(self, entry: Entry) -> None:
        """Wake those who wait for what `entry` has become."""
        if not self._waiting:
            return
        for predicate, future in self._waiting:
            if not future.done() and predicate(entry):
                future.set_result(entry)
        self._waiting = [(predicate, future) for predicate, future in self._waiting if not future.done()]

    async def wait_for(self, predicate: Callable[[Entry], bool], timeout: float = 30.0) -> Entry:  # noqa: ASYNC109
        """The first entry for which `predicate` holds, now or later. Raises `TimeoutError` after `timeout` seconds."""
        for entry in self._entries:
            if predicate(entry):
                return entry
        future: asyncio.Future[Entry] = asyncio.get_running_loop().create_future()
        self._waiting.append((predicate, future))
        async with asyncio.timeout(timeout):
            return await future

    def clear(self) -> None:
        """Forget all entries."""
        self._entries.clear()
