"""What outlives the process: every call and attempt is in the ledger's journal before it can cost anything."""

from __future__ import annotations

from typing import Protocol

from router_service.domain.call import Call
from router_service.domain.chat import Message
from router_service.domain.decision import Decision
from router_service.domain.error import Overloaded
from router_service.domain.event import AttemptStarted
from router_service.domain.receipt import Attempt, AttemptReason, Receipt
from router_service.engine.charges import Reserve
from router_service.ledger.journal import Journal, NotRecorded
from router_service.ledger.records import (
    AttemptKind,
    attempt_intent,
    attempt_terminal,
    operation_closed,
    operation_opened,
)
from router_service.ledger.texts import TextRecorder

# A disk that is full or a database that is away is seldom back sooner, in seconds.
_COME_BACK_AFTER = 5.0
_KINDS = {
    AttemptReason.HEDGE: AttemptKind.HEDGE,
    AttemptReason.CLASSIFIER: AttemptKind.CLASSIFIER,
    AttemptReason.JUDGE: AttemptKind.JUDGE,
    AttemptReason.SHADOW: AttemptKind.SHADOW,
}


class Book(Protocol):
    """Where calls are recorded. Nothing of it waits, and nothing but `intend` and `admit` raises."""

    def admit(self) -> None:
        """Raises `Overloaded` where a new call could not be recorded."""

    def opened(self, call: Call, decision: Decision | None, *, operation_id: str, started_at: float) -> None:
        """A call was decided on, failed before that, or a model is about to be asked for it: then it is told again
        with the decision. `started_at` is in seconds since the epoch."""

    def intend(self, operation_id: str, started: AttemptStarted, reserved: Reserve | None) -> None:
        """An attempt is about to be dispatched, and holds so much. Raises `Overloaded` where that cannot be recorded:
        then it must not be."""

    def ended(self, operation_id: str, attempt: Attempt) -> None:
        """An attempt ended, one way or another."""

    def closed(self, operation_id: str, receipt: Receipt) -> None:
        """A call ended."""

    def said(self, operation_id: str, call: Call, answer: Message, *, started_at: float) -> None:
        """A call was answered so; `started_at` as above. Kept of the calls that the operator has chosen, if any."""


class NoBook:
    """Where nothing is recorded: the receipts of recent calls are all there is."""

    def admit(self) -> None:
        """Everything is let in."""

    def opened(self, call: Call, decision: Decision | None, *, operation_id: str, started_at: float) -> None:
        """Forgotten."""

    def intend(self, operation_id: str, started: AttemptStarted, reserved: Reserve | None) -> None:
        """Forgotten."""

    def ended(self, operation_id: str, attempt: Attempt) -> None:
        """Forgotten."""

    def closed(self, operation_id: str, receipt: Receipt) -> None:
        """Forgotten."""

    def said(self, operation_id: str, call: Call, answer: Message, *, started_at: float) -> None:
        """Forgotten."""


class JournalBook:
    """Records into the journal of this process, of callers' labels those that the operator wants recorded.

    What was said is recorded as `texts` chooses, and without it never.
    """

    def __init__(
        self,
        journal: Journal,
        recorded_labels: frozenset[str] = frozenset(),
        *,
        texts: TextRecorder | None = None,
    ) -> None:
        self._journal = journal
        self._recorded_labels = recorded_labels
        self._texts = texts

    def admit(self) -> None:
        """Raises `Overloaded` where a new call could not be recorded."""
        if refusal := self._journal.refusal():
            raise _unrecordable(refusal)

    def opened(self, call: Call, decision: Decision | None, *, operation_id: str, started_at: float) -> None:
        """Written together with what follows it."""
        self._journal.operation(
            operation_opened(
                call,
                decision,
                operation_id=operation_id,
                started_at=started_at,
                process=self._journal.process,
                key_id=call.principal,
                recorded_labels=self._recorded_labels,
            )
        )

    def intend(self, operation_id: str, started: AttemptStarted, reserved: Reserve | None) -> None:
        """In the kernel's hands when this returns. Raises `Overloaded`."""
        intent = attempt_intent(
            started,
            operation_id=operation_id,
            process=self._journal.process,
            kind=_kind(started.reason),
            reserved_tokens=None if reserved is None else reserved.tokens,
            reserved_nano_usd=None if reserved is None else reserved.nano_usd,
        )
        try:
            self._journal.intent(intent)
        except NotRecorded as error:
            raise _unrecordable(str(error)) from error

    def ended(self, operation_id: str, attempt: Attempt) -> None:
        """Waits in memory while the disk takes nothing."""
        self._journal.terminal(
            attempt_terminal(
                attempt, operation_id=operation_id, process=self._journal.process, kind=_kind(attempt.reason)
            )
        )

    def closed(self, operation_id: str, receipt: Receipt) -> None:
        """Waits in memory while the disk takes nothing."""
        self._journal.operation(operation_closed(receipt, operation_id=operation_id))

    def said(self, operation_id: str, call: Call, answer: Message, *, started_at: float) -> None:
        """Left out while the disk takes nothing: no account needs it."""
        if self._texts is None:
            return
        record = self._texts.record(call, answer, operation_id=operation_id, started_at=started_at)
        if record is not None:
            self._journal.text(record)


def _kind(reason: AttemptReason) -> AttemptKind:
    return _KINDS.get(reason, AttemptKind.COMPLETION)


def _unrecordable(why: str) -> Overloaded:
    return Overloaded(
        f"Calls are not served while they cannot be recorded. {why} Come back later.",
        metadata={"limit": "ledger"},
        retry_after=_COME_BACK_AFTER,
    )
