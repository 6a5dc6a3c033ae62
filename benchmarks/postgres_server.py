"""A real PostgreSQL of one's own: in a temporary folder, on a unix socket there, gone afterwards.

It needs the server's programs, which Debian's package `postgresql` brings (`make system-deps`). PostgreSQL refuses to
run as root; started by root it runs as the user postgres, or nobody.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PROGRAMS = ("initdb", "pg_ctl", "psql")
_STOP_SECONDS = 30.0
_SETTINGS = {
    "listen_addresses": "",
    "max_connections": "200",
    # A crash of the machine may take this database along, one of the server may not: what was committed is still
    # handed to the kernel at once.
    "fsync": "off",
    "full_page_writes": "off",
}


class PostgresMissing(Exception):
    """PostgreSQL's programs are not installed."""


class PostgresServer:
    """A running server. `stop`, `start` and `kill` are for tests of what happens without it."""

    def __init__(self, folder: Path, programs: Path, user: str | None) -> None:
        self._folder = folder
        self._programs = programs
        self._user = user
        self._data = folder / "data"
        self._made = 0

    def url(self, database: str = "postgres") -> str:
        """Where a client finds one of its databases."""
        return f"postgresql://postgres@/{database}?host={self._folder}"

    def new_database(self) -> str:
        """The URL of an empty database."""
        self._made += 1
        name = f"test_{self._made}"
        self._run("psql", "-h", str(self._folder), "-U", "postgres", "-qc", f"CREATE DATABASE {name}")
        return self.url(name)

    def initialise(self) -> None:
        self._run(
            "initdb",
            "-D",
            str(self._data),
            "-U",
            "postgres",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--no-sync",
            "--wal-segsize=1",
        )

    def start(self) -> None:
        settings = {**_SETTINGS, "unix_socket_directories": str(self._folder)}
        options = " ".join(f"-c {name}='{value}'" for name, value in settings.items())
        log = self._folder / "log"
        self._run("pg_ctl", "-D", str(self._data), "-l", str(log), "-o", options, "-w", "start")

    def stop(self) -> None:
        """End it as an operator does who is in a hurry: connections are closed, nothing is lost."""
        self._run("pg_ctl", "-D", str(self._data), "-m", "fast", "-w", "stop")

    def kill(self) -> None:
        """End it as a crash does. The next start recovers."""
        self._run("pg_ctl", "-D", str(self._data), "-m", "immediate", "-w", "stop")

    def pause(self) -> None:
        """Let it neither answer nor refuse, until `resume`."""
        self._signal_all(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal_all(signal.SIGCONT)

    def running(self) -> bool:
        return (self._data / "postmaster.pid").exists()

    def _signal_all(self, number: signal.Signals) -> None:
        postmaster = int((self._data / "postmaster.pid").read_text().split()[0])
        children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
        for process in (postmaster, *map(int, children)):
            os.kill(process, number)

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self._programs / program), *arguments]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PG")} | {"LC_ALL": "C"}
        as_user = {} if self._user is None else {"user": self._user, "group": _group_of(self._user), "extra_groups": []}
        # Not a pipe: the server would inherit it and hold it open.
        with (self._folder / f"{program}.out").open("wb") as output:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment,
                cwd=self._folder,
                check=False,
                **as_user,  # type: ignore[call-overload]
            )
        if done.returncode:
            told = (self._folder / f"{program}.out").read_text(errors="replace")
            raise RuntimeError(f"{program} failed with {done.returncode}:\n{told}")


@contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """A server that runs for the length of the block. Raises `PostgresMissing`."""
    programs = _programs()
    user = _other_user() if os.getuid() == 0 else None
    # Not below pytest's folders, which only root may enter; and a socket's path is at most 107 bytes long.
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
    try:
        if user is not None:
            shutil.chown(folder, user, _group_of(user))
        server = PostgresServer(folder, programs, user)
        server.initialise()
        server.start()
        try:
            yield server
        finally:
            if server.running():
                server.kill()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _programs() -> Path:
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: int(folder.parent.name))
    if found := shutil.which("initdb"):
        folders.append(Path(found).resolve().parent)
    for folder in reversed(folders):
        if all((folder / program).exists() for program in _PROGRAMS):
            return folder
    raise PostgresMissing("PostgreSQL is not installed: run 'make system-deps', or install the package postgresql")


def _other_user() -> str:
    known = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in known else "nobody"


def _group_of(user: str) -> int:
    return pwd.getpwnam(user).pw_gid
