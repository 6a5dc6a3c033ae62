"""What train and calibrate share where they learn from the ledger's feedback."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from router_service.cli.ending import MISUSED, end
from router_service.cli.ledger_options import DatabaseUrl, LedgerConfig, span, with_database
from router_service.domain.feedback import FeedbackSource

if TYPE_CHECKING:
    from router_service.lab.feedback import JudgedPrompt, Recorded


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedOptions:
    """Whether outcomes are the ledger's feedback, and which of it."""

    recorded: Annotated[bool, typer.Option("--recorded", help="Instead of a file: feedback that the ledger has.")] = (
        False
    )
    prompts: Annotated[
        Path | None,
        typer.Option(help='JSONL of {"request_id": "...", "prompt": "..."}, for prompts that the ledger has not.'),
    ] = None
    since: Annotated[str, typer.Option(help="Calls of how long ago, such as 12h or 30d, or since a UTC day.")] = "30d"
    until: Annotated[str, typer.Option(help="Up to when, in the same words. Default: now.")] = ""
    tenant: Annotated[str, typer.Option(help="This tenant's calls only.")] = ""
    feature: Annotated[str, typer.Option(help="This feature's calls only.")] = ""
    source: Annotated[list[FeedbackSource], typer.Option(help="Feedback of this source only; may be repeated.")] = (
        field(default_factory=list)
    )
    database: DatabaseUrl = ""
    config: LedgerConfig = None

    def check(self, results: Path | None) -> None:
        """End the command unless it is told one place of outcomes, a file or the ledger."""
        if self.recorded == (results is not None):
            end("Name a file of results, or --recorded for the ledger's feedback, and not both.", MISUSED)

    def read(self) -> list[JudgedPrompt]:
        """The judged prompts; ends the command where there are none, and says how many there are."""
        from router_service.lab.feedback import Choice, read_prompts, recorded_feedback  # noqa: PLC0415
        from router_service.lab.outcomes import OutcomesError  # noqa: PLC0415

        asked = span(self.since, self.until)
        choice = Choice(
            since=asked.since, until=asked.until, tenant=self.tenant, feature=self.feature, sources=self.source
        )
        try:
            prompts = read_prompts(self.prompts) if self.prompts is not None else None
        except OutcomesError as error:
            end(f"{error}.", MISUSED)
        except OSError as error:
            end(f"Cannot read {self.prompts}: {error.strerror}.", MISUSED)
        found = with_database(self.database, self.config, lambda opened: recorded_feedback(opened, choice, prompts))
        _tell(found, self.since)
        return found.prompts


def _tell(found: Recorded, since: str) -> None:
    if not found.calls:
        end(f"The ledger holds no feedback with a score or thumbs on a call since {since}.")
    if not found.known:
        end(
            f"The ledger holds feedback on {found.calls:,} calls since {since}, and the prompt of none of them. Have "
            "prompts recorded (ledger: {texts: {prompts: true}}), or give them with --prompts FILE.jsonl."
        )
    print(
        f"feedback on {found.calls:,} calls, {found.known:,} of them with a known prompt: "
        f"{len(found.prompts):,} different prompts",
        file=sys.stderr,
    )
