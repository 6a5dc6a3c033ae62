"""`llmrouter serve`."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path
from typing import Annotated

import typer
import uvloop

from router_service.cli.configuration import configuration_or_exit
from router_service.cli.ending import MISUSED, end
from router_service.cli.options import ConfigFile
from router_service.config.places import with_ledger
from router_service.config.problem import ConfigurationError
from router_service.edge.address import CannotServe
from router_service.telemetry.logging import configure_logging
from router_service.workers.line import Line, Place

_LOG_LEVELS = ("debug", "info", "warning", "error")


def serve(
    config: ConfigFile = None,
    address: Annotated[str | None, typer.Option(help="host:port, instead of the file's.")] = None,
    http_port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="Serve the OpenAI-compatible API too, on this port (`server.http`)."),
    ] = None,
    log_level: Annotated[
        str, typer.Option(envvar="LLMROUTER_LOG_LEVEL", help="debug, info, warning or error.")
    ] = "info",
    log_json: Annotated[
        bool, typer.Option("--log-json", envvar="LLMROUTER_LOG_JSON", help="One JSON object a line.")
    ] = False,
    worker: Annotated[str | None, typer.Option(hidden=True, help="Which worker of how many, such as 2/4.")] = None,
    line: Annotated[int | None, typer.Option(hidden=True, help="File descriptor of the supervisor's line.")] = None,
) -> None:
    """Serve. SIGTERM drains and a second one stops at once; SIGHUP (or saving the file) reloads."""
    if log_level.lower() not in _LOG_LEVELS:
        end(f"--log-level is one of {', '.join(_LOG_LEVELS)}, not {log_level!r}.", MISUSED)
    if worker is None or line is None:
        _supervise(config, address, log_level, http_port=http_port, log_json=log_json)
    from router_service.app import Application  # noqa: PLC0415 - the server, which no other command waits for

    configure_logging(log_level.upper(), json=log_json, background=True)

    async def run() -> None:
        application = Application(
            config,
            environ=with_ledger(os.environ),
            address=address,
            http_port=http_port,
            line=None if worker is None or line is None else _line(worker, line),
        )
        await application.serve()

    try:
        uvloop.run(run())
    except ConfigurationError as error:
        end(str(error))
    except (CannotServe, OSError) as error:
        end(f"Cannot serve: {error}")


def _supervise(
    config: Path | None, address: str | None, log_level: str, *, http_port: int | None, log_json: bool
) -> None:
    """Become the supervisor of several workers, where the configuration asks for them.

    The process is replaced: a supervisor needs nothing of what a router loads, and gRPC must not be there when it
    starts others.
    """
    if config is None:
        return
    server = configuration_or_exit(config).server
    if server.workers == 1:
        return
    address = address or server.address
    if address.startswith("unix"):
        end(f"{server.workers} workers cannot share the socket {address}. Serve on host:port, or write `workers: 1`.")
    logs = ["--log-level", log_level, *(["--log-json"] if log_json else [])]
    # -P: modules of the directory that it was started in are not the router's.
    python = [sys.executable, "-P", "-m"]
    http = [] if http_port is None else ["--http-port", str(http_port)]
    command = [*python, "router_service", "serve", "--config", str(config), *http, *logs]
    supervisor = [*python, "router_service.workers", "--workers", str(server.workers), "--address", address, *logs]
    os.execv(sys.executable, [*supervisor, "--", *command])  # noqa: S606 - no shell is what is wanted


def _line(worker: str, descriptor: int) -> Line:
    """The worker's end of the line to its supervisor, which processes that the worker starts do not get."""
    os.set_inheritable(descriptor, False)
    end = socket.socket(fileno=descriptor)
    end.setblocking(False)
    return Line(Place.read(worker), end)
