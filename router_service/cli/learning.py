"""The commands train and calibrate: routers from labelled results or feedback, and thresholds with a promise."""

from __future__ import annotations

import sys
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from router_service.cli.ending import MISUSED, end
from router_service.cli.options import with_options
from router_service.cli.recorded_options import RecordedOptions

if TYPE_CHECKING:
    from collections.abc import Mapping

    from router_service.domain.classifier import LearnedWeights
    from router_service.lab.calibration import Threshold
    from router_service.lab.one_sided import Fit
    from router_service.lab.outcomes import Pair
    from router_service.routing.classify import Classifier

Results = Annotated[
    Path | None,
    typer.Argument(
        help='JSONL of {"prompt": "...", "outcomes": {"model": score}}, or CSV with the column prompt and one for each '
        "model."
    ),
]
Weak = Annotated[str, typer.Option(help="The cheap model. Default: the cheapest by `prices`, else the worst.")]
Strong = Annotated[str, typer.Option(help="The strong model. Default: the best.")]
Keep = Annotated[float, typer.Option(min=0.0, max=1.0, help="Share of the strong model's quality to keep.")]
Confidence = Annotated[float, typer.Option(min=0.5, max=0.9999, help="How sure of it to be.")]


@with_options("ledger", RecordedOptions)
def train(
    *,
    results: Results = None,
    ledger: RecordedOptions,
    out: Annotated[Path, typer.Option(help="The router file to write.")] = Path("router.json"),
    weak: Weak = "",
    strong: Strong = "",
    keep: Keep = 0.98,
    confidence: Confidence = 0.95,
) -> None:
    """Learn from prompts with outcomes which of them need the strong model; a policy names the file that is written."""
    from router_service.lab.outcomes import OutcomesError  # noqa: PLC0415 - not every command learns
    from router_service.lab.train import train as trained  # noqa: PLC0415

    ledger.check(results)
    if results is None:
        _train_on_feedback(ledger, out, weak, strong, keep, confidence)
        return
    pair = _pair(results, weak, strong)
    try:
        found = trained(pair, keep=keep, confidence=confidence)
    except OutcomesError as error:
        end(f"{error}.")
    _write(out, found.weights, {"weak": pair.weak, "strong": pair.strong, "prompts": str(found.learned_from)})
    print(f"{out}: learned from {found.learned_from:,} prompts what {pair.strong} gains over {pair.weak}")
    if found.evidence is None or found.by_length is None:
        print(f"note: on the {found.held_out:,} prompts held out, {pair.strong} is no better than {pair.weak}")
    else:
        print(
            f"on {found.held_out:,} prompts held out: APGR {found.evidence.apgr:.3f} (random 0.5, prompt length "
            f"{found.by_length.apgr:.3f}); half of the gap for {found.evidence.cpt(0.5):.0%} of the calls"
        )
    _promise(found.threshold, pair.strong, keep, confidence)
    print(f"in the policy: classifier: {out}")


def _train_on_feedback(
    ledger: RecordedOptions, out: Path, weak: str, strong: str, keep: float, confidence: float
) -> None:
    from router_service.lab.one_sided import FEWEST_PAIRS, UNLIKE, train_on_feedback  # noqa: PLC0415
    from router_service.lab.outcomes import OutcomesError  # noqa: PLC0415

    try:
        found = train_on_feedback(ledger.read(), weak, strong, keep=keep, confidence=confidence)
    except OutcomesError as error:
        end(f"{error}.")
    about = {"weak": weak, "strong": strong, "prompts": str(found.learned_from), "from": "recorded feedback"}
    _write(out, found.weights, about)
    print(
        f"{out}: learned from {found.learned_from:,} prompts with feedback what {strong} gains over {weak}; of "
        f"{found.both:,} prompts both models' outcomes are known"
    )
    for fit in (found.weak, found.strong):
        print(_fitted(fit))
    if found.told_apart is not None and found.told_apart >= UNLIKE:
        print(
            f"note: {weak} and {strong} answered different kinds of prompts (told apart {found.told_apart:.0%} of the "
            "time, 50% by chance), so that much of this is guessed: have a share of the calls go to either by lot"
        )
    if found.threshold is not None:
        _promise(found.threshold, strong, keep, confidence)
    else:
        print(
            f"no promise: of the prompts held out both models' answers were judged in {found.pairs:,}, and a promise "
            f"takes {FEWEST_PAIRS}. The upper half of these prompts is moderate, the highest fifth complex; move "
            "moderate_from and complex_from in the policy as you see fit, and see docs/routing-quality.md"
        )
    print(f"in the policy: classifier: {out}")


