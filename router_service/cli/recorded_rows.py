"""Which rows of the ledger `llmrouter eval` compares, where it compares those."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from router_service.cli.ending import MISUSED, end
from router_service.cli.ledger_options import DatabaseUrl, span, with_database

if TYPE_CHECKING:
    from router_service.lab.observed import Observed
    from router_service.storage.database import Database


class Evidence(StrEnum):
    """What a quality may rest on without a judge."""

    FEEDBACK = "feedback"
    GATES = "gates"


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedRows:
    """Options that stand in the place of a prompt set: an experiment or a shadow, and from when to when."""

    recorded: Annotated[
        bool,
        typer.Option("--recorded", help="Instead of prompts: compare calls that the ledger has. Nothing is asked."),
    ] = False
    experiment: Annotated[str, typer.Option(help="With --recorded: the arms of this experiment.")] = ""
    shadow: Annotated[
        str, typer.Option(help="With --recorded: this shadow, as policy/name, beside the calls it is a copy of.")
    ] = ""
    since: Annotated[
        str, typer.Option(help="With --recorded: calls of how long ago, such as 12h or 7d, or since a UTC day.")
    ] = "7d"
    until: Annotated[str, typer.Option(help="With --recorded: up to when, in the same words. Default: now.")] = ""
    feature: Annotated[str, typer.Option(help="With --recorded: this feature's calls only.")] = ""
    evidence: Annotated[
        Evidence | None,
        typer.Option(
            help="With --experiment: what quality rests on. Default: feedback where all arms have it, or gates."
        ),
    ] = None
    database: DatabaseUrl = ""

    @property
    def title(self) -> str:
        """What is compared, in words."""
        return f"experiment {self.experiment}" if self.experiment else f"shadow {self.shadow}"

    @property
    def results(self) -> Path:
        """Where a judge's grades are kept unless something else is said."""
        return Path(f"{self.title.replace(' ', '-').replace('/', '-')}.results.jsonl")

    def check(self, prompts: Path | None, compared: Sequence[str], judge: str) -> None:
        """End the command unless it is told one thing to compare."""
        if self.recorded == (prompts is not None):
            end("Name a file of prompts, or --recorded for calls that the ledger has, and not both.", MISUSED)
        named = bool(self.experiment) + bool(self.shadow)
        if not self.recorded:
            if named or self.evidence is not None:
                end("--experiment, --shadow and --evidence are for --recorded.", MISUSED)
            return
        if named != 1:
            end("--recorded compares one thing: name --experiment NAME or --shadow POLICY/NAME.", MISUSED)
        if compared:
            end("--recorded compares what was called: leave --models and --policies out.", MISUSED)
        if self.evidence is not None and (self.shadow or judge):
            end("--evidence is for --experiment without a --judge: nobody else says how good a shadow is.", MISUSED)

    def read(self, config: Path | None) -> list[Observed]:
        """The calls; ends the command where there are none, and says what there is."""
        from router_service.lab.observed import Spell, observed_arms, observed_shadow  # noqa: PLC0415
        from router_service.ledger.comparison import ComparisonReader  # noqa: PLC0415

        asked = span(self.since, self.until)
        spell = Spell(asked.since, asked.until, self.feature)

        async def read(database: Database) -> tuple[list[Observed], list[str]]:
            reader = ComparisonReader(database)
            if self.experiment:
                found = await observed_arms(reader, self.experiment, spell)
                return found, [] if found else await reader.experiments()
            found = await observed_shadow(reader, self.shadow, spell)
            return found, [] if found else await reader.shadows()

        calls, known = with_database(self.database, config, read)
        if not calls:
            kind = "experiments" if self.experiment else "shadows"
            there = (
                f" There are calls of the {kind} {', '.join(known)}." if known else f" There are none of any {kind}."
            )
            of = f" with the feature {self.feature}" if self.feature else ""
            end(f"The ledger holds no call of the {self.title}{of} since {self.since}.{there}")
        return calls
