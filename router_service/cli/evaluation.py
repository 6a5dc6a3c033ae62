"""`llmrouter eval`: one prompt set over several models, and what it says of them."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer
import uvloop
from rich.console import Console

from llmrouter import RouterError
from router_service.cli.calls import Address, CaFile, explained, trusting
from router_service.cli.configuration import configuration_or_exit
from router_service.cli.ending import FAILED, MISUSED, end
from router_service.cli.render import terminal
from router_service.config.problem import ConfigurationError
from router_service.telemetry.logging import configure_logging

if TYPE_CHECKING:
    import grpc

    from router_service.domain.quality import Escalation
    from router_service.lab.comparison import Bar

T = TypeVar("T")

_DEFAULT_ADDRESS = "127.0.0.1:50051"
_NANO = 1_000_000_000


def evaluate(
    prompts: Annotated[
        Path, typer.Argument(help="JSONL, CSV or text of prompts, with `expected` answers, `schema` or `rubric`.")
    ],
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
            "--config", "-c", help="Instead of --address: run a router of this file in this process, and use its gates."
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
    from router_service.cli import eval_session  # noqa: PLC0415 - brings along what no other command waits for
    from router_service.cli.evaluation_view import plan_view, report_view  # noqa: PLC0415
    from router_service.edge.address import CannotServe  # noqa: PLC0415
    from router_service.lab.asking import RouterGone  # noqa: PLC0415
    from router_service.lab.page import page  # noqa: PLC0415
    from router_service.lab.prompt_set import PromptSetError, read_prompt_set  # noqa: PLC0415
    from router_service.lab.report import as_data  # noqa: PLC0415
    from router_service.lab.trial_log import TrialLogError  # noqa: PLC0415
    from router_service.storage.database import StorageError  # noqa: PLC0415

    try:
        read = read_prompt_set(prompts)
    except PromptSetError as error:
        end(str(error), MISUSED)
    _check_folders(json_file, html_file, results)
    asked = eval_session.Asked(
        title=prompts.name,
        prompts=read,
        models=_names(models),
        policies=_names(policies),
        judge=judge,
        bar=_bar(bar, against),
        results=results or Path(f"{prompts.stem}.results.jsonl"),
        resume=resume,
        concurrency=concurrency,
        cap=_nano(max_cost) if max_cost else None,
        timeout=timeout,
        escalation=_gates(config),
    )
    _check_subjects([*asked.models, *asked.policies], against)
    tls = trusting(ca_file) if ca_file else None
    if config is not None:
        configure_logging("error")
    try:
        if dry_run:
            terminal().print(
                plan_view(uvloop.run(_through(config, address, tls, lambda at, by: eval_session.plan(asked, at, by))))
            )
            return
        console = Console(stderr=True, highlight=False, soft_wrap=True)
        report = uvloop.run(
            _through(config, address, tls, lambda at, by: eval_session.evaluate(asked, at, by, console))
        )
    except RouterError as error:
        end("\n".join(explained(error, address, tls=tls is not None)), FAILED)
    except (
        RouterGone,
        eval_session.CannotEvaluate,
        TrialLogError,
        ConfigurationError,
        CannotServe,
        StorageError,
    ) as error:
        end(f"{error}".rstrip(".") + ".", FAILED)
    except OSError as error:
        end(f"Stopped: {error}.", FAILED)
    terminal().print(report_view(report))
    _write(json_file, lambda: json.dumps(as_data(report), ensure_ascii=False, indent=1))
    _write(html_file, lambda: page(report))
    if report.notes:
        raise typer.Exit(FAILED)


async def _through(
    config: Path | None,
    address: str,
    tls: grpc.ChannelCredentials | None,
    work: Callable[[str, grpc.ChannelCredentials | None], Awaitable[T]],
) -> T:
    """Do the work with the router that runs, or with one of the file."""
    if config is None:
        return await work(address, tls)
    from router_service.cli.eval_session import running_router  # noqa: PLC0415

    async with running_router(config) as own:
        return await work(own, None)


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
