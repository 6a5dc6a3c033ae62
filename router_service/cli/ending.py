"""How a command ends that cannot do what it was asked."""

from __future__ import annotations

import sys
from typing import NoReturn

import typer

FAILED = 1
MISUSED = 2


def end(message: str, code: int = FAILED) -> NoReturn:
    """End the command with a message instead of a traceback."""
    print(message, file=sys.stderr)
    raise typer.Exit(code)
