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
from router_service.config.problem import ConfigurationError
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


GOOD = {
    "providers": {"openai": {}},
    "models": {"m": {"provider": "openai"}},
    "policies": {"default": {"rules": [{"use": "m"}]}},
}


RULES: dict[str, Any] = {"rules": [{"use": "m"}]}


@pytest.mark.parametrize(
    ("part", "legal"),
    [
        ({"providers": {"openai": {"max_connections": "${N:-5}"}}}, True),
        ({"providers": {"openai": {"on_cancel": "${N:-drain}", "base_url": "${N:-https://h/v1}"}}}, True),
        ({"providers": {"openai": {"headers": {"x y": "a"}}}}, False),
        ({"providers": {"openai": {"base_url": "ftp://x"}}}, False),
        ({"providers": {"openai": {"base_url": "https://h/v1?a=b"}}}, False),
        ({"providers": {"openai": {"proxy": "socks5://h:1"}}}, False),
        ({"server": {"reflection": "${R:-true}"}}, True),
        ({"server": {"reflection": "maybe"}}, False),
        ({"server": {"address": "nope"}}, False),
        ({"server": {"address": "[::1]:50051"}}, True),
        ({"server": {"default_deadline": 0}}, False),
        ({"server": {"default_deadline": "0s"}}, False),
        ({"server": {"default_deadline": "7"}}, True),
        ({"server": {"default_deadline": "1${N:-0}s"}}, True),
        ({"server": {"grace": 0}}, True),
        ({"server": {"max_concurrent_calls": 2**31}}, False),
        ({"features": {"f": {"parameters": {"temperature": "0.5"}}}}, True),
        ({"features": {"f": {"parameters": {"temperature": "warm"}}}}, False),
        ({"models": {"m": {"provider": "openai", "price": {"input": "1e-3", "output": "$1."}}}}, True),
        ({"policies": {"default": {"rules": [{"use": []}]}}}, False),
        ({"policies": {"default": {**RULES, "classifier": "learned"}}}, True),
        ({"policies": {"default": {**RULES, "classifier": {"use": "llm", "llm": "m"}}}}, True),
        (
            {"policies": {"default": {**RULES, "classifier": {"use": "llm", "llm": {"use": ["m"], "timeout": "1s"}}}}},
            True,
        ),
        ({"policies": {"default": {**RULES, "classifier": {"use": "llm", "llm": []}}}}, False),
        ({"policies": {"default": {**RULES, "classifier": {"use": "llm", "llm": {"use": "m", "timeout": 0}}}}}, False),
        ({"policies": {"default": {**RULES, "classifier": {"band": [0.4, 0.6]}}}}, False),
        ({"policies": {"default": {**RULES, "escalate": {"gates": [{"gate": "judge", "use": "m"}]}}}}, True),
        ({"policies": {"default": {**RULES, "escalate": {"gates": ["judge"]}}}}, False),
        ({"policies": {"default": {"rules": [{"use": "m", "when": {"tier": []}}]}}}, False),
    ],
)
def test_the_schema_and_the_check_agree(tmp_path: Path, part: dict[str, Any], legal: bool) -> None:
    whole = {**GOOD, **part}
    assert jsonschema.Draft202012Validator(schema()).is_valid(whole) is legal
    (tmp_path / "router.yaml").write_text(yaml.safe_dump(whole))
    try:
        load(tmp_path / "router.yaml", lambda *_: None, {})
    except ConfigurationError:
        assert not legal
    else:
        assert legal
