"""The section `ledger`: where calls and attempts are recorded, and for how long."""

from __future__ import annotations

from pydantic import Field

from router_service.config.quantity import Count, Size, Timeout
from router_service.config.shape import Shape, Texts


class LedgerShape(Shape):
    """The record of calls and attempts."""

    folder: str | None = Field(
        default=None,
        min_length=1,
        description="Folder of the journal, which outlives a crash; in a container, on a mounted volume. Without a "
        "database in `storage` the rows go to ledger.db in it. Default: LLMROUTER_LEDGER, else llmrouter in the user's "
        "place for state ($XDG_STATE_HOME or ~/.local/state).",
    )
    labels: Texts = Field(
        default_factory=list,
        description="Names of callers' labels that are recorded: those that policies look at. Default: none.",
    )
    retention_days: Count | None = Field(
        default=None, description="Days after which rows are deleted. From 1. Default: they are kept."
    )
    sync_interval: Timeout = Field(
        default=1.0, description="How much of the journal may be lost with the machine, not the process. A duration."
    )
    max_backlog: Size = Field(
        default=1024 * 1024 * 1024,
        description="Journal that may wait for the database before new calls are refused. A size.",
    )
    min_free: Size = Field(
        default=64 * 1024 * 1024,
        description="Space that must stay free on the journal's disk; with less, new calls are refused. A size.",
    )
    orphaned_after: Timeout = Field(
        default=24 * 3600.0,
        description="Age at which an attempt without an end becomes indeterminate, where its machine is gone. Longer "
        "than any call may take. A duration.",
    )
