"""The section `storage`: which SQL database holds what outlives the process."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field, WithJsonSchema

from router_service.config.endpoint import check_readable
from router_service.config.quantity import Count, CountFromZero, Timeout, matching, refuse
from router_service.config.shape import Shape

_DATABASE = r"^(sqlite://(/.+)?|postgres(ql)?://.+)$"


def _database(value: str) -> str:
    if not re.fullmatch(_DATABASE[1:-1], value):
        refuse(
            "is not the URL of a database",
            "Write sqlite:///llmrouter.db for a file, or postgresql://user:password@host:5432/database",
        )
    check_readable(value)
    return value


DatabaseUrl = Annotated[str, AfterValidator(_database), WithJsonSchema(matching(_DATABASE))]
"""URL of an SQLite file or a PostgreSQL database; it may hold a password."""


class StorageShape(Shape):
    """The database."""

    url: DatabaseUrl | None = Field(
        default=None,
        description="sqlite:///file (relative ones start at the configuration file's directory), sqlite:// in memory, "
        'or postgresql://user:password@host:5432/database, best from "${DATABASE_URL}". Default: no database.',
    )
    connect_timeout: Timeout = Field(default=5.0, description="To be connected to PostgreSQL. A duration.")
    command_timeout: Timeout = Field(default=10.0, description="For one statement to PostgreSQL. A duration.")
    max_connections: Count = Field(default=10, description="Connections to PostgreSQL open at once. From 1.")
    statement_cache_size: CountFromZero = Field(
        default=100,
        description="Prepared statements kept per connection to PostgreSQL; 0 behind a pooler in transaction mode.",
    )
