"""The real tools, built by `make deploy-tools`, and what they make of the files in deploy/."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
CHART = DEPLOY / "helm" / "llmrouter"
KUBERNETES = ("1.27", "1.37")
"""The oldest version that the chart is for, and the newest whose schemas kubernetes-validate brings."""

_TOOLS = ROOT / ".tools" / "deploy"
_LASTS = 50


@dataclass(frozen=True, slots=True)
class Ran:
    """How a command ended and what it said."""

    status: int
    out: str
    err: str


@pytest.fixture(scope="session")
def tool() -> Callable[..., Ran]:
    """Runs one of the tools; where they are not built the test is skipped, except in CI."""

    def run(name: str, *arguments: str | Path, cwd: Path = ROOT, environ: Mapping[str, str] | None = None) -> Ran:
        program = _TOOLS / name
        if not program.exists():
            absent = f"{name} is not built: run `make deploy-tools`, which needs Go"
            if os.environ.get("CI"):
                pytest.fail(absent, pytrace=False)
            pytest.skip(absent)
        command = [str(program), *map(str, arguments)]
        environment = {**os.environ, **(environ or {})}
        done = subprocess.run(
            command, cwd=cwd, env=environment, capture_output=True, text=True, check=False, timeout=_LASTS
        )
        return Ran(done.returncode, done.stdout, done.stderr)

    return run


@dataclass(frozen=True, slots=True)
class Manifests:
    """What the chart renders to."""

    documents: list[dict[str, Any]]
    text: str

    def of(self, kind: str) -> list[dict[str, Any]]:
        """All of this kind."""
        return [document for document in self.documents if document["kind"] == kind]

    def one(self, kind: str) -> dict[str, Any]:
        """The only one of this kind."""
        [document] = self.of(kind)
        return document

    @property
    def pod(self) -> dict[str, Any]:
        """The pods' spec."""
        spec: dict[str, Any] = self.one("StatefulSet")["spec"]["template"]["spec"]
        return spec

    @property
    def container(self) -> dict[str, Any]:
        """The router's container."""
        [container] = self.pod["containers"]
        return dict(container)

    @property
    def router_yaml(self) -> str:
        """The router's configuration."""
        return str(self.one("ConfigMap")["data"]["router.yaml"])

    @property
    def router(self) -> dict[str, Any]:
        """The same, read."""
        return dict(yaml.safe_load(self.router_yaml))


@pytest.fixture(scope="session")
def template(tool: Callable[..., Ran]) -> Callable[..., Ran]:
    """Runs `helm template` with these arguments."""
    return lambda *arguments: tool("helm", "template", "rel", CHART, "--kube-version", KUBERNETES[0], *arguments)


@pytest.fixture(scope="session")
def rendered(template: Callable[..., Ran]) -> Callable[..., Manifests]:
    """The manifests of a value set in the chart's ci/, "" for the defaults, and of further arguments."""
    kept: dict[tuple[str, ...], Manifests] = {}

    def render(values: str = "", *arguments: str) -> Manifests:
        key = (values, *arguments)
        if key not in kept:
            ran = template(*(("--values", CHART / "ci" / f"{values}.yaml") if values else ()), *arguments)
            assert ran.status == 0, ran.err
            kept[key] = Manifests([one for one in yaml.safe_load_all(ran.out) if one], ran.out)
        return kept[key]

    return render


def router_check(router: Mapping[str, Any], folder: Path, environ: Mapping[str, str]) -> Ran:
    """What `llmrouter check` says of a configuration, put into the folder, in just this environment."""
    file = folder / "router.yaml"
    file.write_text(yaml.safe_dump(dict(router)))
    command = [sys.executable, "-m", "router_service", "check", "--strict", str(file)]
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), **environ}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=_LASTS
    )
    return Ran(done.returncode, done.stdout, done.stderr)
