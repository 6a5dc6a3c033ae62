"""The command replay: what calls would have cost under another policy."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from router_service.cli.configuration import configuration_or_exit
from router_service.cli.ending import MISUSED, end
from router_service.cli.ledger_options import DatabaseUrl, LedgerConfig, Since, Until, span, with_database

if TYPE_CHECKING:
    from router_service.lab.recorded import Unanswered
    from router_service.lab.replay import Replay, ReplayLine
    from router_service.routing.table import RoutingTable
    from router_service.storage.database import Database


def replay(
    policy: Annotated[Path, typer.Option(help="The YAML file whose policy decides.")],
    since: Since = "7d",
    until: Until = "",
    traffic: Annotated[
        Path | None, typer.Option(help="Instead of the ledger: a description of traffic, tokens a day for each use.")
    ] = None,
    database: DatabaseUrl = "",
    config: LedgerConfig = None,
) -> None:
    """Show what the ledger's calls, or described ones, would have cost under another policy."""
    from router_service.app import routing_table  # noqa: PLC0415 - brings the whole server along
    from router_service.lab.replay import replay as replayed  # noqa: PLC0415
    from router_service.lab.traffic import TrafficError, read_traffic  # noqa: PLC0415

    table = routing_table(configuration_or_exit(policy))
    if traffic is None:
        asked = span(since, until)
        report, left_out = with_database(
            database, config, lambda opened: _recorded(opened, table, asked.since, asked.until)
        )
        if not report.total.calls:
            end(f"The ledger holds no answered call since {since}.")
        _show(report, told=True)
        if left_out.calls:
            from router_service.spend.money import usd  # noqa: PLC0415

            print(f"left out: {left_out.calls} calls without an answer, which cost {usd(left_out.cost)}")
        return
    try:
        calls = read_traffic(traffic)
    except TrafficError as error:
        end(str(error), MISUSED)
    except OSError as error:
        end(f"Cannot read {traffic}: {error.strerror}.", MISUSED)
    _show(replayed(calls, table), told=False)


async def _recorded(database: Database, table: RoutingTable, since: float, until: float) -> tuple[Replay, Unanswered]:
    from router_service.lab.recorded import recorded_calls, unanswered  # noqa: PLC0415
    from router_service.lab.replay import Replay, replay  # noqa: PLC0415

    report = Replay()
    async for calls in recorded_calls(database, since, until):
        replay(calls, table, report)
    return report, await unanswered(database, since, until)


def _show(report: Replay, *, told: bool) -> None:
    """`told` says that it is known what the calls did cost."""
    from router_service.cli.render import plain_table, terminal  # noqa: PLC0415 - rich takes its time
    from router_service.spend.money import usd  # noqa: PLC0415

    console = terminal()
    money = ["did cost", "would cost", "difference"] if told else ["would cost"]

    def cells(line: ReplayLine) -> list[str]:
        sums = [usd(line.did_cost), usd(line.would_cost), _change(line)] if told else [usd(line.would_cost)]
        return [f"{line.calls:,}", *sums, f"{line.uncounted:,} not counted" if line.uncounted else ""]

    by_feature = plain_table("feature", "calls", *money, "")
    for feature, line in sorted(report.by_feature.items(), key=lambda item: -item[1].would_cost):
        by_feature.add_row(feature or "-", *cells(line))
    by_feature.add_row("total", *cells(report.total), style="bold")
    console.print(by_feature)
    print()
    by_model = plain_table(*(["answered by"] if told else []), "would go to", "calls", *money, "")
    for (before, after), line in sorted(report.by_model.items(), key=lambda item: -item[1].would_cost):
        by_model.add_row(*([before or "-"] if told else []), after, *cells(line))
    console.print(by_model)
    if report.baseline_cost:
        share = 1 - report.total.would_cost / report.baseline_cost
        print(f"\nthe policy's baseline alone: {usd(report.baseline_cost)}; the policy saves {share:.1%} of it")
    for reason, count in sorted(report.refused.items()):
        print(f"not served by the policy: {count} calls ({reason})")


def _change(line: ReplayLine) -> str:
    return f"{(line.would_cost - line.did_cost) / line.did_cost:+.1%}" if line.did_cost else "-"
