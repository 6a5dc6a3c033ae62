"""The verdict on one cell: what was seen against what must be, and our receipt against the provider's journal."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from itertools import pairwise

from benchmarks.chaos.cells import Cell, Recovery, Way
from benchmarks.chaos.expectations import Expectation, ExpectedAttempt
from benchmarks.chaos.stage import DEADLINE, OUR_MARK, PRICES_USD, Observation
from llmrouter.v1 import receipt_pb2
from router_service.simulator.journal import Entry, Outcome

_NANO_USD = 10**9
_PRICED_TOKENS = 10**6


class Claim(StrEnum):
    """What is claimed of every cell; a miss breaks one of them."""

    STATUS = "one terminal status, the right code and reason"
    ATTEMPTS = "the attempts that the rules ask for"
    TRUNCATION = "no silent truncation"
    DUPLICATE = "no duplicate delta"
    DOUBLE_CHARGE = "no double charge"
    JOURNAL = "the receipt equals the journal where usage was reported, all else is flagged"
    RELEASED = "no upstream call outlives its attempt"
    DISCRETION = "no prompt and no key in an error or the log"
    HARNESS = "the cell was staged as planned"


@dataclass(frozen=True, slots=True)
class Miss:
    """A broken claim, with what was seen."""

    claim: Claim
    detail: str


@dataclass(frozen=True, slots=True)
class Drift:
    """An attempt whose cost we could not know: what we booked against what the provider bills, in nano-USD.

    `booked` is `None` for an indeterminate cost.
    """

    cost_status: str
    booked: int | None
    billed: int

    @property
    def relative_error(self) -> float | None:
        """(booked - billed) / billed; `None` where either is unknown or nothing is billed."""
        return None if self.booked is None or self.billed == 0 else (self.booked - self.billed) / self.billed


def judge(cell: Cell, expected: Expectation, seen: Observation) -> list[Miss]:
    """Every claim that the cell breaks."""
    return [
        *_status(expected, seen),
        *_attempts(expected, seen),
        *_text(cell, seen),
        *_charges(expected, seen),
        *_accounts(expected, seen),
        *_released(seen),
        *_discretion(seen),
    ]


def drifts(seen: Observation) -> list[Drift]:
    """What the flagged attempts were booked and billed."""
    found = []
    for attempt in seen.receipt.attempts if seen.receipt is not None else ():
        entry = _entry(seen, attempt)
        status = _cost_status(attempt)
        if entry is not None and status in {"ESTIMATED", "PARTIAL", "INDETERMINATE"}:
            booked = attempt.cost_nano_usd if attempt.HasField("cost_nano_usd") else None
            found.append(Drift(status, booked, _price(attempt, entry.billed.input_tokens, entry.billed.output_tokens)))
    return found


def _status(expected: Expectation, seen: Observation) -> Iterator[Miss]:
    if (seen.code, seen.reason) != (expected.code, expected.reason):
        want = f"{expected.code} {expected.reason}".rstrip()
        yield Miss(Claim.STATUS, f"want {want}, got {f'{seen.code} {seen.reason}'.rstrip()}")
    if seen.code != "OK" and seen.domain != "llmrouter":
        yield Miss(Claim.STATUS, f"the error's domain is {seen.domain!r}")
    if seen.code != "OK" and seen.pushback != "-1":
        yield Miss(Claim.STATUS, f"pushback {seen.pushback!r}: the client would run the whole chain again")
    if seen.sequences:
        if seen.sequences != list(range(1, len(seen.sequences) + 1)):
            yield Miss(Claim.STATUS, f"sequence numbers {seen.sequences}")
        if seen.finals != 1 or seen.after_final:
            yield Miss(Claim.STATUS, f"{seen.finals} Finished events, {seen.after_final} events behind")
        if (seen.text is None) == (seen.code == "OK"):
            yield Miss(Claim.STATUS, f"{seen.code}, and Finished has {'no' if seen.text is None else 'a'} message")
    if seen.seconds > DEADLINE:
        yield Miss(Claim.STATUS, f"took {seen.seconds:.1f} s, longer than the deadline")


def _attempts(expected: Expectation, seen: Observation) -> Iterator[Miss]:
    receipt = seen.kept
    if receipt is None:
        yield Miss(Claim.ATTEMPTS, "GetReceipt knows nothing of the call")
        return
    if seen.receipt is None:
        # A unary error carries a summary only; the receipt is fetched.
        seen.receipt = receipt
    elif seen.receipt != receipt:
        yield Miss(Claim.ATTEMPTS, "GetReceipt gives another receipt than the call did")
    if (receipt.status, receipt.error_reason) != (seen.code, seen.reason):
        yield Miss(Claim.STATUS, f"the receipt says {receipt.status} {receipt.error_reason}".rstrip())
    want = [_told(attempt) for attempt in expected.attempts]
    got = [_booked(attempt) for attempt in receipt.attempts]
    if want != got:
        yield Miss(Claim.ATTEMPTS, f"want {'; '.join(want)}, got {'; '.join(got)}")
    for before, after, wanted in zip(receipt.attempts, receipt.attempts[1:], expected.attempts[1:], strict=False):
        pause = _seconds(after.started_at) - _seconds(before.started_at) - _seconds(before.duration)
        if pause < wanted.wait * 0.9:
            yield Miss(Claim.ATTEMPTS, f"waited {pause:.3f} s where the provider asked for {wanted.wait} s")


def _text(cell: Cell, seen: Observation) -> Iterator[Miss]:
    attempts = list(seen.receipt.attempts) if seen.receipt is not None else []
    if seen.code == "OK":
        answered = _entry(seen, attempts[-1]) if attempts else None
        intended = answered.intended if answered is not None else None
        if not seen.text or seen.text != intended:
            yield Miss(Claim.TRUNCATION, f"the answer is {seen.text!r}, the provider meant {intended!r}")
        if seen.finish_reason != "FINISH_REASON_LENGTH":
            yield Miss(Claim.TRUNCATION, f"the finish reason is {seen.finish_reason}, the provider's is length")
    if cell.way is not Way.STREAM:
        return
    said = "".join(delta.text for delta in seen.deltas)
    if seen.text is not None and said != seen.text:
        yield Miss(Claim.DUPLICATE, f"the deltas say {said!r}, the final message {seen.text!r}")
    sources = sorted({delta.attempt for delta in seen.deltas})
    for before, after in pairwise(sources):
        if cell.recovery is not Recovery.CONTINUE or attempts[after - 1].continues_attempt != before:
            yield Miss(Claim.DUPLICATE, f"deltas of attempts {before} and {after} stand side by side, none taken back")
    # What the last one meant to say begins with what it went on from.
    for number in sources[-1:]:
        source = _entry(seen, attempts[number - 1]) if number <= len(attempts) else None
        if source is not None and not source.intended.startswith(said):
            yield Miss(Claim.DUPLICATE, f"the deltas say {said!r}, the provider {source.intended!r}")


def _charges(expected: Expectation, seen: Observation) -> Iterator[Miss]:
    """One upstream bill is booked once, and nothing else is booked."""
    receipt = seen.receipt
    if receipt is None:
        return
    billed_ids = [entry.attempt_id for entry in seen.entries]
    booked_ids = [attempt.attempt_id for attempt in receipt.attempts]
    for name, ids in (("the provider was asked", billed_ids), ("the receipt has", booked_ids)):
        for twice in sorted({one for one in ids if ids.count(one) > 1}):
            yield Miss(Claim.DOUBLE_CHARGE, f"{name} {ids.count(twice)} times under the attempt id {twice}")
    for unbooked in sorted(set(billed_ids) - set(booked_ids)):
        yield Miss(Claim.DOUBLE_CHARGE, f"the provider has a request that no attempt stands for: {unbooked!r}")
    for attempt, wanted in zip(receipt.attempts, expected.attempts, strict=False):
        if wanted.reaches and attempt.attempt_id not in billed_ids:
            yield Miss(Claim.HARNESS, f"attempt {attempt.number} never reached the provider")
        if not wanted.reaches and attempt.cost_nano_usd:
            yield Miss(Claim.DOUBLE_CHARGE, f"attempt {attempt.number} never reached the provider and costs something")
    total = sum(attempt.cost_nano_usd for attempt in receipt.attempts)
    if receipt.cost_nano_usd != total:
        yield Miss(Claim.DOUBLE_CHARGE, f"the receipt's cost is {receipt.cost_nano_usd}, its attempts' {total}")
    for kind in ("input_tokens", "output_tokens"):
        summed = sum(getattr(attempt.usage, kind) for attempt in receipt.attempts)
        if getattr(receipt.usage, kind) != summed:
            yield Miss(Claim.DOUBLE_CHARGE, f"the receipt's {kind} differ from its attempts' {summed}")


def _accounts(expected: Expectation, seen: Observation) -> Iterator[Miss]:
    receipt = seen.receipt
    for attempt, wanted in zip(receipt.attempts if receipt else (), expected.attempts, strict=False):
        status = _cost_status(attempt)
        if status not in wanted.cost_statuses:
            yield Miss(
                Claim.JOURNAL, f"attempt {attempt.number} is {status}, want {' or '.join(sorted(wanted.cost_statuses))}"
            )
        entry = _entry(seen, attempt)
        if entry is not None:
            yield from _account(attempt, status, entry, reports=wanted.reports)


def _account(attempt: receipt_pb2.Attempt, status: str, entry: Entry, *, reports: bool) -> Iterator[Miss]:
    """One attempt against the provider's own book."""
    billed, usage = entry.billed, attempt.usage
    if status == "ACTUAL" and not entry.usage_reported:
        yield Miss(Claim.JOURNAL, f"attempt {attempt.number} is ACTUAL, and the provider reported no usage")
    if status == "UNBILLED" and (billed.input_tokens or billed.output_tokens):
        yield Miss(Claim.JOURNAL, f"attempt {attempt.number} is UNBILLED, and the provider bills {billed}")
    if status == "UNBILLED" and attempt.cost_nano_usd:
        yield Miss(Claim.JOURNAL, f"attempt {attempt.number} is UNBILLED and costs {attempt.cost_nano_usd}")
    if entry.usage_reported and (status == "ACTUAL" or (status == "PARTIAL" and not usage.estimated)):
        booked = (usage.input_tokens, usage.output_tokens, usage.cached_input_tokens, usage.reasoning_tokens)
        want = (billed.input_tokens, billed.output_tokens, billed.cached_input_tokens, billed.reasoning_tokens)
        if booked != want:
            yield Miss(Claim.JOURNAL, f"attempt {attempt.number} books {booked} tokens, the journal {want}")
        price = _price(attempt, billed.input_tokens, billed.output_tokens)
        if attempt.cost_nano_usd != price:
            yield Miss(Claim.JOURNAL, f"attempt {attempt.number} costs {attempt.cost_nano_usd}, the journal {price}")
    elif reports and entry.usage_reported:
        yield Miss(Claim.JOURNAL, f"attempt {attempt.number} estimates what the provider had reported")
    if status in {"ESTIMATED", "PARTIAL"} and not attempt.cost_nano_usd:
        yield Miss(Claim.JOURNAL, f"attempt {attempt.number} is {status} and costs nothing")
    if status == "INDETERMINATE" and attempt.HasField("cost_nano_usd"):
        yield Miss(Claim.JOURNAL, f"attempt {attempt.number} is INDETERMINATE and costs {attempt.cost_nano_usd}")