def _fitted(fit: Fit) -> str:
    told = f"{fit.model}: {fit.prompts:,} prompts, mean score {fit.mean:.2f}"
    if not fit.held_out:
        return told
    return (
        f"{told}; a plain regression predicts it on {fit.held_out:,} held out with a mean squared error of "
        f"{fit.error:.3f}, the mean alone with {fit.error_of_mean:.3f}"
    )


def _write(out: Path, weights: LearnedWeights, about: Mapping[str, str]) -> None:
    from router_service.lab.learning import router_file  # noqa: PLC0415

    try:
        out.write_bytes(router_file(weights, about))
    except OSError as error:
        end(f"Cannot write {out}: {error.strerror}.", MISUSED)


@with_options("ledger", RecordedOptions)
def calibrate(
    *,
    results: Results = None,
    ledger: RecordedOptions,
    classifier: Annotated[
        str, typer.Option(help="heuristic, learned or a router file. Not one that was trained on these results.")
    ] = "learned",
    weak: Weak = "",
    strong: Strong = "",
    keep: Keep = 0.98,
    confidence: Confidence = 0.95,
) -> None:
    """Find the threshold that keeps a share of the strong model's quality, with a stated confidence."""
    from router_service.lab.outcomes import OutcomesError  # noqa: PLC0415 - not every command learns
    from router_service.lab.train import as_setting, calibrated, fitted  # noqa: PLC0415
    from router_service.routing.excerpt import excerpt  # noqa: PLC0415

    ledger.check(results)
    judge = _classifier(classifier)
    pair = _pair(results, weak, strong) if results is not None else _judged_pair(ledger, weak, strong)
    said = [excerpt(prompt) for prompt in pair.prompts]
    try:
        found = calibrated(pair, judge.score, said, range(len(said)), keep=keep, confidence=confidence)
        points = fitted(pair)
    except OutcomesError as error:
        end(f"{error}.")
    print(f"{len(said):,} labelled prompts of {pair.weak} and {pair.strong}, scored by {judge.name}")
    _promise(found, pair.strong, keep, confidence)
    setting = as_setting(found.threshold)
    below = "" if setting >= judge.moderate_from else f", moderate_from: {setting}"
    print(f"in the policy: classifier: {{use: {classifier}{below}, complex_from: {setting}}}")
    if points:
        print(
            f"{len(pair.confidence):,} prompts say how sure {pair.weak} was; as a gate, whose score is then how often"
        )
        written = ", ".join(f"[{margin}, {share}]" for margin, share in points)
        print(f"it is right: {{gate: confident, calibration: [{written}]}}")


def _pair(results: Path, weak: str, strong: str) -> Pair:
    from router_service.lab.outcomes import OutcomesError, paired, read_outcomes  # noqa: PLC0415

    try:
        pair = paired(read_outcomes(results), weak, strong)
    except OutcomesError as error:
        end(f"{error}.", MISUSED)
    except OSError as error:
        end(f"Cannot read {results}: {error.strerror}.", MISUSED)
    for remark in pair.remarks:
        print(f"note: {remark}", file=sys.stderr)
    return pair


def _judged_pair(ledger: RecordedOptions, weak: str, strong: str) -> Pair:
    from router_service.lab.one_sided import judged_pair  # noqa: PLC0415
    from router_service.lab.outcomes import OutcomesError  # noqa: PLC0415

    try:
        return judged_pair(ledger.read(), weak, strong)
    except OutcomesError as error:
        end(f"{error}.")


def _classifier(name: str) -> Classifier:
    from router_service.config.router_file import (  # noqa: PLC0415
        RouterFileError,
        is_router_file,
        read_router_file,
        shipped,
    )
    from router_service.domain.classifier import HEURISTIC, LLM  # noqa: PLC0415
    from router_service.routing.classify import Heuristic  # noqa: PLC0415
    from router_service.routing.learned import Learned  # noqa: PLC0415

    if name == HEURISTIC:
        return Heuristic()
    if name in ("", LLM):
        end("Name heuristic, learned or a router file.", MISUSED)
    try:
        return Learned(read_router_file(Path(name), name) if is_router_file(name) else shipped())
    except RouterFileError as error:
        end(f"{name} {error}.", MISUSED)
    except OSError as error:
        end(f"Cannot read {name}: {error.strerror}.", MISUSED)


def _promise(found: Threshold, strong: str, keep: float, confidence: float) -> None:
    goes = f"scores from {found.threshold:.4f} go to it, {found.strong_share:.1%} of these calls"
    if found.threshold == -inf:
        goes = "every call goes to it"
    elif found.threshold == inf:
        goes = "no call goes to it"
    print(
        f"at least {keep:.1%} of {strong}'s quality, {confidence:.0%} sure: {goes}; {found.kept:.1%} of its quality "
        "kept on them"
    )
    if found.strong_share == 1.0:
        print("note: so few labels, or so small a saving, that every call goes to the strong model")
