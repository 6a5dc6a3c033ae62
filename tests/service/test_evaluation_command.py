"""`llmrouter eval` as people run it: a process of its own, its files, and Ctrl-C."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from typer.testing import CliRunner

from router_service.cli.main import app
from router_service.simulator import Simulator
from router_service.simulator.faults import Fault, FaultKind
from router_service.simulator.script import Rule
from tests.service.running_router import running

ROOT = Path(__file__).parents[2]
LLMROUTER = Path(sys.executable).parent / "llmrouter"
EXAMPLE = ROOT / "docs" / "examples" / "evaluation" / "prompts.jsonl"
DOCUMENTED = (ROOT / "docs" / "evaluation.md").read_text()
DEMO = ROOT / "router_service" / "demo_data" / "router.yaml"


@asynccontextmanager
async def started(folder: Path, *arguments: object, **environ: str) -> AsyncIterator[Process]:
    process = await asyncio.create_subprocess_exec(
        LLMROUTER,
        "eval",
        *(str(one) for one in arguments),
        cwd=folder,
        stdout=PIPE,
        stderr=PIPE,
        env={**os.environ, "LLMROUTER_LEDGER": str(folder / "ledger"), **environ},
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def ended(folder: Path, *arguments: object, **environ: str) -> tuple[int | None, str, str]:
    """Exit code, output and errors."""
    async with started(folder, *arguments, **environ) as process:
        out, errors = await process.communicate()
        return process.returncode, out.decode(), errors.decode()


async def test_the_example_is_evaluated_by_a_router_in_the_same_process(tmp_path: Path) -> None:
    models = ("--models", "qwen3-8b,gpt-4o-mini,gpt-4o", "--config", DEMO)
    files = ("--html", "report.html", "--json", "report.json")
    async with Simulator() as simulator:
        origin = simulator.origin
        code, out, errors = await ended(tmp_path, EXAMPLE, *models, *files, "--bar", 0.5, SIMULATOR_URL=origin)
        assert (code, errors) == (0, "")
    report = json.loads((tmp_path / "report.json").read_text())
    for line in report["conclusions"]:
        assert line in out
        assert line in DOCUMENTED
    assert len(report["trials"]) == 48
    assert {one["feature"] for one in report["trials"]} == {"arithmetic", "triage", "reply", "extraction"}
    # The smallest model has no JSON Schema: the router says so, and it is not called.
    [refused] = [one for one in report["trials"] if one["error"]]
    assert (refused["subject"], refused["error"], refused["quality"]) == ("qwen3-8b", "NO_ELIGIBLE_CANDIDATE", 0.0)
    assert {one["source"] for one in report["trials"]} == {"expected", "schema", "gates", "failure"}
    assert (tmp_path / "report.html").read_text().startswith("<!doctype html>")
    assert len((tmp_path / "prompts.results.jsonl").read_text().splitlines()) == 48
    assert "\x1b" not in out


async def test_an_interrupt_leaves_a_report_of_what_was_paid(tmp_path: Path) -> None:
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("".join(f"What is {n} + 3?\n" for n in range(6)))
    async with running(tmp_path) as router:
        router.simulator.script.add(Rule(fault=Fault(kind=FaultKind.SILENT), contains="What is 4", times=None))
        asked = (prompts, "--models", "gpt-4o", "--policies", "cheap", "--concurrency", 1, "--json", "report.json")
        async with started(tmp_path, *asked, LLMROUTER_ADDRESS=f"127.0.0.1:{router.port}") as process:
            await router.simulator.journal.wait_for(lambda entry: "What is 4" in str(entry.body), timeout=120)
            process.send_signal(signal.SIGINT)
            assert process.stderr is not None
            assert b"interrupt again to leave them" in await process.stderr.readline()
            process.send_signal(signal.SIGINT)
            out, errors = (text.decode() for text in await process.communicate())
    assert process.returncode == 1, errors
    assert "The run is not complete: it was interrupted. Go on with it by --resume" in out
    report = json.loads((tmp_path / "report.json").read_text())
    assert len(report["trials"]) == 8
    recorded = [json.loads(line) for line in (tmp_path / "prompts.results.jsonl").read_text().splitlines()]
    assert [one["said"]["error"] for one in recorded] == [""] * 8 + ["CANCELLED"]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--models", ""), "Name what to compare"),
        (("--models", "a,b,a"), "each once"),
        (("--models", "a", "--policies", "a"), "each once"),
        (("--models", "a", "--bar", "120%"), "--bar is a quality such as 0.9, or a share"),
        (("--models", "a", "--bar", "good"), "not 'good'"),
        (("--models", "a", "--against", "b"), '--against "b" is not among those compared'),
        (("--models", "a", "--bar", "0.9", "--against", "a"), "--against is for a share"),
        (("--models", "a", "--max-cost", "much"), "--max-cost is an amount of USD"),
        (("--models", "a", "--html", "no/where.html"), "There is no folder no to write where.html to"),
        (("--models", "a", "--ca-file", "none.pem"), "Cannot read --ca-file"),
    ],
)
def test_what_cannot_be_run_is_said_before_anything_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], told: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("prompts.txt").write_text("Hello\n")
    result = CliRunner().invoke(app, ["eval", "prompts.txt", *options])
    assert result.exit_code == 2
    assert told in result.output
    assert [file.name for file in tmp_path.iterdir()] == ["prompts.txt"]


def test_mistakes_in_the_prompts_end_the_command_with_their_lines(tmp_path: Path) -> None:
    file = tmp_path / "prompts.jsonl"
    file.write_text("nonsense\n{}\n")
    result = CliRunner().invoke(app, ["eval", str(file), "--models", "a"])
    assert result.exit_code == 2
    assert f"{file}:1: " in result.output
    assert f"{file}:2: it needs either `prompt` or `messages`" in result.output


async def test_nothing_is_paid_for_unknown_names_or_a_dry_run(tmp_path: Path) -> None:
    (tmp_path / "prompts.txt").write_text("Hello\n")
    async with running(tmp_path) as router:
        address = f"127.0.0.1:{router.port}"
        model, policy, dry = await asyncio.gather(
            ended(tmp_path, "prompts.txt", "--models", "gpt-5o", "--address", address),
            ended(tmp_path, "prompts.txt", "--policies", "thrifty", "--address", address),
            ended(
                tmp_path, "prompts.txt", "--models", "gpt-4o", "--judge", "gpt-4o", "--address", address, "--dry-run"
            ),
        )
        assert router.simulator.journal.received == 0
    assert "no model or deployment gpt-5o; there are deepseek-chat, gpt-4o." in model[2]
    assert "POLICY_NOT_FOUND" in policy[2]
    assert (model[0], policy[0], dry[0]) == (1, 1, 0)
    assert re.search(r"gpt-4o +1 +\$0\.", dry[1])
    assert re.search(r"judge, at most +1 +\$0\.\d+ and what the answers add", dry[1])
