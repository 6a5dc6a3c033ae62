"""Grades of a judge for answers that the ledger recorded, with a person who may watch it and break it off."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import grpc
from rich.console import Console

from llmrouter import AsyncClient
from router_service.cli.eval_router import EvalRouter, resolved
from router_service.cli.eval_session import (
    CannotEvaluate,
    ProgressBar,
    connected,
    run_until_interrupted,
    what_is_missing,
)
from router_service.lab.asking import Subject
from router_service.lab.judge import AskedJudge
from router_service.lab.observed import Observed
from router_service.lab.paying import Paying
from router_service.lab.planning import Plan, planned_grades
from router_service.lab.regrading import Regrading
from router_service.lab.trial_log import Recorded, TrialLog
from router_service.lab.trials import Judging


@dataclass(frozen=True, slots=True, kw_only=True)
class Grading:
    """What a judge is asked for. `cap` is in nano-USD, `timeout` in seconds; calls that are `paired` are graded
    together."""

    judge: str
    calls: Sequence[Observed]
    paired: bool
    results: Path
    resume: bool
    concurrency: int
    cap: int | None
    timeout: float


@dataclass(frozen=True, slots=True)
class Graded:
    """The judge, who knows what it said, its account, and what is missing."""

    judge: AskedJudge
    judging: Judging
    notes: list[str]


async def plan(asked: Grading, address: str, tls: grpc.ChannelCredentials | None) -> Plan:
    """What the grades would cost. Raises as `grade`."""
    async with connected(address, tls, asked.timeout) as client:
        judge = await _judge(asked, client)
        recorded = Recorded()
        if asked.resume and asked.results.exists():
            with TrialLog(asked.results, resume=True) as log:
                recorded = log.recorded
        return await planned_grades(
            EvalRouter(client, timeout=asked.timeout), asked.calls, judge, recorded=recorded, paired=asked.paired
        )


async def grade(asked: Grading, address: str, tls: grpc.ChannelCredentials | None, console: Console) -> Graded:
    """Have them graded. Raises `RouterError`, `RouterGone`, `CannotEvaluate`, `TrialLogError` and `OSError`."""
    async with connected(address, tls, asked.timeout) as client:
        subject = await _judge(asked, client)
        with TrialLog(asked.results, resume=asked.resume) as log:
            paying = Paying(EvalRouter(client, timeout=asked.timeout), cap=asked.cap, spent=log.recorded.spent)
            judge = AskedJudge(subject, paying, log)
            total = sum(call.can_be_graded for call in asked.calls)
            with ProgressBar(console, total) as bar:
                run = Regrading(
                    judge,
                    asked.calls,
                    paying,
                    paired=asked.paired,
                    concurrency=asked.concurrency,
                    changed=bar.show,
                )
                await run_until_interrupted(run, console)
            answers = [(call.outcome.operation_id, "") for call in run.calls]
            models = {call.outcome.model for call in asked.calls}
            return Graded(judge, judge.account(answers, models), what_is_missing(run.stopped_by, asked.results))


async def _judge(asked: Grading, client: AsyncClient) -> Subject:
    if not any(call.can_be_graded for call in asked.calls):
        raise CannotEvaluate(
            "No prompt and answer of these calls was recorded whole, so that a judge has nothing to read. Have texts "
            "recorded (ledger: {texts: {prompts: true, answers: true, share: 0.1}}), or leave --judge out"
        )
    try:
        [judge] = resolved([asked.judge], await client.models(timeout=asked.timeout))
    except ValueError as error:
        raise CannotEvaluate(str(error)) from error
    return judge
