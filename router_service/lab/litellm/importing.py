"""A litellm file read, translated, written down and tried out."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from router_service.config.load import load
from router_service.config.problem import ConfigurationError, Problem
from router_service.config.source import parse
from router_service.lab.litellm.deployments import Catalogue
from router_service.lab.litellm.findings import Kind
from router_service.lab.litellm.translation import Translation, translate

_STAND_INS = {
    Kind.KEY: "stand-in",
    Kind.TEXT: "stand-in",
    Kind.NUMBER: "1",
    Kind.URL: "https://stand-in.invalid/v1",
    Kind.POSTGRESQL: "postgresql://stand-in.invalid/stand-in",
    Kind.REDIS: "redis://stand-in.invalid",
    Kind.API_KEY: f"rk_{'A' * 12}_{'A' * 48}",
}


def read(text: str, file: str, catalogue: Catalogue) -> Translation:
    """Translate the text of a litellm file. Raises `ConfigurationError` where it cannot be read."""
    # What is `${` there is no reference; doubled, it reads as itself.
    source = parse(text.replace("${", "$${"), file, {})
    if source.problems:
        raise ConfigurationError(source.problems)
    return translate(source, catalogue)


def written(translation: Translation) -> str:
    """The new file, with what it could not take over as a comment at its top."""
    findings = translation.findings
    head = [f"# Made from {Path(findings.source.file).name} by `llmrouter import litellm`."]
    if findings.left:
        head.append("# Not mapped:")
        head += [f"#   line {one.line}: {one.path}" for one in findings.left]
    body = yaml.safe_dump(dict(translation.content), sort_keys=False, allow_unicode=True, width=120)
    return "\n".join(head) + "\n" + body


def tried(text: str, translation: Translation, environ: Mapping[str, str], catalogue: Catalogue) -> tuple[Problem, ...]:
    """What the check of this router says of the new file, variables that are not set yet taken as set."""
    known: dict[str, Any] = {
        one.name: _STAND_INS[one.kind] for one in translation.findings.variables.values() if not environ.get(one.name)
    }
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "router.yaml"
        file.write_text(text, encoding="utf-8")
        try:
            load(file, catalogue, {**environ, **known})
        except ConfigurationError as error:
            return error.problems
    return ()
