"""`llmrouter demo`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
import uvloop

from router_service.cli.ending import end
from router_service.cli.render import terminal
from router_service.config.problem import ConfigurationError
from router_service.demo.prompts import SHIPPED, PromptFileError, read_prompts
from router_service.telemetry.logging import configure_logging


def demo(
    json_output: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of the show.")] = False,
    prompts: Annotated[
        Path | None, typer.Option(help="JSONL of your own prompts: `prompt`, `messages` or `turns` in each line.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first so many prompts.")] = None,
    real: Annotated[
        bool, typer.Option("--real", help="Use the provider keys in the environment. This costs money.")
    ] = False,
    speed: Annotated[float, typer.Option(min=0.01, help="How much faster than life the simulated models are.")] = 4.0,
) -> None:
    """Route varied prompts through the service over gRPC, and show what was chosen, what it cost and what was saved."""
    from router_service.demo import report, session, show  # noqa: PLC0415 - a server and a simulator to wait for

    configure_logging("error")
    console = terminal()
    try:
        chosen = read_prompts(prompts or SHIPPED, limit)
        progress = session.QUIET if json_output else show.show(console)
        result = uvloop.run(session.run_demo(chosen, progress=progress, real=real, speed=speed))
    except (PromptFileError, ConfigurationError, OSError) as error:
        end(str(error))
    if json_output:
        print(json.dumps(report.as_json(result), ensure_ascii=False))
    else:
        console.print()
        console.print(report.as_table(result))
    if any(call.error for call in result.calls):
        raise typer.Exit(1)
