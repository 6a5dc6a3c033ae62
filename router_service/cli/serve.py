"""`llmrouter serve`."""

from __future__ import annotations

from typing import Annotated

import typer
import uvloop

from router_service.cli.ending import MISUSED, end
from router_service.cli.options import ConfigFile
from router_service.config.problem import ConfigurationError
from router_service.rpc.address import CannotServe
from router_service.telemetry.logging import configure_logging

_LOG_LEVELS = ("debug", "info", "warning", "error")


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
    """Serve. SIGTERM drains and a second one stops at once; SIGHUP (or saving the file) reloads."""
    if log_level.lower() not in _LOG_LEVELS:
        end(f"--log-level is one of {', '.join(_LOG_LEVELS)}, not {log_level!r}.", MISUSED)
    from router_service.app import Application  # noqa: PLC0415 - the server, which no other command waits for

    configure_logging(log_level.upper(), json=log_json, background=True)

    async def run() -> None:
        application = Application(config, address=address)
        await application.serve()

    try:
        uvloop.run(run())
    except ConfigurationError as error:
        end(str(error))
    except (CannotServe, OSError) as error:
        end(f"Cannot serve: {error}")
