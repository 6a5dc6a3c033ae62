"""The section `ledger` as settings."""

from __future__ import annotations

from pathlib import Path

from router_service.config.configuration import LedgerSettings, TextSettings
from router_service.config.ledger_shape import LedgerShape, RecordedTextsShape

_DAY = 86_400.0


def ledger_settings(shape: LedgerShape, directory: Path, default_folder: str | None) -> LedgerSettings:
    """Where calls are recorded, and what of them. Folders start at `directory`."""
    folder = shape.folder or default_folder
    return LedgerSettings(
        folder=directory / folder if folder else None,
        labels=frozenset(shape.labels),
        retention=None if shape.retention_days is None else shape.retention_days * _DAY,
        texts=None if shape.texts is None else _texts(shape.texts, shape.retention_days),
        **shape.model_dump(include={"sync_interval", "max_backlog", "min_free", "orphaned_after"}),
    )


def _texts(shape: RecordedTextsShape, ledger_days: int | None) -> TextSettings:
    days = shape.retention_days if ledger_days is None else min(shape.retention_days, ledger_days)
    return TextSettings(
        features=frozenset(shape.features),
        retention=days * _DAY,
        **shape.model_dump(include={"prompts", "answers", "share", "max_characters"}),
    )
