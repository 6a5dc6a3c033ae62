"""Comparisons as people read them in a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Group
from rich.table import Table
from rich.text import Text

from router_service.cli.render import plain_table
from router_service.demo.counted import counted
from router_service.lab.comparison import Comparison, Standing, Summary
from router_service.lab.planning import Plan
from router_service.lab.report import (
    PER,
    Report,
    caveats,
    conclusions,
    cost_text,
    failures_text,
    interval_text,
    seconds_text,
    standing_text,
)
from router_service.spend.money import usd

_STYLES = {Standing.MEETS: "green", Standing.REFERENCE: "green", Standing.DOES_NOT: "red"}


def report_view(report: Report) -> Group:
    """Conclusions, a table of subjects, one by feature, and what has to be known beside them."""
    comparison = report.comparison
    parts = [*(Text(_one_line(told), style="bold" if not at else "") for at, told in enumerate(conclusions(report)))]
    views: list[Text | Table] = [*parts, Text(), _subjects(comparison), Text(), *_told(comparison)]
    if len(comparison.features) > 1:
        views += [Text(), _features(comparison)]
    judging = report.judging
    if judging is not None:
        unpriced = f" and {counted(judging.unpriced, 'call')} of unknown cost" if judging.unpriced else ""
        views += [
            Text(),
            Text(
                f"judge {judging.judge}: {counted(judging.graded, 'answer')} graded for {usd(judging.cost)}{unpriced}"
            ),
        ]
    views += [Text(), *(Text(f"note: {_one_line(told)}", style="dim") for told in caveats(report))]
    return Group(*views)


def plan_view(plan: Plan) -> Group:
    """What a run would do."""
    table = plain_table("", "calls", "estimate")
    for subject, cost in plan.costs.items():
        table.add_row(_one_line(subject), str(plan.calls.get(subject, 0)), "no price" if cost is None else usd(cost))
    if plan.judge_calls:
        amount = "no price" if plan.judge_cost is None else f"{usd(plan.judge_cost)} and what the answers add"
        table.add_row("judge, at most", str(plan.judge_calls), amount)
    recorded = f" {counted(plan.recorded, 'call')} are recorded already." if plan.recorded else ""
    return Group(table, Text(f"About {usd(plan.cost)} by the router's estimates; nothing was called.{recorded}"))


def _subjects(comparison: Comparison) -> Table:
    table = plain_table("", "bar", "quality (95%)", f"per {PER:,} calls", "spent", "median", "p95", "first", "answered")
    for summary in comparison.summaries:
        standing = comparison.verdict(summary.subject).standing
        table.add_row(
            Text(_one_line(summary.subject), style="bold" if summary.subject == comparison.chosen else ""),
            Text(standing.value, style=_STYLES.get(standing, "yellow")),
            interval_text(summary.quality),
            cost_text(summary.cost),
            usd(summary.total_cost) + (f" + {summary.unpriced} unknown" if summary.unpriced else ""),
            seconds_text(summary.latency_median),
            seconds_text(summary.latency_p95),
            seconds_text(summary.first_output_median),
            f"{summary.answered} of {summary.calls}",
        )
    return table


def _told(comparison: Comparison) -> Iterator[Text]:
    """What does not fit into a column, a line for each subject."""
    for summary in comparison.summaries:
        rests = ", ".join(f"{source} {count}" for source, count in summary.sources.items())
        failed = f"; failed: {failures_text(summary.failures)}" if summary.failures else ""
        standing = standing_text(comparison.verdict(summary.subject), comparison.counted)
        yield Text(_one_line(f"{summary.subject}: {standing}{f'; by {rests}' if rests else ''}{failed}"), style="dim")


def _features(comparison: Comparison) -> Table:
    table = plain_table("feature", "", "quality (95%)", f"per {PER:,} calls", "median", "answered")
    for feature, summaries in comparison.features.items():
        _add(table, feature or "(none)", summaries)
    return table


def _add(table: Table, feature: str, summaries: Sequence[Summary]) -> None:
    for at, summary in enumerate(summaries):
        table.add_row(
            Text("" if at else _one_line(feature)),
            Text(_one_line(summary.subject)),
            interval_text(summary.quality),
            cost_text(summary.cost),
            seconds_text(summary.latency_median),
            f"{summary.answered} of {summary.calls}",
        )


def _one_line(text: str) -> str:
    """Without what would steer a terminal."""
    return "".join(one if one.isprintable() else "?" for one in text)
