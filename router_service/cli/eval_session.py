"""One evaluation from its first call to its last, with a person who may watch it and break it off."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import grpc
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from llmrouter import AsyncClient
from router_service.cli.eval_router import EvalRouter, resolved
from router_service.config.places import with_ledger
from router_service.domain.quality import Escalation
from router_service.lab.asking import Subject, SubjectKind
from router_service.lab.comparison import Bar
from router_service.lab.evaluate import Evaluation
from router_service.lab.grading import Grader
from router_service.lab.planning import Plan, planned
from router_service.lab.prompt_set import EvalPrompt
from router_service.lab.reached import Reached
from router_service.lab.report import Report, report_on
from router_service.lab.trial_log import Recorded, TrialLog
from router_service.spend.money import usd

INTERRUPTED = "it was interrupted"


class CannotEvaluate(Exception):
    """The run cannot begin; the message says why and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What was asked for. `cap` is in nano-USD, `timeout` in seconds; `escalation` has the gates that judge."""

    title: str
    prompts: Sequence[EvalPrompt]
    models: Sequence[str]
    policies: Sequence[str]
    judge: str
    bar: Bar
    results: Path
    resume: bool
    concurrency: int
    cap: int | None
    timeout: float
    escalation: Escalation | None


@asynccontextmanager
async def running_router(config: Path) -> AsyncIterator[str]:
    """A router of this file in this process; its address. Raises what `Application` does, and `CannotEvaluate`."""
    from router_service.app import Application  # noqa: PLC0415 - the server, which few evaluations wait for

    application = Application(config, environ=with_ledger(os.environ), address="127.0.0.1:0")
    if application.settings.tls is not None:
        raise CannotEvaluate(
            f"{config} serves TLS: start it by `llmrouter serve`, and name it by --address and --ca-file"
        )
    port = await application.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await application.stop()


async def plan(asked: Asked, address: str, tls: grpc.ChannelCredentials | None) -> Plan:
    """What the run would do and cost. Raises `RouterError`, `RouterGone`, `CannotEvaluate` and `TrialLogError`."""
    async with connected(address, tls, asked.timeout) as client:
        subjects, judge = await _subjects(asked, client)
        recorded = Recorded()
        if asked.resume and asked.results.exists():
            with TrialLog(asked.results, resume=True) as log:
                recorded = log.recorded
        return await planned(
            EvalRouter(client, timeout=asked.timeout),
            asked.prompts,
            subjects,
            recorded=recorded,
            judge=judge,
            concurrency=asked.concurrency,
        )


async def evaluate(asked: Asked, address: str, tls: grpc.ChannelCredentials | None, console: Console) -> Report:
    """Run it; the report also of a run that broke off, whose notes say so. Raises as `plan`, and `OSError`.

    The first interrupt begins no more calls, the second leaves those in flight.
    """
    async with connected(address, tls, asked.timeout) as client:
        subjects, judge = await _subjects(asked, client)
        total = len(asked.prompts) * len(subjects)
        with TrialLog(asked.results, resume=asked.resume) as log, ProgressBar(console, total) as bar:
            evaluation = Evaluation(
                EvalRouter(client, timeout=asked.timeout),
                asked.prompts,
                subjects,
                log=log,
                grader=Grader(asked.escalation),
                judge=judge,
                concurrency=asked.concurrency,
                cap=asked.cap,
                changed=bar.show,
            )
            await run_until_interrupted(evaluation, console)
            notes = what_is_missing(evaluation.stopped_by, asked.results)
            return report_on(asked.title, evaluation.trials(), asked.bar, judging=evaluation.judging(), notes=notes)


def what_is_missing(stopped_by: str, results: Path) -> list[str]:
    """A note where a run ended before its end."""
    if not stopped_by:
        return []
    return [f"The run is not complete: {stopped_by}. Go on with it by --resume --results {results}"]


class Interruptible(Protocol):
    """A run that a person may end; `stopped_by` says why it ended before its end."""

    @property
    def stopped_by(self) -> str: ...

    def stop(self, reason: str) -> None:
        """Begin no more calls."""

    async def run(self) -> None:
        """Until the end."""


async def run_until_interrupted(evaluation: Interruptible, console: Console) -> None:
    """Run until the end, or until a person ends it."""
    loop = asyncio.get_running_loop()
    work = asyncio.create_task(evaluation.run())

    def interrupt() -> None:
        if evaluation.stopped_by == INTERRUPTED:
            work.cancel()
            return
        evaluation.stop(INTERRUPTED)
        console.print("Waiting for the calls in flight, which are paid for; interrupt again to leave them.")

    ends = (signal.SIGINT, signal.SIGTERM)
    for number in ends:
        loop.add_signal_handler(number, interrupt)
    try:
        # Not awaited itself: that it was cancelled by a second interrupt is no cancel of ours.
        await asyncio.wait([work])
    except asyncio.CancelledError:
        work.cancel()
        await asyncio.wait([work])
        raise
    finally:
        for number in ends:
            loop.remove_signal_handler(number)
    if not work.cancelled():
        try:
            work.result()
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from errors


async def _subjects(asked: Asked, client: AsyncClient) -> tuple[list[Subject], Subject | None]:
    """What is compared, and the judge; nothing has been paid before all of them are known to exist."""
    named = [*asked.models, *([asked.judge] if asked.judge else [])]
    try:
        found = resolved(named, await client.models(timeout=asked.timeout))
    except ValueError as error:
        raise CannotEvaluate(str(error)) from error
    models = found[: len(asked.models)]
    policies = [Subject(SubjectKind.POLICY, name) for name in asked.policies]
    for policy in policies:
        # Whatever else is wrong with a call by it is a result; that it does not exist, or is not granted, is none.
        await client.route("Hello", policy=policy.name, timeout=asked.timeout)
    return [*models, *policies], found[-1] if asked.judge else None


@asynccontextmanager
async def connected(
    address: str, tls: grpc.ChannelCredentials | None, call_timeout: float
) -> AsyncIterator[AsyncClient]:
    """A client of the router at this address, whose calls take so many seconds at most. Raises `CannotEvaluate`."""
    try:
        client = AsyncClient.connect(address, tls=tls, timeout=call_timeout)
    except ValueError as error:
        raise CannotEvaluate(str(error)) from error
    async with client:
        yield client


class ProgressBar:
    """A bar on a terminal; nothing elsewhere, for what is piped is read by programs."""

    def __init__(self, console: Console, total: int) -> None:
        self._progress = Progress(
            TextColumn("asking"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[told]}"),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._progress.add_task("", total=total, told="")

    def show(self, reached: Reached) -> None:
        """Move on."""
        failed = f", {reached.failed} failed" if reached.failed else ""
        self._progress.update(self._task, completed=reached.done, told=f"{usd(reached.spent)}{failed}")

    def __enter__(self) -> ProgressBar:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()
