"""The layers of ARCHITECTURE.md hold, and the tables in it name what exists."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LONGEST_FILE = 450


def test_the_import_contracts_are_kept():
    command = Path(sys.executable).parent / "lint-imports"
    result = subprocess.run([command, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout


def test_no_file_hides_a_noun():
    too_long = {
        str(file.relative_to(ROOT)): lines
        for file in (ROOT / "router_service").rglob("*.py")
        if (lines := len(file.read_text().splitlines())) > LONGEST_FILE
    }
    assert not too_long


@pytest.mark.parametrize("word", ["utils", "helpers", "manager", "common"])
def test_no_room_has_a_name_that_means_nothing(word):
    assert not list((ROOT / "router_service").rglob(f"*{word}*.py"))


def test_every_folder_of_the_service_is_in_the_map():
    folders = {path.name for path in (ROOT / "router_service").iterdir() if (path / "__init__.py").exists()}
    drawn = set(re.findall(r"^  (\w+)/ ", (ROOT / "ARCHITECTURE.md").read_text(), re.MULTILINE))
    assert folders <= drawn
