"""The ledger's feedback as outcomes: of each prompt, what was made of the answers of the models that answered it.

Mostly that is one model: nobody knows what the other would have said. Several are known where a prompt was asked
again, or answered in the shadow of a call, and both answers were judged. A gate's refusal is a verdict too, of an
answer whose call went on to another model; it comes about only where the first model failed, so it is kept apart.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from router_service.domain.feedback import FeedbackSource, Thumbs
from router_service.lab.outcomes import Outcome, read_lines
from router_service.lab.said import Said, last_said
from router_service.ledger.records import microseconds
from router_service.storage.database import Database, Row

_PAGE = 2_000
_COLUMNS = "o.operation_id, o.request_id, o.tenant, o.model"

# One row for each feedback that says how good the answer was, with the prompt where it was recorded.
_JUDGED = f"""
SELECT {_COLUMNS}, o.feature, f.score, f.thumbs, f.source, f.author, coalesce(t.prompt, '')
FROM ledger_feedback f JOIN ledger_operations o ON o.operation_id = f.operation_id
    LEFT JOIN ledger_texts t ON t.operation_id = f.operation_id
WHERE o.status = 'OK' AND o.model <> '' AND (f.score IS NOT NULL OR f.thumbs <> '')
    AND f.started_us >= $1 AND f.started_us < $2 AND (f.operation_id, f.source, f.author) > ($3, $4, $5)
ORDER BY f.operation_id, f.source, f.author LIMIT $6
"""  # noqa: S608 - names of this file only

# Answers that were refused: whole ones of another model, after which the same call was escalated.
_REFUSED = """
SELECT DISTINCT a.operation_id, a.model
FROM ledger_attempts a JOIN ledger_operations o ON o.operation_id = a.operation_id
WHERE a.started_us >= $1 AND a.started_us < $2 AND a.outcome = 'success' AND a.kind = 'completion'
    AND o.status = 'OK' AND a.model <> o.model
    AND EXISTS (
        SELECT 1 FROM ledger_attempts next
        WHERE next.operation_id = a.operation_id AND next.number > a.number AND next.reason = 'escalation'
    )
"""
# An attempt begins after its call, by no more than the longest call takes.
_LONGEST_CALL_US = 86_400_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedPrompt:
    """A prompt with what was made of its answers: by model the mean score of its feedback, from 0 to 1, and the models
    whose answers gates refused."""

    prompt: str
    scores: Mapping[str, float]
    refused: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Recorded:
    """What the ledger has: the prompts that were judged, how many judged calls there are, and of how many of them the
    prompt is known."""

    prompts: list[JudgedPrompt]
    calls: int
    known: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Which feedback counts: on calls that began from `since` to before `until` (seconds since the epoch), of this
    tenant and feature where they are named, of these sources where there are any."""

    since: float
    until: float
    tenant: str = ""
    feature: str = ""
    sources: Collection[FeedbackSource] = ()


class _Line(msgspec.Struct):
    request_id: str
    prompt: str | list[Said]


@dataclass(slots=True)
class _JudgedCall:
    request_id: str
    model: str
    prompt: str
    scores: list[float]


async def recorded_feedback(database: Database, choice: Choice, prompts: Mapping[str, str] | None = None) -> Recorded:
    """The feedback of the ledger, on prompts that were recorded or that `prompts` gives by request id.

    Raises `StorageError`.
    """
    calls: dict[str, _JudgedCall] = {}
    since_us, until_us = microseconds(choice.since), microseconds(choice.until)
    at = ("", "", "")
    while rows := await database.fetch(_JUDGED, since_us, until_us, *at, _PAGE):
        for row in rows:
            _add(calls, row, choice, prompts)
        at = (rows[-1][0], rows[-1][7], rows[-1][8])
    refused: defaultdict[str, set[str]] = defaultdict(set)
    for operation_id, model in await database.fetch(_REFUSED, since_us, until_us + _LONGEST_CALL_US):
        refused[operation_id].add(model)
    known = {operation_id: call for operation_id, call in calls.items() if call.prompt}
    return Recorded(list(_by_prompt(known, refused)), len(calls), len(known))


def outcomes(prompts: Iterable[JudgedPrompt]) -> list[Outcome]:
    """As labelled results, by feedback alone: a gate's refusals are of hard prompts only, which promises nothing."""
    return [Outcome(prompt=one.prompt, outcomes=one.scores) for one in prompts]


def read_prompts(path: Path) -> dict[str, str]:
    """Prompts that are kept elsewhere, by request id, from JSONL of {"request_id": "...", "prompt": "..."}.

    A prompt may be a list of messages too. Raises `OutcomesError`, and `OSError` where the file cannot be read.
    """
    return {
        read.request_id: last_said(read.prompt)
        for read in read_lines(path, _Line, '{"request_id": "...", "prompt": "..."}')
    }


def _add(calls: dict[str, _JudgedCall], row: Row, choice: Choice, prompts: Mapping[str, str] | None) -> None:
    operation_id, request_id, tenant, model, feature, score, thumbs, source, _, recorded = row
    if (choice.tenant and tenant != choice.tenant) or (choice.feature and feature != choice.feature):
        return
    if choice.sources and FeedbackSource(source) not in choice.sources:
        return
    call = calls.get(operation_id)
    if call is None:
        given = (prompts or {}).get(request_id, "")
        prompt = given or (last_said(msgspec.json.decode(recorded, type=list[Said])) if recorded else "")
        call = calls[operation_id] = _JudgedCall(request_id, model, prompt, [])
    call.scores.append(score if score is not None else float(thumbs == Thumbs.UP))


def _by_prompt(calls: Mapping[str, _JudgedCall], refused: Mapping[str, set[str]]) -> Iterable[JudgedPrompt]:
    scores: dict[str, dict[str, list[float]]] = {}
    verdicts: defaultdict[str, set[str]] = defaultdict(set)
    for operation_id, call in calls.items():
        of_prompt = scores.setdefault(call.prompt, {})
        of_prompt.setdefault(call.model, []).append(sum(call.scores) / len(call.scores))
        verdicts[call.prompt] |= refused.get(operation_id, set())
    for prompt, by_model in scores.items():
        means = {model: sum(found) / len(found) for model, found in by_model.items()}
        yield JudgedPrompt(prompt=prompt, scores=means, refused=frozenset(verdicts[prompt] - means.keys()))
