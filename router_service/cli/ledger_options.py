"""What commands about the ledger share: which database, and how far back."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from router_service.cli.configuration import configuration_or_exit
from router_service.cli.ending import MISUSED, end
from router_service.config.places import LEDGER_VARIABLE, with_ledger

if TYPE_CHECKING:
    from router_service.storage.database import Database

T = TypeVar("T")

DatabaseUrl = Annotated[
    str,
    typer.Option(
        "--database",
        envvar="DATABASE_URL",
        help="The ledger's database: sqlite:////path/ledger.db or postgresql://... Default: the configuration's.",
    ),
]
LedgerConfig = Annotated[
    Path | None,
    typer.Option("--config", "-c", envvar="LLMROUTER_CONFIG", help="The router's YAML file, which says where it is."),
]
Since = Annotated[str, typer.Option(help="How far back, such as 12h or 7d, or a UTC day such as 2026-11-25.")]
Until = Annotated[str, typer.Option(help="Up to when, in the same words. Default: now.")]

_AGO = re.compile(r"(\d+(?:\.\d+)?)([smhd])")
_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}


@dataclass(frozen=True, slots=True)
class Span:
    """From `since` to before `until`, in seconds since the epoch."""

    since: float
    until: float


def span(since: str, until: str, now: float | None = None) -> Span:
    """What the options say. Ends the command where they say nothing."""
    now = time.time() if now is None else now
    found = Span(_moment(since, now), _moment(until, now) if until else now)
    if found.since >= found.until:
        end(f"Nothing lies between --since {since} and --until {until or 'now'}.", MISUSED)
    return found


def _moment(text: str, now: float) -> float:
    if match := _AGO.fullmatch(text):
        return now - float(match[1]) * _SECONDS[match[2]]
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC).timestamp()
    except ValueError:
        end(f"{text!r} is neither a time such as 7d nor a day such as 2026-11-25.", MISUSED)


def with_database(url: str, config: Path | None, work: Callable[[Database], Awaitable[T]]) -> T:
    """Do something with the ledger's database. Ends the command where there is none, or it cannot be used."""
    import asyncio  # noqa: PLC0415 - with what follows, it takes its time

    from router_service.config.configuration import LedgerSettings, StorageSettings  # noqa: PLC0415
    from router_service.config.secret import LiteralSecret  # noqa: PLC0415
    from router_service.ledger.keeping import open_ledger_database  # noqa: PLC0415
    from router_service.ledger.store import SqlLedgerStore  # noqa: PLC0415
    from router_service.storage.database import StorageError  # noqa: PLC0415

    if url:
        storage, ledger = StorageSettings(url=LiteralSecret(url)), LedgerSettings()
    elif config is not None:
        configuration = configuration_or_exit(config)
        storage, ledger = configuration.storage, configuration.ledger
    elif folder := with_ledger(os.environ).get(LEDGER_VARIABLE):
        storage, ledger = StorageSettings(), LedgerSettings(folder=Path(folder))
    else:
        end("Say where the ledger is: --database URL, or --config with the router's file.", MISUSED)

    async def run() -> T:
        database = await open_ledger_database(storage, ledger)
        try:
            await SqlLedgerStore(database).check()
            return await work(database)
        finally:
            await database.aclose()

    try:
        return asyncio.run(run())
    except (StorageError, OSError) as error:
        end(f"The ledger cannot be read: {error}")
