"""Where things are kept that nobody named a place for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

LEDGER_VARIABLE = "LLMROUTER_LEDGER"
"""Folder of the ledger where the file names none; set and empty, nothing is recorded."""


def with_ledger(environ: Mapping[str, str]) -> Mapping[str, str]:
    """The environment with a folder for the ledger in it: the user's place for state, unless it names another."""
    if LEDGER_VARIABLE in environ:
        return environ
    if state := environ.get("XDG_STATE_HOME"):
        return {**environ, LEDGER_VARIABLE: str(Path(state) / "llmrouter")}
    if home := environ.get("HOME"):
        return {**environ, LEDGER_VARIABLE: str(Path(home) / ".local" / "state" / "llmrouter")}
    return environ
