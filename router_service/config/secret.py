"""Secrets: literal, from the environment, or from a file that may be rotated under the running process."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol


class Secret(Protocol):
    """A secret that may be rotated: `reveal` returns its value now; `repr` never shows it."""

    def reveal(self) -> str: ...


class LiteralSecret:
    """A secret written in the configuration itself."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        return self._value

    def __repr__(self) -> str:
        return "LiteralSecret(****)"


class EnvironmentSecret:
    """A secret in an environment variable, without the white space around it.

    If the variable goes away, its last value stays.
    """

    __slots__ = ("_environ", "_name", "_value")

    def __init__(self, name: str, environ: Mapping[str, str]) -> None:
        self._name = name
        self._environ = environ
        self._value = environ[name].strip()

    def reveal(self) -> str:
        self._value = self._environ.get(self._name, "").strip() or self._value
        return self._value

    def __repr__(self) -> str:
        return f"EnvironmentSecret({self._name}, ****)"


class FileSecret:
    """A secret in a file, without the white space around it.

    The file is read again once its modification time, inode or size changed. While it is missing or empty, as in the
    middle of a rotation, the last good value stays. Raises `OSError` or `ValueError` when it holds nothing at first.
    """

    __slots__ = ("_path", "_seen", "_value")

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen = self._state()
        self._value = self._read()

    def reveal(self) -> str:
        try:
            state = self._state()
            if state != self._seen:
                self._value = self._read()
                self._seen = state
        except (OSError, ValueError):
            return self._value
        return self._value

    def _state(self) -> tuple[int, int, int]:
        status = self._path.stat()
        return status.st_mtime_ns, status.st_ino, status.st_size

    def _read(self) -> str:
        value = self._path.read_text(encoding="utf-8").strip()
        if not value:
            raise ValueError("the file is empty")
        return value

    def __repr__(self) -> str:
        return f"FileSecret({self._path}, ****)"
