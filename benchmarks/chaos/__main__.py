"""The whole matrix and its negative controls; exits with 1 on any miss.

python -m benchmarks.chaos [--rounds 3] [--only stall/stream] [--explain] [--no-controls]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import uvloop

from benchmarks.chaos import report
from benchmarks.chaos.cells import Cell, cells
from benchmarks.chaos.controls import CONTROLS
from benchmarks.chaos.expectations import expect
from benchmarks.chaos.run import run

RESULTS = Path(__file__).parent.parent / "results" / "chaos.json"


def main() -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.chaos", description=__doc__)
    parser.add_argument("--rounds", type=int, default=1, help="how often the whole matrix is run")
    parser.add_argument("--only", default="", help='only cells whose name contains this, such as "429 sec/unary"')
    parser.add_argument("--explain", action="store_true", help="only tell what each cell expects and why")
    parser.add_argument("--no-controls", action="store_true", help="leave the negative controls out")
    options = parser.parse_args()
    chosen: list[Cell] = [cell for cell in cells() if options.only in cell.name]
    if options.explain:
        for cell in chosen:
            print(cell.name, expect(cell).explained(), sep="\n")
        return 0
    controls = () if options.no_controls or options.only else CONTROLS
    outcome = uvloop.run(run(chosen * options.rounds, controls))
    for line in (*report.table(outcome.results), *report.summary(outcome)):
        print(line)
    if not options.only:
        report.write_json(outcome, RESULTS)
        print(f"written to {RESULTS.relative_to(Path.cwd()) if RESULTS.is_relative_to(Path.cwd()) else RESULTS}")
    return 1 if outcome.fails or not chosen else 0


if __name__ == "__main__":
    sys.exit(main())
