"""The section `ledger`: where calls and attempts are recorded, and for how long."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from router_service.config.quantity import Count, Size, Timeout, refuse
from router_service.config.shape import Shape, Texts


class RecordedTextsShape(Shape):
    """What is recorded of prompts and answers, for evaluation and training. They are your users' own words, and lie in
    the database as they are: have a reason, tell whom it concerns, record no more than it takes. Off without it."""

    prompts: bool = Field(
        default=False, description="Record conversations: the role and text of their messages, without images."
    )
    answers: bool = Field(default=False, description="Record the text of the answer that was given.")
    share: Annotated[float, Field(gt=0, le=1)] = Field(
        default=1.0,
        description="Share of the calls, above 0 to 1; by a hash of the operation id, so that all replicas agree.",
    )
    features: Texts = Field(
        default_factory=list, description="Features whose calls are recorded. Default: those of all calls."
    )
    retention_days: Count = Field(
        default=30, description="Days after which texts are deleted, never later than the ledger's rows. From 1."
    )
    max_characters: Annotated[Count, Field(le=1_000_000)] = Field(
        default=20_000,
        description="Characters that are kept of a prompt, and of an answer; of conversations the last messages.",
    )

    @model_validator(mode="after")
    def _records_something(self) -> Self:
        if not (self.prompts or self.answers):
            refuse("records neither prompts nor answers", "Set prompts or answers to true, or leave `texts` out")
        return self


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
    texts: RecordedTextsShape | None = Field(
        default=None, description="Recording of prompts and answers. Default: neither is ever recorded."
    )
