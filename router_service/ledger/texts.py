"""Prompts and answers that the operator has recorded, for evaluation and training. Off unless the file says otherwise.

Which calls are recorded is decided by a hash of the operation id: every replica comes to the same share.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from router_service.config.configuration import TextSettings
from router_service.domain.call import Call
from router_service.domain.chance import chance
from router_service.domain.chat import Message
from router_service.ledger.records import TextRecord, microseconds
from router_service.storage.database import Database

_ERASED = (
    "INSERT INTO ledger_text_erasures (tenant, before_us) VALUES ($1, $2) "
    "ON CONFLICT (tenant) DO UPDATE SET before_us = excluded.before_us "
    "WHERE ledger_text_erasures.before_us < excluded.before_us"
)
_ERASE_TEXTS = "DELETE FROM ledger_texts WHERE tenant = $1 AND started_us < $2"
_ERASE_COMMENTS = "UPDATE ledger_feedback SET comment = '' WHERE tenant = $1 AND given_us < $2 AND comment <> ''"


@dataclass(frozen=True, slots=True)
class Erased:
    """How many calls' texts were erased, and how many comments."""

    texts: int
    comments: int


class TextRecorder:
    """Makes records of the calls that `settings` chooses."""

    def __init__(self, settings: TextSettings) -> None:
        self._settings = settings

    def record(self, call: Call, answer: Message, *, operation_id: str, started_at: float) -> TextRecord | None:
        """What is recorded of an answered call, `None` for those not chosen. `started_at` is in seconds."""
        settings = self._settings
        if settings.features and call.caller.feature not in settings.features:
            return None
        # A shadow call and the one it is a copy of are recorded together, or neither can be compared.
        chosen_by = operation_id if call.shadow_of is None else call.shadow_of.parent
        if chance(chosen_by) >= settings.share:
            return None
        prompt, prompt_cut = _conversation(call.chat.messages, settings.max_characters) if settings.prompts else ("", 0)
        said = answer.text if settings.answers else ""
        started_us = microseconds(started_at)
        return TextRecord(
            operation_id=operation_id,
            started_us=started_us,
            expires_us=started_us + microseconds(settings.retention),
            tenant=call.tenant,
            feature=call.caller.feature,
            prompt=prompt,
            answer=_text(said[: settings.max_characters]),
            is_cut=bool(prompt_cut) or len(said) > settings.max_characters,
        )


async def erase(database: Database, tenant: str, before: float) -> Erased:
    """Erase a tenant's texts of calls that began before then (seconds since the epoch), and comments given before then.

    Those that a journal brings later stay away as well. Raises `StorageError`.
    """
    before_us = microseconds(before)
    async with database.transaction() as transaction:
        await transaction.execute(_ERASED, tenant, before_us)
        texts = await transaction.execute(_ERASE_TEXTS, tenant, before_us)
        comments = await transaction.execute(_ERASE_COMMENTS, tenant, before_us)
    return Erased(texts, comments)


def _conversation(messages: Sequence[Message], most: int) -> tuple[str, bool]:
    """Messages as a JSON list of role and text, without images, and whether something is missing.

    The last ones are kept where all are too long, and the end of what is asked last is cut.
    """
    kept: list[dict[str, str]] = []
    left, is_cut = most, False
    for message in reversed(messages):
        text = _text(message.text)
        if len(text) > left:
            is_cut = True
            if kept:
                break
            text = text[:left]
        left -= len(text)
        kept.append({"role": message.role.value, "content": text})
    return msgspec.json.encode(kept[::-1]).decode(), is_cut


def _text(text: str) -> str:
    """What is text at all: half of a surrogate pair cannot be written."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()
