"""`llmrouter eval`: one prompt set over several models, and what it says of them."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import grpc
import typer
import uvloop
from rich.console import Console

from llmrouter import RouterError
from router_service.cli.calls import Address, CaFile, explained, trusting
from router_service.cli.configuration import configuration_or_exit
from router_service.cli.ending import FAILED, MISUSED, end
from router_service.cli.options import with_options
from router_service.cli.recorded_rows import RecordedRows
from router_service.cli.render import terminal
from router_service.config.problem import ConfigurationError
from router_service.telemetry.logging import configure_logging

if TYPE_CHECKING:
    from router_service.domain.quality import Escalation
    from router_service.lab.comparison import Bar
    from router_service.lab.planning import Plan
    from router_service.lab.report import Report

T = TypeVar("T")

_DEFAULT_ADDRESS = "127.0.0.1:50051"
_NANO = 1_000_000_000


@with_options("rows", RecordedRows)
def evaluate(
    *,
    context: typer.Context,
    prompts: Annotated[
        Path | None,
        typer.Argument(help="JSONL, CSV or text of prompts, with `expected` answers, `schema` or `rubric`."),
    ] = None,
    rows: RecordedRows,
    models: Annotated[
        str, typer.Option(help="Models or deployments to compare: a,b,c. They are asked as they are.")
    ] = "",
    policies: Annotated[str, typer.Option(help="Policies to compare: x,y. They route and escalate.")] = "",
    judge: Annotated[
        str, typer.Option(help="A model that grades what nothing else settles; its cost counts apart.")
    ] = "",
    bar: Annotated[str, typer.Option(help="The quality to meet: 0.9, or 98% for a share of the best one's.")] = "98%",
    against: Annotated[str, typer.Option(help="Whose quality a share in --bar is of. Default: the best one's.")] = "",
    address: Address = _DEFAULT_ADDRESS,
    ca_file: CaFile = None,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            "-c",
            help="Instead of --address: run a router of this file in this process, and use its gates. With --recorded: "
            "where the ledger is, and what the arms are.",
        ),
    ] = None,
    concurrency: Annotated[int, typer.Option(min=1, max=256, help="Calls at once.")] = 4,
    timeout: Annotated[float, typer.Option(min=0.1, help="Deadline of a call in seconds.")] = 120.0,
    max_cost: Annotated[str, typer.Option(help="Begin no call that may bring the sum above so many USD.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Estimate the cost and stop.")] = False,
    results: Annotated[
        Path | None, typer.Option(help="Where calls are recorded as they end. Default: PROMPTS.results.jsonl here.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with --results: what has an answer is not asked.")
    ] = False,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the report as JSON.")] = None,
    html_file: Annotated[Path | None, typer.Option("--html", help="Write the report as a page of its own.")] = None,
) -> None:
    """Run one prompt set over several models through the router: quality, cost, latency, and the cheapest that does."""
    from router_service.cli.evaluation_view import plan_view, report_view  # noqa: PLC0415 - no other command waits for it
    from router_service.lab.page import page  # noqa: PLC0415
    from router_service.lab.planning import Plan  # noqa: PLC0415
    from router_service.lab.report import as_data  # noqa: PLC0415

    compared = [*_names(models), *_names(policies)]
    rows.check(prompts, compared, judge)
    if prompts is not None:
        _check_subjects(compared, against)
    _check_folders(json_file, html_file, results)
    said_by = context.get_parameter_source("address")
    is_named = said_by is not None and said_by.name != "DEFAULT"
    router = _Router(
        config=None if rows.recorded and is_named else config,
        address=address,
        tls=trusting(ca_file) if ca_file else None,
    )
    asked = _Asked(
        judge=judge,
        bar=_bar(bar, against),
        config=config,
        results=results,
        resume=resume,
        concurrency=concurrency,
        cap=_nano(max_cost) if max_cost else None,
        timeout=timeout,
        dry_run=dry_run,
    )
    if prompts is None:
        found = _of_recorded(rows, asked, router)
    else:
        found = _of_prompts(prompts, _names(models), _names(policies), asked, router)
    if isinstance(found, Plan):
        terminal().print(plan_view(found))
        return
    report = found
    terminal().print(report_view(report))
    _write(json_file, lambda: json.dumps(as_data(report), ensure_ascii=False, indent=1))
    _write(html_file, lambda: page(report))
    if report.notes:
        raise typer.Exit(FAILED)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """What was asked for, whatever is compared. `cap` is in nano-USD, `timeout` in seconds."""

    judge: str
    bar: Bar
    config: Path | None
    results: Path | None
    resume: bool
    concurrency: int
    cap: int | None
    timeout: float
    dry_run: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Router:
    """The router that is asked: the one at `address`, or one of the file `config` in this process."""

    config: Path | None
    address: str
    tls: grpc.ChannelCredentials | None

    def run(self, work: Callable[[str, grpc.ChannelCredentials | None], Awaitable[T]]) -> T:
        """Do the work with it. Ends the command where that cannot be done."""
        from router_service.cli.eval_session import CannotEvaluate  # noqa: PLC0415
        from router_service.edge.address import CannotServe  # noqa: PLC0415
        from router_service.lab.asking import RouterGone  # noqa: PLC0415
        from router_service.lab.trial_log import TrialLogError  # noqa: PLC0415
        from router_service.storage.database import StorageError  # noqa: PLC0415

        if self.config is not None:
            configure_logging("error")
        try:
            return uvloop.run(self._done(work))
        except RouterError as error:
            end("\n".join(explained(error, self.address, tls=self.tls is not None)), FAILED)
        except (RouterGone, CannotEvaluate, TrialLogError, ConfigurationError, CannotServe, StorageError) as error:
            end(f"{error}".rstrip(".") + ".", FAILED)
        except OSError as error:
            end(f"Stopped: {error}.", FAILED)

    async def _done(self, work: Callable[[str, grpc.ChannelCredentials | None], Awaitable[T]]) -> T:
        if self.config is None:
            return await work(self.address, self.tls)
        from router_service.cli.eval_session import running_router  # noqa: PLC0415

        async with running_router(self.config) as own:
            return await work(own, None)


def _of_prompts(
    prompts: Path, models: Sequence[str], policies: Sequence[str], options: _Asked, router: _Router
) -> Report | Plan:
    """Subjects asked the same prompts."""
    from router_service.cli import eval_session  # noqa: PLC0415
    from router_service.lab.prompt_set import PromptSetError, read_prompt_set  # noqa: PLC0415

    try:
        read = read_prompt_set(prompts)
    except PromptSetError as error:
        end(str(error), MISUSED)
    asked = eval_session.Asked(
        title=prompts.name,
        prompts=read,
        models=models,
        policies=policies,
        judge=options.judge,
        bar=options.bar,
        results=options.results or Path(f"{prompts.stem}.results.jsonl"),
        resume=options.resume,
        concurrency=options.concurrency,
        cap=options.cap,
        timeout=options.timeout,
        escalation=_gates(options.config),
    )
    if options.dry_run:
        return router.run(lambda address, tls: eval_session.plan(asked, address, tls))
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    return router.run(lambda address, tls: eval_session.evaluate(asked, address, tls, console))


def _of_recorded(rows: RecordedRows, options: _Asked, router: _Router) -> Report | Plan:
    """Arms of an experiment, or a shadow beside its parents, as the ledger has them."""
    from router_service.cli import eval_recorded  # noqa: PLC0415
    from router_service.lab.recorded_report import experiment_report, shadow_report  # noqa: PLC0415
    from router_service.lab.trials import Source  # noqa: PLC0415

    calls = rows.read(options.config)
    if options.bar.reference not in {"", *(call.subject for call in calls)}:
        there = ", ".join(dict.fromkeys(call.subject for call in calls))
        end(f'--against "{options.bar.reference}" is not among those compared: {there}.', MISUSED)
    graded = None
    if options.judge:
        asked = eval_recorded.Grading(
            judge=options.judge,
            calls=calls,
            paired=bool(rows.shadow),
            results=options.results or rows.results,
            resume=options.resume,
            concurrency=options.concurrency,
            cap=options.cap,
            timeout=options.timeout,
        )
        if options.dry_run:
            return router.run(lambda address, tls: eval_recorded.plan(asked, address, tls))
        console = Console(stderr=True, highlight=False, soft_wrap=True)
        graded = router.run(lambda address, tls: eval_recorded.grade(asked, address, tls, console))
    elif options.dry_run:
        end("Without a --judge nothing is asked, and nothing costs anything: leave --dry-run out.", MISUSED)
    judge, judging, notes = (graded.judge, graded.judging, graded.notes) if graded else (None, None, [])
    if rows.shadow:
        return shadow_report(rows.shadow, calls, options.bar, judge=judge, judging=judging, notes=notes)
    configured = None
    if options.config is not None:
        policies = configuration_or_exit(options.config).policies.values()
        configured = [one for policy in policies for one in policy.experiments if one.name == rows.experiment]
    return experiment_report(
        rows.experiment,
        calls,
        options.bar,
        configured=configured,
        measure=Source(rows.evidence.value) if rows.evidence is not None else None,
        judge=judge,
        judging=judging,
        notes=notes,
    )


def _gates(config: Path | None) -> Escalation | None:
    """Those of the file's default policy, `None` without a file."""
    if config is None:
        return None
    configuration = configuration_or_exit(config)
    return configuration.policies[configuration.default_policy].escalation


