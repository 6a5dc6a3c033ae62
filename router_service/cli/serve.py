"""`llmrouter serve`."""

from __future__ import annotations

import sys
from typing import Annotated

import typer
import uvloop

from router_service.app import Application
from router_service.cli.options import ConfigFile
from router_service.config.problem import ConfigurationError
from router_service.rpc.address import CannotServe
from router_service.telemetry.logging import configure_logging


def serve(
    config: ConfigFile = None,
    address: Annotated[str | None, typer.Option(help="host:port, instead of the file's.")] = None,
    log_level: Annotated[
        str, typer.Option(envvar="LLMROUTER_LOG_LEVEL", help="debug, info, warning or error.")
    ] = "info",
    log_json: Annotated[
        bool, typer.Option("--log-json", envvar="LLMROUTER_LOG_JSON", help="One JSON object a line.")
    ] = False,
) -> None:
    """Serve. SIGTERM drains, SIGHUP (or saving the file) reloads."""
    configure_logging(log_level.upper(), json=log_json, background=True)

    async def run() -> None:
        application = Application(config, address=address)
        await application.serve()

    try:
        uvloop.run(run())
    except ConfigurationError as error:
        print(error, file=sys.stderr)
        raise typer.Exit(1) from None
    except (CannotServe, OSError) as error:
        print(f"Cannot serve: {error}", file=sys.stderr)
        raise typer.Exit(1) from None
