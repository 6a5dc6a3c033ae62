"""What is wrong with a configuration, where, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One mistake.

    `line` and `column` count from 1 and are 0 where there is no file; `path` is such as
    `policies.default.rules[2].use`, empty for the whole file; `fix` says what to do, empty where the message does.
    """

    file: str
    line: int
    column: int
    path: str
    message: str
    fix: str = ""

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}:{self.column}: " if self.line else f"{self.file}: "
        path = f"{self.path}: " if self.path else ""
        fix = f" {self.fix}{'' if self.fix.endswith('?') else '.'}" if self.fix else ""
        return f"{where}{path}{self.message}.{fix}"


class ConfigurationError(Exception):
    """The configuration cannot be used; `problems` are all that is wrong with it, in the file's order."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(problems, key=lambda problem: (problem.file, problem.line, problem.column)))
        super().__init__("\n".join(str(problem) for problem in self.problems))
