"""Everything that takes long; exits with 1 where a claim does not hold. Latencies are told, not claimed.

python -m benchmarks.soak [--cancels 100000] [--seconds 300] [--streams 10000] [--only storm] [--short]
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import resource
import shlex
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import uvloop

from benchmarks.soak import report
from benchmarks.soak.amplification import amplification
from benchmarks.soak.idle import idle_streams
from benchmarks.soak.mixed import mixed_load
from benchmarks.soak.report import Row
from benchmarks.soak.storm import cancel_storm

RESULTS = Path(__file__).parent.parent / "results" / "soak.json"

_FULL = {"cancels": 100_000, "seconds": 300.0, "streams": 10_000, "amplification": 10.0}
_SHORT = {"cancels": 2000, "seconds": 5.0, "streams": 300, "amplification": 2.0}


def main() -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--cancels", type=int, help="calls of the cancel storm")
    parser.add_argument("--seconds", type=float, help="length of the mixed load")
    parser.add_argument("--streams", type=int, help="idle streams held at once")
    parser.add_argument("--amplification", type=float, help="seconds for each fault of a provider that is down")
    parser.add_argument("--only", default="", help="only this one: storm, mixed, idle or amplification")
    parser.add_argument("--short", action="store_true", help="a short run, where nothing else is given")
    options = parser.parse_args()
    defaults = _SHORT if options.short else _FULL
    parameters = {name: getattr(options, name) or value for name, value in defaults.items()}
    _allow_open_files()
    # What is kept of every call would be looked at again and again: pauses of this process, seen as ones of the router.
    gc.set_threshold(10_000, 20, 10**9)
    try:
        passes = uvloop.run(soak(options.only, parameters, None if options.short else RESULTS))
    except asyncio.CancelledError:
        print("ended by a signal")
        return 1
    return 0 if passes else 1


async def soak(only: str, parameters: Mapping[str, Any], results: Path | None) -> bool:
    """Run all scenarios, or only the one of this name; each is printed and written once it is known.

    Returns whether there were any and all claims held.
    """
    task = asyncio.current_task()
    assert task is not None
    # Otherwise SIGTERM would leave the processes behind that were started here.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    scenarios: dict[str, Callable[[], Awaitable[list[Row]]]] = {
        "storm": lambda: cancel_storm(parameters["cancels"]),
        "mixed": lambda: mixed_load(parameters["seconds"]),
        "idle": lambda: idle_streams(parameters["streams"]),
        "amplification": lambda: amplification(parameters["amplification"]),
    }
    command = shlex.join(["python", "-m", "benchmarks.soak", *sys.argv[1:]])
    verdicts: list[bool] = []
    for name, scenario in scenarios.items():
        if only in {"", name}:
            began = time.monotonic()
            rows = await scenario()
            seconds = time.monotonic() - began
            print("\n".join(report.table(rows)), f"\n({name}: {seconds:.0f} s)", flush=True)
            if results is not None:
                report.write_json(name, rows, results, command=command, seconds=seconds)
            verdicts.append(not any(row.misses for row in rows))
    return bool(verdicts) and all(verdicts)


def _allow_open_files() -> None:
    """As many as this user may have, for the processes started here too: each stream has a socket at the provider."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


if __name__ == "__main__":
    sys.exit(main())
