"""`python -m router_service.simulator`: the simulated provider by itself, for trying the router by hand."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

import uvloop

from router_service.simulator.models import DEFAULT_MODELS
from router_service.simulator.script import Script, load
from router_service.simulator.server import Simulator


async def _serve(host: str, port: int, speed: float, script: Script) -> None:
    async with Simulator(script=script, host=host, port=port, speed=speed, journal_size=1000) as simulator:
        providers = sorted({model.provider for model in DEFAULT_MODELS})
        lines = [f"export SIMULATOR_URL={simulator.origin}", *(f"# {one:12} {simulator.url(one)}" for one in providers)]
        sys.stdout.write("\n".join(lines) + "\n")
        sys.stdout.flush()
        await asyncio.get_running_loop().create_future()


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(prog="python -m router_service.simulator", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen at, such as 0.0.0.0 in a container")
    parser.add_argument("--port", type=int, default=18401, help="port to listen on (0: any free one)")
    parser.add_argument("--speed", type=float, default=1.0, help="divides the models' pauses; inf for none")
    parser.add_argument("--faults", type=Path, help="YAML file of rules, such as demo_data/faults.yaml")
    options = parser.parse_args()
    try:
        uvloop.run(
            _serve(options.host, options.port, options.speed, load(options.faults) if options.faults else Script())
        )
    except KeyboardInterrupt:
        sys.stdout.write("stopped\n")


if __name__ == "__main__":
    main()
