"""What experiments and shadow calls came to, from the ledger's rows: one row a call, ready to be compared.

Money is nano-USD, times are seconds, scores of gates are from 0 to 1. `None` is what nobody knows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from router_service.storage.database import Database, Row

_PAGE = 2_000
_MICROSECONDS = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How one call went, in all its attempts.

    `deployment` and `model` answered it; of a shadow call that failed they are what was asked, of another call that
    failed they are empty. `status` is a gRPC status code name, `error_reason` why it is not OK.
    """

    operation_id: str
    request_id: str
    started_at: float
    deployment: str
    model: str
    status: str
    error_reason: str
    cost: int | None
    cost_status: str
    duration: float | None
    first_output: float | None
    attempts: int
    score: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmCall:
    """A call of an experiment. Compare by the `arm` it fell to, whether or not that was `honoured`. Calls of the same
    `key`, such as a user, are not independent of each other; it is empty where no key was recorded."""

    experiment: str
    arm: str
    key: str
    honoured: bool
    feature: str
    outcome: Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class ShadowPair:
    """A call and its shadow. The scores of both are by the same gates, those of the shadow."""

    shadow: str
    feature: str
    parent: Outcome
    copy: Outcome


class Said(msgspec.Struct, frozen=True):
    """A message as it was recorded."""

    role: str
    content: str = ""


@dataclass(frozen=True, slots=True)
class Words:
    """What was said in a call, where it was recorded: `prompt` and `answer` are empty where only the other one was.
    `is_cut` says that one of them is not whole."""

    prompt: tuple[Said, ...]
    answer: str
    is_cut: bool = False


class ComparisonReader:
    """Asks the ledger for calls that ended, from `since` to before `until` (seconds since the epoch), the oldest first.

    Every method raises `StorageError`.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def arm_calls(self, experiment: str, since: float, until: float) -> list[ArmCall]:
        """The calls of an experiment, in all policies that have one of this name."""
        return [
            ArmCall(
                experiment=experiment,
                arm=row[0],
                key=row[1],
                honoured=bool(row[2]),
                feature=row[3],
                outcome=_outcome(row[4:]),
            )
            for row in await self._pages(_ARM_CALLS, experiment, since, until)
        ]

    async def shadow_pairs(self, shadow: str, since: float, until: float) -> list[ShadowPair]:
        """The calls that a shadow, by its id such as "default/try-qwen", was sent beside, and its answers.

        A call whose own row is not kept any more is left out.
        """
        width = len(_OUTCOME)
        return [
            ShadowPair(
                shadow=shadow, feature=row[0], copy=_outcome(row[1 : width + 1]), parent=_outcome(row[width + 1 :])
            )
            for row in await self._pages(_SHADOW_PAIRS, shadow, since, until)
        ]

    async def arm_feedback(self, experiment: str, since: float, until: float) -> dict[str, float]:
        """What was made of the answers of an experiment, by operation: the mean of its feedback, from 0 to 1."""
        return {row[0]: row[1] for row in await self._pages(_ARM_FEEDBACK, experiment, since, until)}

    async def arm_words(self, experiment: str, since: float, until: float) -> dict[str, Words]:
        """What was said in the calls of an experiment, by operation, where it was recorded."""
        return _words(await self._pages(_ARM_WORDS, experiment, since, until))

    async def shadow_words(self, shadow: str, since: float, until: float) -> dict[str, Words]:
        """What was said in a shadow's calls and in those they are copies of, by operation."""
        rows = [await self._pages(sql, shadow, since, until) for sql in (_SHADOW_WORDS, _PARENT_WORDS)]
        return _words([*rows[0], *rows[1]])

    async def experiments(self) -> list[str]:
        """The experiments that there are calls of."""
        return [row[0] for row in await self._database.fetch(_EXPERIMENTS)]

    async def shadows(self) -> list[str]:
        """The shadows that there are calls of, by id."""
        return [row[0] for row in await self._database.fetch(_SHADOWS)]

    async def _pages(self, sql: str, name: str, since: float, until: float) -> list[Row]:
        """All rows, fetched some at a time; each page starts behind the last row of the one before."""
        found: list[Row] = []
        at, key, end = round(since * _MICROSECONDS), "", round(until * _MICROSECONDS)
        while rows := await self._database.fetch(sql, name, at, key, end, _PAGE):
            found += (row[2:] for row in rows)
            at, key = rows[-1][0], rows[-1][1]
        return found


