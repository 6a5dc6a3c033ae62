"""The commands of texts: what was recorded of prompts and answers, erased."""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING, Annotated

import typer

from router_service.cli.ending import MISUSED, end
from router_service.cli.ledger_options import DatabaseUrl, LedgerConfig, Until, span, with_database

if TYPE_CHECKING:
    from router_service.ledger.texts import Erased
    from router_service.storage.database import Database

app = typer.Typer(no_args_is_help=True, help="Prompts and answers that the ledger recorded.")


@app.callback()
def _texts() -> None:
    """With one command alone typer would leave out its name."""


@app.command()
def erase(
    tenant: Annotated[str, typer.Option(help="Whose texts.")],
    until: Until = "",
    database: DatabaseUrl = "",
    config: LedgerConfig = None,
) -> None:
    """Erase a tenant's recorded prompts and answers, and the comments of its feedback; calls and scores stay."""
    if not tenant:
        end("Name a tenant.", MISUSED)
    before = span("1970-01-01", until).until
    erased = with_database(database, config, lambda opened: _erase(opened, tenant, before))
    print(f"erased of {tenant}: the texts of {erased.texts:,} calls and {erased.comments:,} comments")


async def _erase(database: Database, tenant: str, before: float) -> Erased:
    from router_service.ledger.audit import AuditEntry, AuditLog  # noqa: PLC0415
    from router_service.ledger.texts import erase  # noqa: PLC0415

    erased = await erase(database, tenant, before)
    entry = AuditEntry(
        entry_id=secrets.token_hex(12), at=time.time(), actor="cli", action="texts.erase", subject=tenant
    )
    await AuditLog(database).add(entry)
    return erased
