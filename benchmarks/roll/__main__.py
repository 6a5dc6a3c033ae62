"""Restarts replicas under load and counts the calls that fail; exits with 1 if one fails with the published client.

python -m benchmarks.roll [--restarts 20] [--callers 200] [--streams 50] [--only kill]
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import uvloop

from benchmarks.roll.run import Outcome, Scenario, roll

RESULTS = Path(__file__).parent.parent / "results" / "roll.json"
# What fails shows after a few restarts; what does not fail takes many to believe.
_FEW = 4
SCENARIOS = (
    Scenario(name="SIGTERM, Python client", client="package", must_pass=True),
    Scenario(name="SIGTERM, grpc.aio + service_config.json", client="plain", must_pass=True),
    Scenario(name="SIGTERM, no health checks, no retries", client="naive", restarts=_FEW),
    Scenario(name="SIGTERM, the same, one replica", client="naive", replicas=1, restarts=_FEW),
    Scenario(name="kill -9, Python client", client="package", ends_by=signal.SIGKILL, restarts=_FEW),
    Scenario(name="kill -9, no health checks, no retries", client="naive", ends_by=signal.SIGKILL, restarts=_FEW),
)


def table(outcomes: Sequence[Outcome]) -> Iterator[str]:
    """A line for each scenario, and below it what failed."""
    yield f"{'':42}{'restarts':>9}{'calls':>8}{'streams':>8}{'failed':>8}{'p50 s':>8}{'p99 s':>8}{'max s':>8}"
    for outcome in outcomes:
        scenario, latencies = outcome.scenario, outcome.latencies
        figures = "".join(f"{latencies.get(name, 0):8.2f}" for name in ("p50", "p99", "max"))
        counts = f"{scenario.restarts:9}{outcome.calls:8}{outcome.streams:8}{outcome.failures:8}"
        yield f"{scenario.name:42}{counts}{figures}{'  MISSED' if outcome.missed else ''}"
        yield from (
            f"    {count} x {text}" for text, count in sorted(outcome.failed.items(), key=lambda one: -one[1])[:5]
        )


def as_json(outcome: Outcome) -> dict[str, object]:
    """What is kept of it."""
    scenario = outcome.scenario
    return {
        "scenario": scenario.name,
        "restarts": scenario.restarts,
        "replicas": scenario.replicas,
        "callers": scenario.callers,
        "open_streams": scenario.streams,
        "calls": outcome.calls,
        "streams": outcome.streams,
        "failures": outcome.failures,
        "failed": dict(outcome.failed),
        "latency_seconds": dict(outcome.latencies),
    }


async def _run(scenarios: Sequence[Scenario]) -> list[Outcome]:
    outcomes = []
    for scenario in scenarios:
        print(f"{scenario.name} ...", file=sys.stderr, flush=True)
        outcomes.append(await roll(scenario))
    return outcomes


def main() -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.roll", description=__doc__)
    parser.add_argument("--restarts", type=int, help="of every scenario, instead of its own number")
    parser.add_argument("--callers", type=int, default=200, help="loops of unary calls")
    parser.add_argument("--streams", type=int, default=50, help="loops of streams")
    parser.add_argument("--only", default="", help='only scenarios whose name contains this, such as "kill"')
    options = parser.parse_args()
    chosen = [
        replace(
            scenario,
            callers=options.callers,
            streams=options.streams,
            restarts=options.restarts or scenario.restarts,
        )
        for scenario in SCENARIOS
        if options.only in scenario.name
    ]
    outcomes = uvloop.run(_run(chosen))
    print("\n".join(table(outcomes)))
    if not options.only:
        RESULTS.write_text(json.dumps([as_json(outcome) for outcome in outcomes], indent=1) + "\n")
        print(f"written to {RESULTS.relative_to(Path.cwd()) if RESULTS.is_relative_to(Path.cwd()) else RESULTS}")
    return 1 if any(outcome.missed for outcome in outcomes) or not outcomes else 0


if __name__ == "__main__":
    sys.exit(main())
