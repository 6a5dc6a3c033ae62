"""The commands and what they share."""

from __future__ import annotations

from importlib.metadata import version
from typing import Annotated

import typer

from router_service.cli import (
    calls,
    configuration,
    demo,
    evaluation,
    importing,
    keys,
    learning,
    replay,
    serve,
    texts,
    usage,
)

app = typer.Typer(
    name="llmrouter",
    help="Route LLM calls: one gRPC service between your services and every provider.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
for command in (
    serve.serve,
    demo.demo,
    configuration.check,
    configuration.schema,
    configuration.explain,
    calls.route,
    calls.complete,
    calls.receipt,
    calls.feedback,
    calls.models,
    calls.budget,
    usage.usage,
    usage.export,
    replay.replay,
    learning.train,
    learning.calibrate,
):
    app.command()(command)
app.command("eval")(evaluation.evaluate)
app.add_typer(importing.app, name="import")
app.add_typer(keys.app, name="keys")
app.add_typer(texts.app, name="texts")


@app.callback(invoke_without_command=True)
def _options(
    show_version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    if show_version:
        print(f"llmrouter {version('llmrouter')}")
        raise typer.Exit


def main() -> None:
    """Entry point of the command."""
    app()
