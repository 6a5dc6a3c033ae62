"""The supervisor's process, which `llmrouter serve` becomes where there are several workers."""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys

from router_service.telemetry.logging import configure_logging
from router_service.workers.port import HeldPort, PortTaken
from router_service.workers.supervisor import Supervisor

logger = logging.getLogger("llmrouter.workers")


def main() -> int:
    """Hold the port, then run the workers; returns the exit code."""
    parser = argparse.ArgumentParser(prog="router_service.workers")
    parser.add_argument("--workers", type=int, required=True)
    parser.add_argument("--address", required=True)
    parser.add_argument("--log-level", default="INFO")
    parser.add_argument("--log-json", action="store_true")
    parser.add_argument("command", nargs="+", help="of a worker, which gets --address, --worker and --line as well")
    given = parser.parse_args()
    configure_logging(given.log_level.upper(), json=given.log_json)
    try:
        port = HeldPort(given.address)
    except PortTaken as error:
        print(f"Cannot serve: {error}", file=sys.stderr)  # noqa: T201 - as the command says it
        return 1

    async def run() -> int:
        return await Supervisor([*given.command, "--address", port.address], given.workers).run()

    logger.info("starting %d workers on %s", given.workers, port.address)
    try:
        return asyncio.run(run())
    finally:
        port.close()


if __name__ == "__main__":
    sys.exit(main())
