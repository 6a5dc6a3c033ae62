"""Commands about the configuration: check, schema, explain."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from router_service.app import read_configuration, routing_table
from router_service.cli.options import CallerOptions, ConfigFile, PromptArgument, prompt_text, with_caller_options
from router_service.config.configuration import Configuration
from router_service.config.problem import ConfigurationError
from router_service.config.schema import schema as configuration_schema
from router_service.domain.error import RouterError
from router_service.routing.assess import assess
from router_service.routing.decide import decide
from router_service.routing.explain import explain as explained
from router_service.routing.world import World


def check(file: Annotated[Path, typer.Argument(help="The YAML file.")]) -> None:
    """Check a configuration file: every mistake with its line and what to do."""
    configuration = configuration_or_exit(file)
    unpriced = sorted(item.id for item in configuration.deployments.values() if item.price is None)
    keyless = sorted({item.provider for item in configuration.deployments.values() if not item.has_credentials})
    print(
        f"{file}: valid. {len(configuration.providers)} providers, {len(configuration.deployments)} deployments, "
        f"{len(configuration.policies)} policies, fingerprint {configuration.fingerprint}"
    )
    if unpriced:
        print(f"note: no price is known for {', '.join(unpriced)}: their calls are reported as unpriced")
    if keyless:
        print(f"note: no key is set for {', '.join(keyless)}: their deployments are passed over")


def schema() -> None:
    """Print the JSON Schema of the configuration file, for editors."""
    print(json.dumps(configuration_schema(), indent=2))


@with_caller_options
def explain(prompt: PromptArgument, caller: CallerOptions, config: ConfigFile = None) -> None:
    """Show which model a configuration would choose, and why, without any server."""
    configuration = configuration_or_exit(config)
    table = routing_table(configuration)
    call = caller.as_call(prompt_text(prompt))
    try:
        decision = decide(call, assess(call, table), table, World())
    except RouterError as error:
        print(f"{error.reason}: {error.message}", file=sys.stderr)
        raise typer.Exit(1) from None
    print(explained(decision))


def configuration_or_exit(file: Path | None) -> Configuration:
    """The configuration, or the end of the command with every problem listed."""
    try:
        return read_configuration(file, os.environ)
    except ConfigurationError as error:
        print(error, file=sys.stderr)
        raise typer.Exit(1) from None
