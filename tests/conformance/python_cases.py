"""The golden cases through the Python clients. Other languages' runners are in their clients' folders."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conformance.cases import load
from tests.conformance.python_runner import CLIENTS, Control, run

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def control() -> Iterator[Control]:
    if url := os.environ.get("LLMROUTER_CONFORMANCE"):
        yield Control(url)
        return
    with subprocess.Popen(
        [sys.executable, "-m", "tests.conformance.serve"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as fixture:
        assert fixture.stdout is not None
        yield Control(json.loads(fixture.stdout.readline())["control"])


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("case", load())
async def test_conformance(case: str, client: str, control: Control) -> None:
    assert await run(control, case, CLIENTS[client]) == []
