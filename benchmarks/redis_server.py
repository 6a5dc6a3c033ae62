"""A real Redis or Valkey of one's own: on a unix socket in a temporary folder, without persistence, gone afterwards.

It needs the server's program, which Debian's package `redis-server` brings (`make system-deps`).
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

_PROGRAMS = ("redis-server", "valkey-server")
_START_SECONDS = 10.0


class RedisMissing(Exception):
    """The server's program is not installed."""


class RedisServer:
    """A running server. `kill`, `start`, `pause` and `resume` are for tests of what happens without it."""

    def __init__(self, folder: Path, program: str) -> None:
        self._socket = folder / "s"
        self._program = program
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where a client finds it."""
        return f"unix://{self._socket}"

    def start(self) -> None:
        """Start, without any data."""
        settings = ["--port", "0", "--unixsocket", str(self._socket), "--save", "", "--appendonly", "no"]
        self._process = subprocess.Popen([self._program, *settings], stdout=subprocess.DEVNULL)
        until = time.monotonic() + _START_SECONDS
        while time.monotonic() < until:
            with contextlib.suppress(OSError):
                if self.send("PING").startswith(b"+PONG"):
                    return
            time.sleep(0.01)
        raise RuntimeError(f"{self._program} did not start")

    def kill(self) -> None:
        """End it at once; its data is gone, connections to it are refused."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def pause(self) -> None:
        """Stop it in its tracks: connections are accepted, nothing is answered."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Go on after `pause`."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGCONT)

    def send(self, *command: str) -> bytes:
        """The raw answer to a command that has a short one."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(_START_SECONDS)
            connection.connect(str(self._socket))
            parts = "".join(f"${len(part)}\r\n{part}\r\n" for part in command)
            connection.sendall(f"*{len(command)}\r\n{parts}".encode())
            return connection.recv(65536)


@contextlib.contextmanager
def redis_server() -> Iterator[RedisServer]:
    """A running server. Raises `RedisMissing`."""
    program = next((found for name in _PROGRAMS if (found := shutil.which(name))), None)
    if program is None:
        raise RedisMissing("neither redis-server nor valkey-server is installed: run `make system-deps`")
    folder = Path(tempfile.mkdtemp(prefix="redis-"))
    server = RedisServer(folder, program)
    try:
        server.start()
        yield server
    finally:
        server.kill()
        shutil.rmtree(folder, ignore_errors=True)