def _names(text: str) -> list[str]:
    return [name for part in text.split(",") if (name := part.strip())]


def _bar(text: str, against: str) -> Bar:
    from router_service.lab.comparison import Bar  # noqa: PLC0415

    share = text.endswith("%")
    try:
        value = float(text.rstrip("%")) / (100 if share else 1)
    except ValueError:
        value = -1.0
    if not 0 < value <= 1:
        end(f"--bar is a quality such as 0.9, or a share of the best one's such as 98%, not {text!r}.", MISUSED)
    if against and not share:
        end("--against is for a share, such as --bar 98%.", MISUSED)
    return Bar(value, is_relative=share, reference=against)


def _nano(text: str) -> int:
    try:
        amount = Decimal(text.removeprefix("$"))
    except InvalidOperation:
        amount = Decimal(0)
    if not amount.is_finite() or amount <= 0:
        end(f"--max-cost is an amount of USD such as 0.50, not {text!r}.", MISUSED)
    return int(amount * _NANO)


def _check_folders(*written: Path | None) -> None:
    """Before anything is paid for."""
    for file in written:
        if file is not None and not file.parent.is_dir():
            end(f"There is no folder {file.parent} to write {file.name} to.", MISUSED)


def _check_subjects(compared: Sequence[str], against: str) -> None:
    if not compared or len(compared) != len(set(compared)):
        end("Name what to compare, each once, by --models a,b or --policies x,y.", MISUSED)
    if against and against not in compared:
        end(f'--against "{against}" is not among those compared.', MISUSED)


def _write(file: Path | None, text: Callable[[], str]) -> None:
    if file is None:
        return
    try:
        file.write_bytes(text().encode("utf-8", "replace"))
    except OSError as error:
        end(f"Cannot write {file}: {error.strerror}. The calls are recorded: repeat the command with --resume.", FAILED)
