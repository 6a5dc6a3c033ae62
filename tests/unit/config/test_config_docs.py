"""The schema, the reference and the examples agree with the code."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from router_service.config.load import load
from router_service.config.reference import reference
from router_service.config.schema import schema

DOCS = Path(__file__).parents[3] / "docs"
EXAMPLES = sorted((DOCS / "examples").glob("*.yaml"))


def _properties(described: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for name, part in (("file", described), *described["$defs"].items()):
        for key, value in part.get("properties", {}).items():
            yield f"{name}.{key}", value


def test_the_schema_is_valid_and_describes_every_key() -> None:
    described = schema()
    jsonschema.Draft202012Validator.check_schema(described)
    assert described["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert [key for key, value in _properties(described) if not value.get("description")] == []


def test_the_committed_schema_and_reference_are_current() -> None:
    assert json.loads((DOCS / "router.schema.json").read_text()) == schema()
    assert (DOCS / "configuration.md").read_text() == reference()


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_an_example_loads_without_keys_and_validates_in_editors(example: Path) -> None:
    configuration = load(example, lambda *_: None, {})
    assert configuration.policies
    raw = yaml.safe_load(example.read_text())
    jsonschema.Draft202012Validator(schema()).validate(raw)
    assert "# yaml-language-server: $schema=" in example.read_text().splitlines()[0]


@pytest.mark.parametrize(
    "mistake",
    [
        {"model": {}},
        {"models": {"m": {"provider": "openai", "context_window": 0}}},
        {"policies": {"p": {"rules": []}}},
        {"policies": {"p": {"rules": [{"use": "m", "when": {"turns": "many"}}]}}},
        {"policies": {"p": {"rules": [{"use": "m", "when": {"tier": {"nott": "x"}}}]}}},
        {"server": {"grace": "soon"}},
    ],
)
def test_the_schema_sees_mistakes(mistake: dict[str, Any]) -> None:
    good = yaml.safe_load((DOCS / "examples" / "small.yaml").read_text())
    assert not jsonschema.Draft202012Validator(schema()).is_valid({**good, **mistake})
