"""What a comparison comes to: its sentences, and all of it as data. The page and the terminal say the same."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from router_service.lab.comparison import Bar, Comparison, Standing, Summary, Verdict, compare
from router_service.lab.intervals import Difference, Estimate
from router_service.lab.trials import Judging, Trial
from router_service.spend.money import usd

PER = 1_000
"""Calls that costs are told for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A comparison with the trials it rests on. `notes` say what is missing, such as that the run broke off; `remarks`
    what else has to be known. `recorded`, for machines, is where trials are from that the ledger had."""

    title: str
    trials: Sequence[Trial]
    comparison: Comparison
    judging: Judging | None = None
    notes: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    recorded: Mapping[str, Any] | None = None


def report_on(
    title: str,
    trials: Sequence[Trial],
    bar: Bar,
    *,
    judging: Judging | None = None,
    notes: Sequence[str] = (),
    remarks: Sequence[str] = (),
    recorded: Mapping[str, Any] | None = None,
    counted: str = "prompts",
) -> Report:
    """The report on these trials. Raises `ValueError` where the bar's reference is no subject."""
    return Report(
        title=title,
        trials=trials,
        comparison=compare(trials, bar, counted=counted),
        judging=judging,
        notes=tuple(notes),
        remarks=tuple(remarks),
        recorded=recorded,
    )


def conclusions(report: Report) -> list[str]:
    """The answer to the question that was asked, in sentences: the cheapest that meets the bar, then what cannot be
    told of cheaper ones."""
    comparison = report.comparison
    sure = f"{comparison.confidence:.0%}"
    said = []
    if not comparison.chosen:
        said.append(f"None is known, with {sure} confidence, to meet the bar of {comparison.bar}.")
    elif comparison.verdict(comparison.chosen).standing is Standing.REFERENCE:
        cheaper = comparison.summaries[0].subject != comparison.chosen
        said.append(
            f"None of the cheaper ones is known, with {sure} confidence, to keep {comparison.bar}: stay with "
            f"{comparison.chosen} ({figures(comparison.summary(comparison.chosen))})."
            if cheaper
            else f"{comparison.chosen} is the cheapest and the best ({figures(comparison.summary(comparison.chosen))})."
        )
    else:
        summary = comparison.summary(comparison.chosen)
        said.append(
            f"{comparison.chosen} is the cheapest that meets the bar of {comparison.bar}, with {sure} confidence "
            f"({figures(summary)}{_saving(comparison, summary)})."
        )
    for summary in comparison.summaries:
        verdict = comparison.verdict(summary.subject)
        if summary.subject == comparison.chosen:
            break
        if verdict.standing is Standing.CANNOT_TELL:
            said.append(f"{summary.subject} is cheaper: {standing_text(verdict, comparison.counted)}.")
    return said


def caveats(report: Report) -> list[str]:
    """What has to be known to read the figures right."""
    return list(_caveats(report))


def _caveats(report: Report) -> Iterator[str]:
    comparison, judging = report.comparison, report.judging
    yield from report.notes
    yield from report.remarks
    if judging is not None and judging.is_compared:
        yield f"{judging.judge} judged answers of its own: models tend to prefer their own words. Use another judge."
    if judging is not None and judging.failures:
        told = ", ".join(f"{reason} {count}" for reason, count in judging.failures.items())
        yield f"The judge gave no usable grade for {sum(judging.failures.values())} answers ({told}): they have none."
    failed = {one.subject: one.calls - one.answered for one in comparison.summaries if one.answered < one.calls}
    if failed:
        told = ", ".join(f"{subject} {count}" for subject, count in failed.items())
        yield (
            f"Calls without an answer: {told}. "
            + (
                "Those that refuse the prompt count as quality 0, all others have none."
                if any("failure" in one.sources for one in comparison.summaries)
                else "They have no quality."
            )
        )
    sources = {source for one in comparison.summaries for source in one.sources} - {"failure"}
    if sources == {"gates"}:
        better = "Give `expected` answers, or a --judge." if report.recorded is None else "A --judge says more."
        yield (
            "Quality is only what gates without a model make of the answers: a wrong answer that looks right counts as "
            f"good. {better}"
        )
    elif len(sources) > 1:
        yield f"Qualities rest on different evidence ({', '.join(sorted(sources))}): the same for every subject."
    unpriced = [one.subject for one in comparison.summaries if one.cost is None]
    if unpriced:
        yield f"No cost is known for {', '.join(unpriced)}: never the cheapest here."
    if any(verdict.over and not verdict.over.paired for verdict in comparison.verdicts):
        yield "Subjects that answered different prompts are compared as two groups, not prompt by prompt."
    yield (
        f"Standings are adjusted for the {len(comparison.verdicts)} subjects (Holm); the intervals in tables are not, "
        "and nothing is adjusted for looking at several features."
    )


