"""From a URL to a database."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote

from router_service.config.configuration import StorageSettings
from router_service.storage.database import Database, StorageError
from router_service.storage.sqlite import open_sqlite

_SQLITE = "sqlite://"
_POSTGRES = ("postgresql://", "postgres://")


async def open_database(
    url: str,
    *,
    directory: Path = Path(),
    connect_timeout: float = 5.0,
    command_timeout: float = 10.0,
    max_connections: int = 10,
    statement_cache_size: int = 100,
) -> Database:
    """Open what the URL names; `migrate` brings it to the shape this version needs.

    `sqlite:///relative/file` starts at `directory`, `sqlite:////absolute/file` does not, `sqlite://` is in memory and
    ends with the process. `postgresql://user:password@host:5432/database` is connected when it is first used, so that
    a router can start while it is down; the other arguments are for it only, timeouts in seconds. Raises
    `StorageUnavailable` where a file cannot be opened, `StorageError` where the URL or the installation is not right.
    """
    if url == _SQLITE:
        return await open_sqlite(None)
    if url.startswith(f"{_SQLITE}/"):
        return await open_sqlite(directory / unquote(url.removeprefix(f"{_SQLITE}/")))
    if not url.startswith(_POSTGRES):
        raise StorageError("The database's URL is not understood: write sqlite:///file or postgresql://host/database.")
    try:
        from router_service.storage.postgres import open_postgres  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as exc:
        raise StorageError(
            "PostgreSQL needs the package asyncpg, which is not installed: pip install 'llmrouter[postgres]'."
        ) from exc
    return await open_postgres(
        url,
        connect_timeout=connect_timeout,
        command_timeout=command_timeout,
        max_connections=max_connections,
        statement_cache_size=statement_cache_size,
    )


async def open_configured(settings: StorageSettings) -> Database:
    """Open the configuration's database. Raises as `open_database`, and `StorageError` where there is none."""
    if settings.url is None:
        raise StorageError(
            'No database is configured: write `storage: {url: "sqlite:///llmrouter.db"}` into the configuration file.'
        )
    return await open_database(
        settings.url.reveal(),
        directory=settings.directory,
        connect_timeout=settings.connect_timeout,
        command_timeout=settings.command_timeout,
        max_connections=settings.max_connections,
        statement_cache_size=settings.statement_cache_size,
    )
