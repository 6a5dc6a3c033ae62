"""The commands train and calibrate: routers from labelled results, and thresholds with a promise."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from router_service.cli.ending import MISUSED, end

if TYPE_CHECKING:
    from router_service.lab.calibration import Threshold
    from router_service.lab.outcomes import Pair
    from router_service.routing.classify import Classifier

Results = Annotated[
    Path,
    typer.Argument(
        help='JSONL of {"prompt": "...", "outcomes": {"model": score}}, or CSV with the column prompt and one for each '
        "model."
    ),
]
Weak = Annotated[str, typer.Option(help="The cheap model. Default: the cheapest by `prices`, else the worst.")]
Strong = Annotated[str, typer.Option(help="The strong model. Default: the best.")]
Keep = Annotated[float, typer.Option(min=0.0, max=1.0, help="Share of the strong model's quality to keep.")]
Confidence = Annotated[float, typer.Option(min=0.5, max=0.9999, help="How sure of it to be.")]


def train(
    results: Results,
    out: Annotated[Path, typer.Option(help="The router file to write.")] = Path("router.json"),
    weak: Weak = "",
    strong: Strong = "",
    keep: Keep = 0.98,
    confidence: Confidence = 0.95,
) -> None:
    """Learn from prompts with outcomes which of them need the strong model; a policy names the file that is written."""
    from router_service.lab.learning import router_file  # noqa: PLC0415 - not every command learns
    from router_service.lab.outcomes import OutcomesError  # noqa: PLC0415
    from router_service.lab.train import train as trained  # noqa: PLC0415

    pair = _pair(results, weak, strong)
    try:
        found = trained(pair, keep=keep, confidence=confidence)
    except OutcomesError as error:
        end(f"{error}.")
    about = {"weak": pair.weak, "strong": pair.strong, "prompts": str(found.learned_from)}
    try:
        out.write_bytes(router_file(found.weights, about))
    except OSError as error:
        end(f"Cannot write {out}: {error.strerror}.", MISUSED)
    print(f"{out}: learned from {found.learned_from:,} prompts what {pair.strong} gains over {pair.weak}")
    if found.evidence is None or found.by_length is None:
        print(f"note: on the {found.held_out:,} prompts held out, {pair.strong} is no better than {pair.weak}")
    else:
        print(
            f"on {found.held_out:,} prompts held out: APGR {found.evidence.apgr:.3f} (random 0.5, prompt length "
            f"{found.by_length.apgr:.3f}); half of the gap for {found.evidence.cpt(0.5):.0%} of the calls"
        )
    _promise(found.threshold, pair, keep, confidence)
    print(f"in the policy: classifier: {out}")


def calibrate(
    results: Results,
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

    pair, judge = _pair(results, weak, strong), _classifier(classifier)
    said = [excerpt(prompt) for prompt in pair.prompts]
    try:
        found = calibrated(pair, judge.score, said, range(len(said)), keep=keep, confidence=confidence)
        points = fitted(pair)
    except OutcomesError as error:
        end(f"{error}.")
    print(f"{len(said):,} labelled prompts of {pair.weak} and {pair.strong}, scored by {judge.name}")
    _promise(found, pair, keep, confidence)
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
        return paired(read_outcomes(results), weak, strong)
    except OutcomesError as error:
        end(f"{error}.", MISUSED)
    except UnicodeDecodeError:
        end(f"{results} is not UTF-8 text.", MISUSED)
    except OSError as error:
        end(f"Cannot read {results}: {error.strerror}.", MISUSED)


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


def _promise(found: Threshold, pair: Pair, keep: float, confidence: float) -> None:
    print(
        f"at least {keep:.1%} of {pair.strong}'s quality, {confidence:.0%} sure: scores from {found.threshold:.4f} go "
        f"to it, {found.strong_share:.1%} of these calls; {found.kept:.1%} of its quality kept on them"
    )
    if found.strong_share == 1.0:
        print("note: so few labels, or so small a saving, that every call goes to the strong model")
