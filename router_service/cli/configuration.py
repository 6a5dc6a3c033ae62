"""Commands about the configuration: check, schema, explain."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from router_service.cli.ending import end
from router_service.cli.options import CallerOptions, ConfigFile, PromptArgument, prompt_text, with_caller_options
from router_service.config.configuration import Configuration
from router_service.config.places import with_ledger
from router_service.config.problem import ConfigurationError
from router_service.demo.counted import counted
from router_service.domain.error import RouterError


def check(
    file: Annotated[Path, typer.Argument(help="The YAML file.")],
    strict: Annotated[bool, typer.Option("--strict", help="End with code 1 where there are warnings.")] = False,
) -> None:
    """Check a configuration file: every mistake, and what is hardly meant, with its line and what to do."""
    from router_service.config.load import review  # noqa: PLC0415 - pydantic takes its time
    from router_service.spend.catalogue import catalogue_facts  # noqa: PLC0415 - likewise

    try:
        configuration, warnings = review(file, catalogue_facts, with_ledger(os.environ))
    except ConfigurationError as error:
        end(str(error))
    for warning in warnings:
        print(f"warning: {warning}", file=sys.stderr)
    unpriced = sorted(item.id for item in configuration.deployments.values() if item.price is None)
    keyless = sorted({item.provider for item in configuration.deployments.values() if not item.has_credentials})
    print(
        f"{file}: valid. {counted(len(configuration.providers), 'provider')}, "
        f"{counted(len(configuration.deployments), 'deployment')}, "
        f"{counted(len(configuration.policies), 'policy', 'policies')}, fingerprint {configuration.fingerprint}"
    )
    if unpriced:
        print(f"note: no price is known for {', '.join(unpriced)}: their calls are reported as unpriced")
    if keyless:
        print(f"note: no key is set for {', '.join(keyless)}: their deployments are passed over")
    if strict and warnings:
        raise typer.Exit(1)


def schema() -> None:
    """Print the JSON Schema of the configuration file, for editors."""
    from router_service.config import schema as described  # noqa: PLC0415 - pydantic takes its time

    print(json.dumps(described.schema(), indent=2))


@with_caller_options
def explain(prompt: PromptArgument, caller: CallerOptions, config: ConfigFile = None) -> None:
    """Show which model a configuration would choose, and why, without any server."""
    from router_service.cli.explanation import explanation  # noqa: PLC0415 - brings the whole server along

    call = caller.as_call(prompt_text(prompt))
    try:
        print(explanation(call, configuration_or_exit(config)))
    except RouterError as error:
        end(f"{error.reason}: {error.message}")


def configuration_or_exit(file: Path | None) -> Configuration:
    """The configuration, or the end of the command with every problem listed."""
    from router_service.app import read_configuration  # noqa: PLC0415 - brings the whole server along

    try:
        return read_configuration(file, with_ledger(os.environ))
    except ConfigurationError as error:
        end(str(error))
