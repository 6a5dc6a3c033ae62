"""What an import has to tell: what it left out, what works otherwise here, and what the environment must hold."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from router_service.config.problem import Problem
from router_service.config.source import Location, Source, dotted

_ENVIRON = "os.environ/"
_NAME = re.compile(r"[A-Za-z_]\w*")
_NAMED = "named in the old file"
_IN_PLAIN_TEXT = "the value itself is in the old file"


class Kind(StrEnum):
    """What a variable is used as; for trying the result out before the variable is set."""

    KEY = "key"
    URL = "URL"
    NUMBER = "number"
    POSTGRESQL = "PostgreSQL URL"
    REDIS = "Redis URL"
    API_KEY = "key of a caller"
    TEXT = "text"


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """An environment variable that the result names. `line` and `path` say where the old file has what it stands for,
    and `origin` what its value is, in words."""

    name: str
    kind: Kind
    line: int
    path: str
    origin: str


@dataclass(slots=True)
class Findings:
    """Collected while a file is translated. Values that may be secret are in none of it."""

    source: Source
    left: list[Problem] = field(default_factory=list)
    notes: list[Problem] = field(default_factory=list)
    variables: dict[str, Variable] = field(default_factory=dict)
    _secrets: dict[str, str] = field(default_factory=dict)
    _taken: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        # A new variable must not be one that the file, or litellm by itself, means something else with.
        self._taken = {text.removeprefix(_ENVIRON).strip() for text in _texts(self.source.data)}

    def leave(self, at: Location, why: str) -> None:
        """The field at this place has no counterpart."""
        self.left.append(self._problem(at, f"not mapped: {why}"))

    def note(self, at: Location, what: str) -> None:
        """The field is mapped, and works otherwise here."""
        self.notes.append(self._problem(at, what))

    def text(self, value: Any, at: Location, kind: Kind = Kind.TEXT) -> str:
        """A text of the old file as one of the new: `os.environ/X` becomes `${X}`."""
        written = str(value)
        if written.startswith(_ENVIRON):
            return self._reference(written.removeprefix(_ENVIRON).strip(), at, kind, _NAMED)
        return written.replace("${", "$${")

    def number(self, value: Any, at: Location) -> Any:
        """A number, or the reference to one."""
        return self.text(value, at, Kind.NUMBER) if isinstance(value, str) else value

    def secret(self, value: Any, at: Location, name: str, kind: Kind = Kind.KEY) -> str:
        """A reference to the secret, which stays out of the new file; `name` is what to call a new variable."""
        written = str(value)
        if written.startswith(_ENVIRON):
            return self._reference(written.removeprefix(_ENVIRON).strip(), at, kind, _NAMED)
        known = self._secrets.get(written)
        if known is None:
            known, number = name, 2
            while known in self._taken or known in self.variables:
                known, number = f"{name}_{number}", number + 1
            self._secrets[written] = known
        return self._reference(known, at, kind, _IN_PLAIN_TEXT)

    def reserve(self, names: Iterable[str]) -> None:
        """Keep these names for what litellm looks for under them by itself."""
        self._taken |= {name for name in names if name}

    def variable(self, name: str, at: Location, kind: Kind = Kind.KEY, origin: str = "litellm's own variable") -> str:
        """A reference to a variable that the old file does not name."""
        return self._reference(name, at, kind, origin)

    def _reference(self, name: str, at: Location, kind: Kind, origin: str) -> str:
        if not _NAME.fullmatch(name):
            name = re.sub(r"\W", "_", name, flags=re.ASCII) or "UNNAMED"
            self.note(at, f"the variable is called {name} here: letters, digits and _ are what a name may hold")
        line, _ = self.source.place(at)
        self.variables.setdefault(name, Variable(name=name, kind=kind, line=line, path=dotted(at), origin=origin))
        return f"${{{name}}}"

    def _problem(self, at: Location, message: str) -> Problem:
        line, column = self.source.place(at, at_key=not isinstance(at[-1], int))
        return Problem(file=self.source.file, line=line, column=column, path=dotted(at), message=message)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict | list):
        for one in value.values() if isinstance(value, dict) else value:
            yield from _texts(one)
    elif isinstance(value, str) and value.startswith(_ENVIRON):
        yield value


class Section:
    """A mapping of the old file. What nobody takes is left out, and said to be."""

    def __init__(self, findings: Findings, at: Location, value: Any, reasons: Mapping[str, str]) -> None:
        self.at = at
        self.findings = findings
        self._reasons = reasons
        self._left: dict[str, Any] = {}
        if isinstance(value, dict):
            self._left = dict(value)
        elif value is not None:
            findings.leave(at, "it is not a mapping")

    def take(self, key: str) -> Any:
        """The value, `None` where there is none; it is accounted for from here on."""
        return self._left.pop(key, None)

    def has(self, key: str) -> bool:
        """Whether it is there, and not taken."""
        return self._left.get(key) is not None

    def where(self, key: str) -> Location:
        """The place of a key."""
        return (*self.at, key)

    def take_text(self, key: str, kind: Kind = Kind.TEXT) -> str | None:
        """The value as a text of the new file."""
        value = self.take(key)
        return None if value is None else self.findings.text(value, self.where(key), kind)

    def take_number(self, key: str) -> Any:
        """The value as a number of the new file; what is none is left out."""
        value = self.take(key)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            self.findings.leave(self.where(key), "it is not a number")
            return None
        if isinstance(value, str) and not value.startswith(_ENVIRON):
            try:
                return float(value) if "." in value or "e" in value.lower() else int(value)
            except ValueError:
                self.findings.leave(self.where(key), "it is not a number")
                return None
        return self.findings.number(value, self.where(key))

    def finish(self) -> None:
        """Say of all that is left why it is."""
        for key, value in self._left.items():
            if value is not None:
                self.findings.leave(self.where(key), self._reasons.get(key, "it is not known to this import"))
        self._left = {}
