"""Whatever the file holds, it loads or says what is wrong: nothing else is ever raised."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from router_service.config.load import load
from router_service.config.problem import ConfigurationError, Problem

EXAMPLE = yaml.safe_load((Path(__file__).parents[3] / "docs" / "examples" / "router.yaml").read_text())
ANYTHING = st.recursive(
    st.one_of(
        *(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8)),
        st.sampled_from(["gpt-4o", "openai", "${X}", "${X:-1}", "8s", ">= 3", "not", "http://[", "localhost:99999"]),
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
QUIET = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]


def places(value: Any, above: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [above, *(place for key, one in inner for place in places(one, (*above, key)))]


PLACES = places(EXAMPLE)[1:]


def reported(file: Path) -> tuple[Problem, ...]:
    try:
        load(file, lambda *_: None, {"GPU_URL": "http://gpu:1/v1"})
    except ConfigurationError as error:
        return error.problems
    return ()


def attempt(file: Path) -> None:
    lines = file.read_text(encoding="utf-8").count("\n") + 1
    assert all(1 <= problem.line <= lines for problem in reported(file))


@settings(suppress_health_check=QUIET, deadline=None, max_examples=150)
@given(place=st.sampled_from(PLACES), value=ANYTHING)
def test_any_value_at_any_place_loads_or_is_reported(place: tuple[Any, ...], value: Any, tmp_path: Path) -> None:
    data = copy.deepcopy(EXAMPLE)
    parent = data
    for key in place[:-1]:
        parent = parent[key]
    parent[place[-1]] = value
    (tmp_path / "router.yaml").write_text(yaml.safe_dump(data, allow_unicode=True), encoding="utf-8")
    attempt(tmp_path / "router.yaml")


@settings(suppress_health_check=QUIET, deadline=None, max_examples=100)
@given(text=st.text(alphabet="abc:{}[]-&*!<?|>'\"#\n \t$%@,~0", max_size=60))
def test_any_text_loads_or_is_reported(text: str, tmp_path: Path) -> None:
    (tmp_path / "router.yaml").write_text(text, encoding="utf-8")
    attempt(tmp_path / "router.yaml")


@pytest.mark.parametrize("text", ["? [a]\n: b\n", "? {a: b}\n: c\n", "a: &a [*a]\n", "<<: 3\n", "~: 1\n", "\x07: 1\n"])
def test_odd_yaml_is_reported(text: str, tmp_path: Path) -> None:
    (tmp_path / "router.yaml").write_text(text)
    with pytest.raises(ConfigurationError):
        load(tmp_path / "router.yaml", lambda *_: None, {})
