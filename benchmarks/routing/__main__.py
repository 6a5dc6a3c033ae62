"""What routing by complexity and by quality is worth, on public results of a cheap and a strong model.

FOLDER holds `routellm/` as lm-sys/RouteLLM publishes it. FILE is any other set: JSONL or CSV of prompts with each
model's outcome, described in docs/routing-quality.md.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks.routing.data import STRONG, WEAK, evaluation_sets
from benchmarks.routing.evaluation import (
    FEWEST_FOR_HALVES,
    Folds,
    Prompts,
    Tell,
    calibration,
    curves,
    microseconds,
    robustness,
    savings,
    tiers,
    unseen,
)
from benchmarks.routing.goals import goals
from benchmarks.routing.notes import absent, gap, notes
from router_service.config.router_file import shipped
from router_service.lab.outcomes import OutcomesError, Pair, paired, read_outcomes
from router_service.routing.classify import Heuristic
from router_service.routing.learned import Learned

RESULTS = Path(__file__).parent.parent / "results" / "routing.json"
# APGR / CPT50 / CPT80 as published, or as measured earlier with plain TF-IDF and logged features.
PUBLISHED = {
    "MMLU": {"RouteLLM paper, best": (0.603, 35.4, 71.6), "earlier TF-IDF + shape, half/half": (0.683, 27.7, 56.0)},
    "GSM8K": {
        "RouteLLM paper, best": (0.622, 33.6, 63.3),
        "earlier TF-IDF + shape, half/half": (0.654, 32.5, 58.8),
        "earlier gate + pre-router": (0.808, 15.6, 33.5),
    },
    "MT-Bench": {"RouteLLM paper, best": (0.802, 13.4, 31.3)},
}
_TELL_EVERY_SECONDS = 5.0


def evaluated(pair: Pair, tell: Tell) -> dict[str, Any]:
    """Everything about one set."""
    prompts, learned, heuristic = Prompts.of(pair), Learned(shipped()), Heuristic()
    folds = Folds.of_pre_routers(prompts, tell), Folds.of_gates(prompts, tell)
    found: dict[str, Any] = {
        "prompts": len(prompts),
        "weak": pair.weak,
        "strong": pair.strong,
        "weak_mean": round(sum(pair.weak_scores) / len(prompts), 4),
        "strong_mean": round(sum(pair.strong_scores) / len(prompts), 4),
        "gap": gap(pair),
        "cost_ratio": round(pair.cost_ratio, 6),
        "notes": list(notes(prompts)),
        "curves": curves(prompts, folds, learned, heuristic),
    }
    tell("tiers, robustness and time")
    found |= {
        "tiers": {"learned": tiers(pair.prompts, learned), "heuristic": tiers(pair.prompts, heuristic)},
        "robustness": {
            "learned": robustness(pair.prompts, learned),
            "heuristic": robustness(pair.prompts, heuristic),
        },
        "microseconds": {
            "learned": microseconds(pair.prompts, learned),
            "heuristic": microseconds(pair.prompts, heuristic),
        },
    }
    if len(prompts) >= FEWEST_FOR_HALVES:
        by = unseen(*folds)
        found["savings_by"] = {"router": by.router, "prompts": len(by.prompts)}
        found["savings"] = savings(by, tell)
        found["calibration"] = calibration(by, tell)
    found["absent"] = absent(prompts, found)
    return found


def report(name: str, found: Mapping[str, Any]) -> Iterator[str]:
    """Lines for a terminal."""
    yield (
        f"\n{name}: {found['prompts']:,} prompts, {found['weak']} {found['weak_mean']:.3f}, "
        f"{found['strong']} {found['strong_mean']:.3f}; a call of the first costs {found['cost_ratio']:.3g} of one of "
        "the second"
    )
    yield from (f"  note: {note}" for note in found["notes"])
    if found["curves"]:
        yield f"  {'':38}{'APGR':>8}{'spread':>9}{'CPT50':>8}{'CPT80':>8}"
    for router, figures in found["curves"].items():
        spread = f"{figures['apgr_spread']:9.3f}" if "apgr_spread" in figures else " " * 9
        yield f"  {router:38}{figures['apgr']:8.3f}{spread}{figures['cpt50']:8.1f}{figures['cpt80']:8.1f}"
    for router, (apgr, cpt50, cpt80) in PUBLISHED.get(name, {}).items():
        yield f"  {router:38}{apgr:8.3f}{'':9}{cpt50:8.1f}{cpt80:8.1f}"
    for what, why in found["absent"].items():
        yield f"  {what:38}{'-':>8}   {why}"
    if by := found.get("savings_by"):
        yield f"  savings by {by['router']}, on {by['prompts']:,} prompts:"
    for line in found.get("savings", ()):
        yield (
            f"  keep {line['keep']:4.0%}: saved {line['saved']:6.1%} with a calibrated threshold (kept "
            f"{line['kept']:6.1%}, missed in {line['missed']:4.0%} of splits); {line['saved_with_hindsight']:6.1%} "
            "with hindsight"
        )
    if one := found.get("calibration"):
        yield (
            f"  {one['keep']:.0%} promised from {one['labels']:,} labels: missed in {one['missed']:.1%} of "
            f"{one['splits']} splits at {one['strong_share']:.1%} strong calls; plug-in thresholds miss "
            f"{one['missed_plug_in']:.1%}"
        )
    for classifier in ("learned", "heuristic"):
        kept = ", ".join(f"{edit} {share:.1%}" for edit, share in found["robustness"][classifier].items())
        shares = ", ".join(f"{tier} {share:.0%}" for tier, share in found["tiers"][classifier].items())
        times = found["microseconds"][classifier]
        yield f"  {classifier}: {times['median']:.0f} us, p99 {times['p99']:.0f} us; {shares}; same tier: {kept}"


def _pairs(arguments: argparse.Namespace) -> dict[str, Pair]:
    if arguments.data is not None:
        rows = read_outcomes(arguments.data)
        return {arguments.data.name: paired(rows, arguments.weak, arguments.strong)}
    return {name: paired(rows, WEAK, STRONG) for name, rows in evaluation_sets(arguments.folder).items()}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.routing", description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", metavar="FOLDER", default=Path("../shared/data"))
    parser.add_argument("--data", type=Path, metavar="FILE", help="this set instead of those of FOLDER")
    parser.add_argument("--weak", default="", metavar="MODEL", help="of FILE; default: the cheapest, else the worst")
    parser.add_argument("--strong", default="", metavar="MODEL", help="of FILE; default: the best")
    parser.add_argument(
        "--json",
        type=Path,
        metavar="FILE",
        help="where to write all figures; default: benchmarks/results/routing.json, of a FILE routing-NAME.json there",
    )
    arguments = parser.parse_args()
    if arguments.data is None and arguments.folder.is_file():
        parser.error(f"{arguments.folder} is a file, not a folder; evaluate it with --data {arguments.folder}")
    if arguments.data is None and (arguments.weak or arguments.strong):
        parser.error("--weak and --strong choose models of --data FILE")
    if arguments.json is None:
        data = arguments.data
        arguments.json = RESULTS if data is None else RESULTS.with_name(f"routing-{data.stem}.json")
    if not arguments.json.parent.is_dir() or arguments.json.is_dir():
        parser.error(f"{arguments.json} cannot be written: name a file in a folder that is there, with --json")
    return arguments


def _telling(name: str) -> Tell:
    """Say what is being done on stderr, not too often: long runs are quiet otherwise."""
    begun = told = time.monotonic()

    def tell(what: str) -> None:
        nonlocal told
        now = time.monotonic()
        if now - told >= _TELL_EVERY_SECONDS:
            told = now
            print(f"{name}: {what} ({now - begun:.0f} s)", file=sys.stderr, flush=True)

    return tell


def _unread(data: Path | None, error: OSError) -> str:
    if data is not None:
        return f"Cannot read {data}: {error.strerror}."
    return (
        f"The data is not there ({error}). Name its folder: make eval-routing DATA=folder, which holds routellm/ as "
        "lm-sys/RouteLLM publishes it; or evaluate a set of your own: make eval-routing FILE=own.jsonl."
    )


def main() -> int:
    arguments = _arguments()
    try:
        pairs = _pairs(arguments)
    except OutcomesError as error:
        print(error, file=sys.stderr)
        return 2
    except OSError as error:
        print(_unread(arguments.data, error), file=sys.stderr)
        return 2
    results = {}
    for name, pair in pairs.items():
        results[name] = evaluated(pair, _telling(name))
        print("\n".join(report(name, results[name])), flush=True)
    written: dict[str, Any] = {"sets": results}
    if arguments.data is None:
        reached = list(goals(results))
        print("\nGoals", *(f"  {goal}" for goal in reached), sep="\n")
        written["goals"] = [
            {"goal": goal.number, "what": goal.what, "wanted": goal.wanted, "figure": goal.figure, "met": goal.met}
            for goal in reached
        ]
    try:
        arguments.json.write_text(json.dumps(written, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        print(f"Cannot write {arguments.json}: {error.strerror}.", file=sys.stderr)
        return 1
    print(f"\nwritten to {arguments.json}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