_OUTCOME = (
    "operation_id", "request_id", "started_us", "deployment", "model", "status", "error_reason", "cost_nano_usd",
    "cost_status", "duration_us", "first_output_us", "attempts", "quality_score",
)  # fmt: skip


def _outcome(row: Sequence[object]) -> Outcome:
    value = dict(zip(_OUTCOME, row, strict=True))
    started = value.pop("started_us")
    assert isinstance(started, int)
    return Outcome(
        started_at=started / _MICROSECONDS,
        cost=value.pop("cost_nano_usd"),  # type: ignore[arg-type]
        duration=_seconds(value.pop("duration_us")),
        first_output=_seconds(value.pop("first_output_us")),
        score=value.pop("quality_score"),  # type: ignore[arg-type]
        **value,  # type: ignore[arg-type]
    )


def _words(rows: Sequence[Row]) -> dict[str, Words]:
    return {
        operation_id: Words(
            msgspec.json.decode(prompt, type=tuple[Said, ...]) if prompt else (),
            answer,
            bool(is_cut),
        )
        for operation_id, prompt, answer, is_cut in rows
    }


def _seconds(microseconds: object) -> float | None:
    return microseconds / _MICROSECONDS if isinstance(microseconds, int) else None


def _columns(table: str, **other: str) -> str:
    return ", ".join(other.get(name, f"{table}.{name}") for name in _OUTCOME)


def _asked(name: str) -> str:
    """What a shadow call was answered by, or was sent to where it was not answered."""
    asked = f"SELECT max(a.{name}) FROM ledger_attempts a WHERE a.operation_id = o.operation_id"  # noqa: S608 - as below
    return f"CASE WHEN o.{name} <> '' THEN o.{name} ELSE coalesce(({asked}), '') END"


_BETWEEN = """
    AND o.closed_by IS NOT NULL AND (o.started_us > $2 OR (o.started_us = $2 AND o.operation_id > $3))
    AND o.started_us < $4
ORDER BY o.started_us, o.operation_id LIMIT $5
"""

_ARM_CALLS = f"""
SELECT o.started_us, o.operation_id, o.arm, o.arm_key, o.arm_honoured, o.feature, {_columns("o")}
FROM ledger_operations o WHERE o.experiment = $1 AND o.experiment <> '' {_BETWEEN}
"""  # noqa: S608 - names of this file only

_SHADOW_PAIRS = f"""
SELECT o.started_us, o.operation_id, o.feature,
    {_columns("o", deployment=_asked("deployment"), model=_asked("model"))},
    {_columns("p", quality_score="o.parent_score")}
FROM ledger_operations o JOIN ledger_operations p ON p.operation_id = o.parent_id
WHERE o.shadow = $1 AND o.shadow <> '' AND p.closed_by IS NOT NULL {_BETWEEN}
"""  # noqa: S608 - names of this file only

# Of thumbs and score the score, as everywhere.
_ARM_FEEDBACK = f"""
SELECT o.started_us, o.operation_id, o.operation_id,
    (
        SELECT avg(coalesce(f.score, CASE f.thumbs WHEN 'up' THEN 1.0 ELSE 0.0 END)) FROM ledger_feedback f
        WHERE f.operation_id = o.operation_id AND (f.score IS NOT NULL OR f.thumbs <> '')
    ) AS score
FROM ledger_operations o WHERE o.experiment = $1 AND o.experiment <> ''
    AND EXISTS (
        SELECT 1 FROM ledger_feedback f
        WHERE f.operation_id = o.operation_id AND (f.score IS NOT NULL OR f.thumbs <> '')
    ) {_BETWEEN}
"""  # noqa: S608 - names of this file only


def _said(of: str, where: str) -> str:
    return f"""
SELECT o.started_us, o.operation_id, t.operation_id, t.prompt, t.answer, t.is_cut
FROM ledger_operations o JOIN ledger_texts t ON t.operation_id = o.{of} WHERE {where} {_BETWEEN}
"""  # noqa: S608 - names of this file only


_ARM_WORDS = _said("operation_id", "o.experiment = $1 AND o.experiment <> ''")
_SHADOW_WORDS = _said("operation_id", "o.shadow = $1 AND o.shadow <> ''")
_PARENT_WORDS = _said("parent_id", "o.shadow = $1 AND o.shadow <> ''")

_EXPERIMENTS = "SELECT DISTINCT experiment FROM ledger_operations WHERE experiment <> '' ORDER BY experiment"
_SHADOWS = "SELECT DISTINCT shadow FROM ledger_operations WHERE shadow <> '' ORDER BY shadow"
