"""Feedback beside the calls it is about, in the ledger's database.

It is written at once, not through the journal: whoever gives it waits for the answer, and can give it again.
"""

from __future__ import annotations

from dataclasses import dataclass

from router_service.domain.feedback import Feedback
from router_service.ledger.records import microseconds
from router_service.storage.database import Database

_COLUMNS = (
    "operation_id", "source", "author", "request_id", "tenant", "key_id", "started_us", "given_us", "score", "thumbs",
    "label", "comment",
)  # fmt: skip
_SAID = _COLUMNS[7:]

_RECORD = (
    f"INSERT INTO ledger_feedback ({', '.join(_COLUMNS)}) "  # noqa: S608 - names of this file only
    f"VALUES ({', '.join(f'${number}' for number in range(1, len(_COLUMNS) + 1))}) "
    "ON CONFLICT (operation_id, source, author) DO UPDATE SET key_id = excluded.key_id, "
    f"{', '.join(f'{name} = excluded.{name}' for name in _SAID)} "
    "WHERE ledger_feedback.given_us <= excluded.given_us"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedCall:
    """The call that feedback is about; `started_at` is in seconds since the epoch."""

    operation_id: str
    request_id: str
    tenant: str
    started_at: float


async def record_feedback(database: Database, call: JudgedCall, feedback: Feedback, *, key_id: str, at: float) -> None:
    """Keep feedback given at `at` (seconds since the epoch) by the caller `key_id`, in place of what the same source
    and author said before. Raises `StorageError`.
    """
    await database.execute(
        _RECORD,
        call.operation_id,
        feedback.source.value,
        _kept(feedback.author),
        call.request_id,
        call.tenant,
        key_id,
        microseconds(call.started_at),
        microseconds(at),
        feedback.score,
        feedback.thumbs.value if feedback.thumbs is not None else "",
        _kept(feedback.label),
        _kept(feedback.comment),
    )


def _kept(text: str) -> str:
    """PostgreSQL keeps no NUL in a text."""
    return text.replace("\x00", "\ufffd")
