"""`llmrouter demo`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer
import uvloop
from rich.console import Console

from router_service.config.problem import ConfigurationError
from router_service.demo.prompts import SHIPPED, DemoPrompt, PromptFileError, read_prompts
from router_service.demo.report import as_json, as_table
from router_service.demo.session import QUIET, DemoCall, Progress, run_demo
from router_service.telemetry.logging import configure_logging

_NARROWEST_TABLE = 150


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
    configure_logging("error")
    console = Console(highlight=False)
    if console.width < _NARROWEST_TABLE and not console.is_terminal:
        console = Console(highlight=False, width=_NARROWEST_TABLE)
    try:
        chosen = read_prompts(prompts or SHIPPED, limit)
        progress = QUIET if json_output else _show(console)
        result = uvloop.run(run_demo(chosen, progress=progress, real=real, speed=speed))
    except (PromptFileError, ConfigurationError, OSError) as error:
        print(error, file=sys.stderr)
        raise typer.Exit(1) from None
    if json_output:
        print(json.dumps(as_json(result), ensure_ascii=False))
    else:
        console.print()
        console.print(as_table(result))
    if any(call.error for call in result.calls):
        raise typer.Exit(1)


def _show(console: Console) -> Progress:
    """Calls as they happen; streamed text as it arrives."""

    def began(number: int, prompt: DemoPrompt) -> None:
        console.print(f"{number:3} {prompt.title}", style="bold", markup=False)

    def wrote(text: str) -> None:
        console.print(text, end="", markup=False, style="dim")

    def ended(call: DemoCall) -> None:
        if call.streamed:
            console.print()
        if call.error:
            console.print(f"    {call.error}", style="red", markup=False)
        else:
            console.print(f"    → {call.receipt.deployment} at {call.receipt.provider}", markup=False)

    return Progress(began=began, wrote=wrote, ended=ended)
