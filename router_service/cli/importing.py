"""Commands that read other gateways' configurations: import litellm."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from router_service.cli.ending import FAILED, end
from router_service.config.problem import ConfigurationError, Problem
from router_service.demo.counted import counted
from router_service.lab.litellm.findings import Variable

INCOMPLETE = 3
"""The exit code where the result can be used and something of the old file is not in it."""

app = typer.Typer(help="Make a configuration from another gateway's.", no_args_is_help=True)


@app.callback()
def _kinds() -> None:
    """Keep the name of the gateway a command of its own, though there is one only."""


@app.command()
def litellm(
    file: Annotated[Path, typer.Argument(help="litellm's config.yaml.")],
    out: Annotated[
        Path | None, typer.Option(help="Where to write the configuration; must not exist. Default: standard output.")
    ] = None,
) -> None:
    """Make a configuration from a litellm proxy's, and name every field that could not be mapped.

    Exits with 0 where all is mapped, 3 where something is left out, 1 where nothing usable came out.
    """
    from router_service.lab.litellm.importing import read, tried, written  # noqa: PLC0415 - pydantic takes its time
    from router_service.spend.catalogue import catalogue_facts  # noqa: PLC0415 - likewise

    if out is not None and out.exists():
        end(f"{out} exists already: name a file that does not, or remove it.")
    try:
        translation = read(file.read_bytes().decode("utf-8-sig"), str(file), catalogue_facts)
    except (OSError, UnicodeDecodeError) as error:
        end(f"{file}: cannot read the file: {getattr(error, 'strerror', None) or 'it is not UTF-8 text'}")
    except ConfigurationError as error:
        end(str(error))
    findings = translation.findings
    _list("Not mapped", findings.left)
    _list("Mapped, and works differently here", findings.notes)
    _list_variables(findings.variables, os.environ)
    if not translation.is_usable:
        end(f"{file}: no deployment of it can be called from here; nothing is written.")
    text = written(translation)
    if out is None:
        print(text, end="")
    else:
        out.write_text(text, encoding="utf-8")
    content = translation.content
    _tell(
        f"{out or 'standard output'}: {counted(len(content['providers']), 'provider')}, "
        f"{counted(len(content['models']), 'deployment')}, {counted(len(content['policies']), 'policy', 'policies')}; "
        f"{counted(len(findings.left), 'field')} of {file} not mapped."
    )
    problems = tried(text, translation, os.environ, catalogue_facts)
    if problems:
        _tell("It needs mending by hand before it can serve:")
        for problem in problems:
            _tell(f"  {problem.path}: {problem.message}. {problem.fix}")
    if problems or findings.left:
        raise typer.Exit(FAILED if problems else INCOMPLETE)


def _list(title: str, found: list[Problem]) -> None:
    if found:
        _tell(f"{title}:")
        for one in sorted(found, key=lambda problem: (problem.line, problem.column)):
            _tell(f"  {one}")


def _list_variables(variables: Mapping[str, Variable], environ: Mapping[str, str]) -> None:
    unset = [one for one in variables.values() if not environ.get(one.name)]
    if unset:
        _tell("To be set in the router's environment:")
    for one in unset:
        _tell(f"  {one.name}: {one.kind}, line {one.line}, {one.path} ({one.origin})")


def _tell(line: str) -> None:
    # Beside the result, which may be on standard output.
    print(line, file=sys.stderr)
