"""The configuration in force, and its replacement when the file changes or on SIGHUP."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import logging
import signal
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path

from router_service.config.configuration import Configuration
from router_service.config.problem import ConfigurationError, Problem

logger = logging.getLogger(__name__)

Sleep = Callable[[float], Awaitable[None]]
FileState = tuple[str, int, int, int] | None

_PERIOD = 1.0
"""Seconds between two looks at the files."""

_SETTLING = 0.2
"""Seconds that the files must stay as they are before they are read: writers write in several steps."""


def file_states(files: Iterable[str]) -> Mapping[str, FileState]:
    """What tells one version of each file from the next: where links lead to, modification time, inode and size."""
    return {file: _state(Path(file)) for file in files}


def _state(path: Path) -> FileState:
    try:
        status = path.stat()
        return str(path.resolve()), status.st_mtime_ns, status.st_ino, status.st_size
    except OSError:
        return None


def _directories(files: Iterable[str]) -> set[Path]:
    return {parent for file in files if (parent := Path(file).absolute().parent).is_dir()}


def log_error(error: ConfigurationError) -> None:
    """Say in the log what is wrong with the new configuration."""
    logger.error("the new configuration is not used, the old one keeps serving:\n%s", error)


class ConfigurationHolder:
    """Holds the configuration in force and replaces it as a whole.

    `load` reads it (the first time at once: its `ConfigurationError` is the caller's). `on_change` puts a new one to
    use; it is called with each new configuration but the first. Where either fails, the old one stays in force and
    `on_error` is told.
    """

    def __init__(
        self,
        load: Callable[[], Configuration],
        *,
        on_change: Callable[[Configuration], None],
        on_error: Callable[[ConfigurationError], None] = log_error,
    ) -> None:
        self._load = load
        self._on_change = on_change
        self._on_error = on_error
        self._current = load()
        self._seen = file_states(self._current.watched_files)
        self._one_at_a_time = asyncio.Lock()
        self._reloads: set[asyncio.Task[ConfigurationError | None]] = set()

    @property
    def current(self) -> Configuration:
        """The configuration in force."""
        return self._current

    @property
    def changed(self) -> bool:
        """Whether a watched file differs from when it was last read."""
        return file_states(self._seen) != self._seen

    async def reload(self) -> ConfigurationError | None:
        """Read again and put to use; returns why not, where the old configuration stays in force."""
        async with self._one_at_a_time:
            # Taken before reading: a change in between is seen as one more change.
            self._seen = file_states(self._seen)
            try:
                fresh = await asyncio.to_thread(self._load)
                self._on_change(fresh)
            except Exception as exc:
                error = exc if isinstance(exc, ConfigurationError) else self._unexpected(exc)
                self._on_error(error)
                return error
            self._current = fresh
            states = file_states(fresh.watched_files)
            self._seen = {file: self._seen.get(file) or state for file, state in states.items()}
            logger.info("configuration %s is in force", fresh.fingerprint)
            return None

    def _unexpected(self, exc: Exception) -> ConfigurationError:
        logger.debug("reload failed", exc_info=exc)
        message = f"the configuration could not be put to use ({type(exc).__name__})"
        source = self._current.source
        return ConfigurationError([Problem(file=source, line=1, column=1, path="", message=message)])

    def reload_on_hangup(self, loop: asyncio.AbstractEventLoop) -> None:
        """Reload on SIGHUP from now on. Call it in the main thread."""

        def hang_up() -> None:
            task = loop.create_task(self.reload())
            self._reloads.add(task)
            task.add_done_callback(self._reloads.discard)

        loop.add_signal_handler(signal.SIGHUP, hang_up)

    async def watch(self, *, sleep: Sleep = asyncio.sleep, notified: bool | None = None) -> None:
        """Reload whenever a watched file changes, until cancelled.

        With watchfiles installed (`notified` overrides that) a change is seen at once, else within a second.
        """
        if notified is None:
            notified = importlib.util.find_spec("watchfiles") is not None
        while True:
            if self.changed:
                await self._settled(sleep)
                await self.reload()
            # Directories, not files: editors and Kubernetes put a new file or link in the old one's place.
            directories = _directories(self._seen)
            if notified and directories:
                await _next_event(directories)
            else:
                await sleep(_PERIOD)

    async def _settled(self, sleep: Sleep) -> None:
        before = None
        while before != (now := file_states(self._seen)):
            before = now
            await sleep(_SETTLING)


async def _next_event(directories: Iterable[Path]) -> None:
    """Wait for a change in these directories, 5 seconds at most: not every file system tells of changes."""
    from watchfiles import awatch  # noqa: PLC0415 - an extra

    events = awatch(*directories, watch_filter=None, recursive=False, rust_timeout=5000, yield_on_timeout=True)
    async with contextlib.aclosing(events):
        async for _ in events:
            return
