"""Writing a configuration file and loading it in one line."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from textwrap import dedent

import pytest

from router_service.config.configuration import Configuration
from router_service.config.load import load
from router_service.config.problem import ConfigurationError, Problem
from router_service.domain.deployment import ModelFacts

Load = Callable[..., Configuration]
Problems = Callable[..., tuple[Problem, ...]]


def knows_nothing(vendor: str, model: str) -> ModelFacts | None:
    return None


@pytest.fixture
def read(tmp_path: Path) -> Load:
    """Load this text as a configuration file."""

    def read(
        text: str,
        environ: Mapping[str, str] | None = None,
        catalogue: Callable[[str, str], ModelFacts | None] = knows_nothing,
    ) -> Configuration:
        file = tmp_path / "router.yaml"
        file.write_text(dedent(text), encoding="utf-8")
        return load(file, catalogue, environ or {})

    return read


@pytest.fixture
def problems(read: Load) -> Problems:
    """Everything that is wrong with this text."""

    def problems(text: str, environ: Mapping[str, str] | None = None) -> tuple[Problem, ...]:
        with pytest.raises(ConfigurationError) as caught:
            read(text, environ)
        return caught.value.problems

    return problems
