"""The result as a table to read and as JSON to keep."""

from __future__ import annotations

import json
import statistics
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.chaos.cells import Position, Way
from benchmarks.chaos.faults import FAULTS, Phase
from benchmarks.chaos.judge import Claim, Drift
from benchmarks.chaos.known_misses import KNOWN_MISSES
from benchmarks.chaos.run import Result, Run

_COLUMNS = [(way, position) for way in Way for position in Position]


def table(results: Sequence[Result]) -> Iterator[str]:
    """A line for each fault and phase, a column for each way and attempt: how many cells are ok, or what is not."""
    yield f"{'':30}{'':12}" + "".join(f"{way.value:27}" for way in Way)
    yield f"{'fault':30}{'phase':12}" + "".join(f"{position.value:9}" for _, position in _COLUMNS)
    cells: dict[tuple[str, Phase, Way, Position], list[Result]] = {}
    for result in results:
        cell = result.cell
        cells.setdefault((cell.fault.name, cell.phase, cell.way, cell.position), []).append(result)
    for fault in FAULTS:
        for phase in Phase:
            row = [cells.get((fault.name, phase, way, position), []) for way, position in _COLUMNS]
            if any(row):
                yield f"{fault.name:30}{phase.value:12}" + "".join(f"{_mark(group):9}" for group in row).rstrip()


def summary(run: Run) -> Iterator[str]:
    """What is wrong, cell by cell, then the totals."""
    for result in run.results:
        if result.misses or result.fails:
            yield f"\n{result.verdict} {result.cell.name} ({result.seconds:.2f} s)"
            yield result.expected.explained()
            yield from (f"  ! {miss.claim.name}: {miss.detail}" for miss in result.misses)
            if result.excuse:
                yield f"  known: {result.excuse.why} ({result.excuse.place})"
    totals = figures(run)
    yield ""
    yield (
        f"{totals['cells']} cells, {totals['attempts']} upstream calls, {run.seconds:.0f} s; "
        f"{len(run.repeated)} cells run again because the process had stood still"
    )
    yield "verdicts: " + ", ".join(f"{count} {verdict}" for verdict, count in totals["verdicts"].items())
    yield "recovered: " + ", ".join(f"{count} by {how}" for how, count in totals["recovered"].items())
    yield from (f"{count:4} misses of: {claim.value}" for claim, count in _by_claim(run.results).items())
    for status, drift in totals["estimates"].items():
        yield f"{status.lower()}: " + ", ".join(f"{name} {value}" for name, value in drift.items())
    needed = {result.excuse for result in run.results if result.misses}
    yield from (
        f"no cell needed this excuse: {sorted(entry.faults)} ({entry.place})"
        for entry in KNOWN_MISSES
        if entry not in needed
    )
    for control in run.controls:
        seen = len(control.control.cells) - len(control.unseen)
        verdict = "BLIND" if control.fails else "seen"
        yield f"control {verdict}: {control.control.name} ({seen} of {len(control.control.cells)} cells)"
        yield from (f"  ! unseen in {cell.name}" for cell in control.unseen)


def figures(run: Run) -> dict[str, Any]:
    """The totals."""
    results = run.results
    return {
        "cells": len(results),
        "listed_faults": len({result.cell.fault.name for result in results if result.cell.fault.listed}),
        "faults": len({result.cell.fault.name for result in results}),
        "attempts": sum(result.attempts for result in results),
        "verdicts": dict(sorted(Counter(result.verdict for result in results).items())),
        "recovered": dict(sorted(Counter(_recovery(result) for result in results).items())),
        "misses": {claim.name.lower(): count for claim, count in _by_claim(results).items()},
        "estimates": _estimates([drift for result in results for drift in result.drifts]),
    }


def write_json(run: Run, file: Path) -> None:
    """All of it, for machines and for the next reader."""
    file.parent.mkdir(parents=True, exist_ok=True)
    content = {
        "passes": not run.fails,
        "seconds": round(run.seconds, 1),
        "repeated": sorted({cell.name for cell in run.repeated}),
        **figures(run),
        "controls": {result.control.name: "blind" if result.fails else "seen" for result in run.controls},
        "not_ok": [
            {
                "cell": result.cell.name,
                "verdict": result.verdict,
                "misses": [f"{miss.claim.name}: {miss.detail}" for miss in result.misses],
                "known": result.excuse.why if result.excuse else "",
            }
            for result in results_not_ok(run)
        ],
    }
    file.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def results_not_ok(run: Run) -> list[Result]:
    """Everything but plain passes."""
    return [result for result in run.results if result.verdict != "ok"]


def _mark(group: Sequence[Result]) -> str:
    if not group:
        return "."
    worst = [verdict for verdict in ("MISS", "HEALED", "known") if any(one.verdict == verdict for one in group)]
    return worst[0] if worst else f"ok {len(group)}"


def _recovery(result: Result) -> str:
    if result.expected.code != "OK":
        return "nothing, and said so"
    return result.expected.recovered_by or "nothing: the fault did no harm"


def _by_claim(results: Sequence[Result]) -> dict[Claim, int]:
    """Misses of each claim, without the known ones."""
    found = Counter(miss.claim for result in results if not result.excuse for miss in result.misses)
    return {claim: found[claim] for claim in Claim}


def _estimates(found: Sequence[Drift]) -> dict[str, dict[str, Any]]:
    """By cost status: how far what we booked is from what the provider bills."""
    estimates: dict[str, dict[str, Any]] = {}
    for status in sorted({drift.cost_status for drift in found}):
        group = [drift for drift in found if drift.cost_status == status]
        errors = sorted(error for drift in group if (error := drift.relative_error) is not None)
        told: dict[str, Any] = {"attempts": len(group)}
        if errors:
            deciles = statistics.quantiles(errors, n=10) if len(errors) > 1 else errors * 9
            told |= {
                "relative error min": f"{errors[0]:+.1%}",
                "p10": f"{deciles[0]:+.1%}",
                "median": f"{deciles[4]:+.1%}",
                "p90": f"{deciles[8]:+.1%}",
                "max": f"{errors[-1]:+.1%}",
            }
        told["booked nano-USD"] = sum(drift.booked or 0 for drift in group)
        told["billed nano-USD"] = sum(drift.billed for drift in group)
        estimates[status] = told
    return estimates