def figures(summary: Summary) -> str:
    """Quality and cost in a few words."""
    quality = interval_text(summary.quality)
    count = summary.quality.count if summary.quality else 0
    return f"quality {quality}, n = {count}, {cost_text(summary.cost)} per {PER:,} calls"


def _saving(comparison: Comparison, summary: Summary) -> str:
    best = comparison.summary(comparison.best)
    if summary.cost is None or best.cost is None or not best.cost.mean or best.subject == summary.subject:
        return ""
    change = summary.cost.mean / best.cost.mean - 1
    return f"; {abs(change):.0%} {'less' if change <= 0 else 'more'} than {best.subject}, the best"


def standing_text(verdict: Verdict, counted: str = "prompts") -> str:
    """A standing with its uncertainty."""
    over = verdict.over
    if verdict.standing is Standing.REFERENCE:
        return "the reference"
    if over is None:
        return f"cannot tell: too few {counted}"
    told = f"{difference_text(over)} from the bar"
    if verdict.standing is Standing.MEETS:
        return f"meets the bar ({told}, p {p_text(verdict.p)})"
    if verdict.standing is Standing.DOES_NOT:
        return f"does not meet the bar ({told}, p {p_text(verdict.p)})"
    more = f"; about {verdict.needed:,} would tell, were it so" if verdict.needed else ""
    return f"cannot tell with {over.count} {counted} ({told}{more})"


def interval_text(estimate: Estimate | None) -> str:
    """A mean score with its interval, such as "0.93 (0.88-0.97)"."""
    return f"{estimate.mean:.3f} ({estimate.low:.3f}-{estimate.high:.3f})" if estimate else "unknown"


def difference_text(difference: Difference) -> str:
    """Such as "+0.013 (-0.020 to +0.046)"."""
    return f"{difference.mean:+.3f} ({difference.low:+.3f} to {difference.high:+.3f})"


def cost_text(cost: Estimate | None) -> str:
    """The mean cost of 1,000 calls."""
    return usd(round(cost.mean * PER)) if cost else "unknown"


def p_text(p: float | None) -> str:
    """A p-value; the very small ones are all alike."""
    return "unknown" if p is None else "< 0.001" if p < 0.001 else f"= {p:.3f}"


def seconds_text(seconds: float | None) -> str:
    """A latency."""
    return "-" if seconds is None else f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def failures_text(failures: Mapping[str, int]) -> str:
    """Reasons with how often, or nothing."""
    return ", ".join(f"{reason} {count}" for reason, count in failures.items())


def as_data(report: Report) -> dict[str, Any]:
    """All of it for machines. Costs are nano-USD, latencies seconds, qualities from 0 to 1."""
    comparison = report.comparison
    return {
        "title": report.title,
        "prompts": comparison.prompts,
        "bar": {**asdict(comparison.bar), "confidence": comparison.confidence},
        "cheapest_that_meets": comparison.chosen,
        "best": comparison.best,
        "conclusions": conclusions(report),
        "caveats": caveats(report),
        "subjects": [
            {
                **_summary(summary),
                "standing": {
                    **asdict(verdict := comparison.verdict(summary.subject)),
                    "standing": verdict.standing.value,
                },
                "against_best": _or_none(comparison.against_best.get(summary.subject)),
            }
            for summary in comparison.summaries
        ],
        "recorded": report.recorded,
        "features": {
            feature: [_summary(summary) for summary in summaries] for feature, summaries in comparison.features.items()
        },
        "judging": _or_none(report.judging),
        "trials": [asdict(trial) for trial in report.trials],
    }


def _summary(summary: Summary) -> dict[str, Any]:
    return {**asdict(summary), "cost_per_1000": summary.cost and round(summary.cost.mean * PER)}


def _or_none(one: Any) -> dict[str, Any] | None:
    return None if one is None else asdict(one)
