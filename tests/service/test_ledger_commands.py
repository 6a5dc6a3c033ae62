"""The commands that ask the ledger, as people run them."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ledger_values import closed, intent, opened, terminal

from router_service.ledger.store import SqlLedgerStore
from router_service.storage.opening import open_database

LLMROUTER = Path(sys.executable).parent / "llmrouter"

CONFIGURATION = """
providers:
  ours: {base_url: "http://127.0.0.1:1/v1", api_key: none}
models:
  small: {provider: ours, price: {input: 1, output: 2}}
policies:
  default: {rules: [{use: [small]}]}
ledger: {folder: state}
"""


def run(*arguments, env=None):
    return subprocess.run(
        [LLMROUTER, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
        env={**os.environ, **(env or {})},
    )


@pytest.fixture
def config(tmp_path):
    file = tmp_path / "router.yaml"
    file.write_text(CONFIGURATION)
    return file


@pytest.fixture
def ledger(tmp_path, config):
    """Two answered calls and one that failed, an hour ago."""
    began = round((time.time() - 3600) * 1_000_000)

    async def fill():
        (tmp_path / "state").mkdir()
        database = await open_database("sqlite:///ledger.db", directory=tmp_path / "state")
        store = SqlLedgerStore(database)
        await store.prepare()
        used = {"input_tokens": 1_000_000, "output_tokens": 500_000, "cost_nano_usd": 30_000_000_000}
        for name in ("a", "b"):
            await store.add(
                [
                    opened(name, feature="chat", started_us=began),
                    intent(f"{name}-1", started_us=began),
                    terminal(f"{name}-1", started_us=began, **used),
                    closed(name, baseline_nano_usd=31_000_000_000, cost_nano_usd=30_000_000_000),
                ]
            )
        await store.add([opened("c", feature="chat", started_us=began), closed("c", status="UNAVAILABLE", model="")])
        await database.aclose()

    asyncio.run(fill())
    return config


def test_usage_shows_what_was_used_and_what_it_cost(ledger):
    result = run("usage", "--config", ledger, "--by", "feature,model")
    assert result.returncode == 0, result.stderr
    assert "$60.00" in result.stdout
    lines = result.stdout.splitlines()
    assert lines[0].split()[:3] == ["feature", "model", "calls"]
    assert lines[-1].split()[:3] == ["total", "3", "2"]


def test_usage_is_told_to_programs_as_json(ledger):
    result = run("usage", "-c", ledger, "--by", "model", "--json", "--only", "feature=chat")
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert [(row["model"], row["calls"], row["cost"], row["saved"]) for row in rows] == [
        ("gpt", 2, 60_000_000_000, 2_000_000_000),
        ("", 1, 0, 0),
    ]
    assert rows[0]["p99_seconds"] == 1.0


def test_the_database_may_be_named_without_a_configuration(ledger, tmp_path):
    url = f"sqlite:///{tmp_path / 'state' / 'ledger.db'}"
    assert "chat" in run("usage", "--database", url).stdout
    assert "chat" in run("usage", env={"DATABASE_URL": url}).stdout


def test_an_export_is_csv_on_standard_output(ledger):
    result = run("export", "attempts", "--config", ledger)
    rows = list(csv.DictReader(io.StringIO(result.stdout)))
    assert [row["attempt_id"] for row in rows] == ["a-1", "b-1"]
    assert result.stderr == "2 rows\n"


def test_replay_shows_what_another_policy_would_have_cost(ledger):
    result = run("replay", "--policy", ledger, "--config", ledger, "--since", "1d")
    assert result.returncode == 0, result.stderr
    total = next(line for line in result.stdout.splitlines() if line.startswith("total"))
    assert total.split() == ["total", "2", "$60.00", "$4.00", "-93.3%"]
    assert "left out: 1 calls without an answer" in result.stdout


def test_mistakes_are_told_in_a_line(config, tmp_path):
    for arguments, told in (
        (["usage"], "Say where the ledger is"),
        (["usage", "-c", config, "--since", "yesterday"], "neither a time such as 7d"),
        (["usage", "-c", config, "--by", "colour"], "'colour' is not one of feature"),
        (["usage", "-c", config], "The ledger cannot be read"),
        (["replay", "--policy", config, "--traffic", tmp_path / "none.yaml"], "Cannot read"),
    ):
        result = run(*arguments, env={"DATABASE_URL": "", "LLMROUTER_CONFIG": ""})
        assert result.returncode != 0
        assert told in result.stderr
        assert "Traceback" not in result.stderr
