"""Commands that ask the ledger: usage, export."""

from __future__ import annotations

import json
import sys
from dataclasses import fields
from typing import TYPE_CHECKING, Annotated, Any

import typer

from router_service.cli.ending import MISUSED, end
from router_service.cli.ledger_options import DatabaseUrl, LedgerConfig, Since, Until, span, with_database
from router_service.ledger.export import Exported, ExportFormat

if TYPE_CHECKING:
    from router_service.ledger.usage import Usage, UsageRow

_ONLY = "Only some, as dimension=value; may be repeated."


def usage(
    by: Annotated[
        str,
        typer.Option(
            help="feature, tier, tenant, model, provider, key, day, experiment, arm, shadow, or several with commas."
        ),
    ] = "feature",
    since: Since = "7d",
    until: Until = "",
    only: Annotated[list[str] | None, typer.Option(help=_ONLY)] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many groups, the dearest first.")] = 50,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a group, in nano-USD and seconds.")] = False,
    database: DatabaseUrl = "",
    config: LedgerConfig = None,
) -> None:
    """Show calls, tokens, cost, savings, errors and latencies from the ledger."""
    from router_service.ledger.usage import UsageBy, UsageQuery, UsageReader  # noqa: PLC0415

    def dimension(name: str) -> UsageBy:
        try:
            return UsageBy(name.strip())
        except ValueError:
            end(f"{name.strip()!r} is not one of {', '.join(UsageBy)}.", MISUSED)

    wanted: dict[UsageBy, frozenset[str]] = {}
    for text in only or []:
        name, _, value = text.partition("=")
        if name == UsageBy.DAY:
            end("Limit days with --since and --until.", MISUSED)
        wanted[dimension(name)] = wanted.get(dimension(name), frozenset()) | {value}
    asked = span(since, until)
    query = UsageQuery(
        since=asked.since,
        until=asked.until,
        by=tuple(dict.fromkeys(dimension(name) for name in by.split(",") if name.strip())),
        only=wanted,
        page_size=limit,
    )
    found = with_database(database, config, lambda opened: UsageReader(opened).usage(query))
    if as_json:
        for row in found.rows:
            print(json.dumps(_plain(row)))
        return
    _show(found, [str(one) for one in query.by])


def export(
    what: Annotated[Exported, typer.Argument(help="One row a call, or one an attempt.")] = Exported.CALLS,
    form: Annotated[ExportFormat, typer.Option("--format", help="How rows are written.")] = ExportFormat.CSV,
    since: Since = "7d",
    until: Until = "",
    database: DatabaseUrl = "",
    config: LedgerConfig = None,
) -> None:
    """Write the ledger's rows to standard output."""
    from router_service.ledger import export as exporting  # noqa: PLC0415

    asked = span(since, until)
    count = with_database(
        database,
        config,
        lambda opened: exporting.export(opened, what, form, asked.since, asked.until, sys.stdout),
    )
    print(f"{count} rows", file=sys.stderr)


def _plain(row: UsageRow) -> dict[str, Any]:
    value = {one.name: getattr(row, one.name) for one in fields(row) if one.name != "group"}
    for name in ("p50", "p95", "p99"):
        microseconds = value.pop(f"{name}_us")
        value[f"{name}_seconds"] = None if microseconds is None else microseconds / 1_000_000
    group = {str(name): one for name, one in row.group.items()}
    rates = {name: getattr(row, name) for name in ("error_rate", "fallback_rate", "thumbs_up_share")}
    return {**group, **value, **rates}


def _show(found: Usage, by: list[str]) -> None:
    from router_service.cli.render import plain_table, terminal  # noqa: PLC0415 - rich takes its time

    headers = [*by, "calls", "attempts", "in", "out", "cached", "cost", "of it estimated", "saved"]
    judged = ["score", "thumbs up"] if found.total.feedbacks else []
    table = plain_table(*headers, "errors", "fallbacks", "p50", "p95", "p99", *judged, "unknown")
    for row in found.rows:
        table.add_row(*(value or "-" for value in row.group.values()), *_cells(row, judged=bool(judged)))
    if by:
        table.add_row("total", *[""] * (len(by) - 1), *_cells(found.total, judged=bool(judged)), style="bold")
    terminal().print(table)
    if found.next_start is not None:
        print(f"more groups than --limit {len(found.rows)}; the total counts them all", file=sys.stderr)


def _cells(row: UsageRow, *, judged: bool) -> list[str]:
    from router_service.spend.money import usd  # noqa: PLC0415

    unknown = [f"{row.indeterminate} indeterminate"] if row.indeterminate else []
    unknown += [f"{row.unpriced} unpriced"] if row.unpriced else []
    latencies = (row.p50_us, row.p95_us, row.p99_us)
    return [
        *(f"{count:,}" for count in (row.calls, row.attempts, row.input_tokens, row.output_tokens)),
        f"{row.cached_input_tokens:,}",
        usd(row.cost),
        usd(row.estimated_cost),
        usd(row.saved),
        f"{row.error_rate:.1%}",
        f"{row.fallback_rate:.1%}",
        *("-" if microseconds is None else f"{microseconds / 1_000_000:.2f} s" for microseconds in latencies),
        *(_judgement(row) if judged else []),
        ", ".join(unknown),
    ]


def _judgement(row: UsageRow) -> list[str]:
    """The mean score and the share of thumbs up, as far as there is feedback."""
    up = row.thumbs_up_share
    return [
        "-" if row.mean_score is None else f"{row.mean_score:.2f}",
        "-" if up is None else f"{up:.0%} of {row.thumbs_up + row.thumbs_down:,}",
    ]
