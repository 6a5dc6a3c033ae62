"""What each cell must give, worked out by the published rules alone. Pure: no router, no clock, no I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.chaos.cells import CANDIDATES, CONTEXT_WINDOWS, RETRIES, Cell, Recovery, Way, met
from benchmarks.chaos.faults import Address, Bill, Strike
from benchmarks.chaos.taxonomy import Again, Next, Row


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectedAttempt:
    """One attempt of the receipt. `cost_statuses` are those allowed. `reaches` says whether the provider hears of it,
    `reports` whether it had told its usage before the end.

    `wait` is the least time in seconds between the attempt before and this one, by the provider's hint.
    """

    candidate: str
    reason: str
    outcome: str
    error_type: str
    cost_statuses: frozenset[str]
    reaches: bool
    reports: bool
    wait: float
    because: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """How a call ends. `reason` is empty for OK, `recovered_by` says which kind of attempt saved it, if one did."""

    code: str
    reason: str
    attempts: tuple[ExpectedAttempt, ...]

    @property
    def recovered_by(self) -> str:
        """ "retry", "fallback", or "" where nothing had to be or could be saved."""
        last = self.attempts[-1]
        return last.reason.lower() if self.code == "OK" and len(self.attempts) > 1 else ""

    def explained(self) -> str:
        """The story, a line for each attempt."""
        lines = [
            f"  {number}. {attempt.reason.lower()} at {attempt.candidate}: {attempt.because}"
            f" [{'|'.join(sorted(attempt.cost_statuses))}]"
            for number, attempt in enumerate(self.attempts, 1)
        ]
        return "\n".join([*lines, f"  => {self.code} {self.reason}".rstrip()])


def expect(cell: Cell) -> Expectation:
    """Play the call by the rules: ask candidates in order, again where the row says so, until one answers."""
    attempts: list[ExpectedAttempt] = []
    last_words: dict[str, Row] = {}
    shown = False
    too_small = 0
    for candidate in CANDIDATES:
        if CONTEXT_WINDOWS[candidate] <= too_small:
            continue
        wait = 0.0
        for tries in range(1, RETRIES + 2):
            strike = met(cell, candidate, tries)
            reason = "RETRY" if tries > 1 else "FALLBACK" if attempts else "PRIMARY"
            attempts.append(_attempt(candidate, reason, strike, wait))
            if strike is None or strike.row is None:
                return Expectation(code="OK", reason="", attempts=tuple(attempts))
            last_words[candidate] = strike.row
            shown = shown or (strike.output and cell.way is Way.STREAM)
            if shown and cell.recovery is Recovery.FAIL:
                return _truncated(attempts)
            wait = strike.hint
            if not _again(strike.row, tries):
                break
        last = last_words[candidate]
        if last.next is Next.NO:
            break
        if last.next is Next.LARGER:
            too_small = CONTEXT_WINDOWS[candidate]
    return _truncated(attempts) if shown else _failed(list(last_words.values()), attempts)


def _again(row: Row, tries: int) -> bool:
    return row.again is Again.YES or (row.again is Again.ONCE and tries == 1)


def _truncated(attempts: Sequence[ExpectedAttempt]) -> Expectation:
    """The caller has seen output that no answer follows: whatever went wrong, that is what it must be told."""
    return Expectation(code="UNAVAILABLE", reason="STREAM_TRUNCATED", attempts=tuple(attempts))


def _failed(last_words: Sequence[Row], attempts: Sequence[ExpectedAttempt]) -> Expectation:
    """A verdict on the request itself ends the matter. Otherwise the reason is told if it was every candidate's."""
    last = last_words[-1]
    if last.final or len({row.reason for row in last_words}) == 1:
        return Expectation(code=last.code, reason=last.reason, attempts=tuple(attempts))
    return Expectation(code="UNAVAILABLE", reason="ATTEMPTS_EXHAUSTED", attempts=tuple(attempts))


def _attempt(candidate: str, reason: str, strike: Strike | None, wait: float) -> ExpectedAttempt:
    if strike is None:
        statuses, because = {"ACTUAL"}, "answers"
    elif strike.row is None:
        statuses, because = _BILLS[strike.bill], f"{_words(strike)}, but the answer is whole"
    elif strike.output:
        statuses, because = {"PARTIAL"}, f"{_words(strike)} after output ({strike.row.name})"
    else:
        statuses = {"INDETERMINATE"} if strike.row.billed else {"UNBILLED"}
        because = f"{_words(strike)} ({strike.row.name})"
    failed = strike is not None and strike.row is not None
    return ExpectedAttempt(
        candidate=candidate,
        reason=reason,
        outcome="ERROR" if failed else "SUCCESS",
        error_type=strike.error_type if strike is not None and failed else "",
        cost_statuses=frozenset(statuses),
        reaches=strike is None or not isinstance(strike.cause, Address),
        reports=strike is None or (strike.bill is Bill.REPORTED and (strike.row is None or strike.output)),
        wait=wait,
        because=because,
    )


_BILLS = {Bill.REPORTED: {"ACTUAL"}, Bill.LOST: {"ESTIMATED"}}


def _words(strike: Strike) -> str:
    return strike.cause.value if isinstance(strike.cause, Address) else strike.cause.kind.value.replace("_", " ")
