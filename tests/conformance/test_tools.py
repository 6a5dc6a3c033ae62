"""What the clients' scripts do where a language's tools are missing."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def bare(tmp_path: Path) -> str:
    """A PATH with nothing that a language needs."""
    for tool in ("bash", "dirname", "env", "mktemp", "chmod", "rm"):
        (tmp_path / tool).symlink_to(shutil.which(tool) or tool)
    return str(tmp_path)


@pytest.mark.parametrize(
    ("script", "language", "tool"),
    [
        ("generate.sh", "go", "go"),
        ("generate.sh", "typescript", "node"),
        ("generate.sh", "java", "java"),
        ("publish-dry-run.sh", "go", "go"),
    ],
)
@pytest.mark.parametrize("ci", ["", "true"])
def test_a_language_without_tools_is_left_out_but_not_in_ci(
    bare: str, script: str, language: str, tool: str, ci: str
) -> None:
    ended = subprocess.run(
        [ROOT / "clients" / script, language],
        env={"PATH": bare, "CI": ci},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.stdout.splitlines()[0] == f"{language}: left out, {tool} is missing here"
    assert ended.returncode == (1 if ci else 0)