def _released(seen: Observation) -> Iterator[Miss]:
    for entry in seen.entries:
        if entry.outcome is Outcome.OPEN:
            yield Miss(Claim.RELEASED, f"the provider still works on {entry.attempt_id}")


def _discretion(seen: Observation) -> Iterator[Miss]:
    booked = [attempt.error_message for attempt in seen.receipt.attempts] if seen.receipt is not None else []
    if any(OUR_MARK in said for said in (seen.said, *booked)):
        yield Miss(Claim.DISCRETION, "the error repeats the prompt or the key")
    if seen.logged:
        yield Miss(Claim.DISCRETION, f"the log repeats the prompt or the key: {seen.logged[:200]}")


def _entry(seen: Observation, attempt: receipt_pb2.Attempt) -> Entry | None:
    return next((entry for entry in seen.entries if entry.attempt_id == attempt.attempt_id), None)


def _price(attempt: receipt_pb2.Attempt, input_tokens: int, output_tokens: int) -> int:
    """In nano-USD, rounded once, half to even."""
    into, out = (Fraction(str(usd)) for usd in PRICES_USD[attempt.deployment[-1]])
    return round((input_tokens * into + output_tokens * out) * _NANO_USD / _PRICED_TOKENS)


def _told(attempt: ExpectedAttempt) -> str:
    return f"{attempt.reason} {attempt.candidate} {attempt.error_type or attempt.outcome}"


def _booked(attempt: receipt_pb2.Attempt) -> str:
    reason = receipt_pb2.AttemptReason.Name(attempt.reason).removeprefix("ATTEMPT_REASON_")
    outcome = receipt_pb2.AttemptOutcome.Name(attempt.outcome).removeprefix("ATTEMPT_OUTCOME_")
    return f"{reason} {attempt.deployment[-1]} {attempt.error_type or outcome}"


def _cost_status(attempt: receipt_pb2.Attempt) -> str:
    return receipt_pb2.CostStatus.Name(attempt.cost_status).removeprefix("COST_STATUS_")


def _seconds(time: object) -> float:
    return time.seconds + time.nanos / 1e9  # type: ignore[attr-defined,no-any-return]
