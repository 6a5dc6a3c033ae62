"""Replicas that are stopped one after another under load fail no call of the published client."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.roll.run import Scenario, roll
from llmrouter.channel import service_config

ROOT = Path(__file__).parents[2]


# Five processes start, and two of them twice: on a busy machine that takes its time.
@pytest.mark.parametrize("client", ["package", "plain"])
async def test_a_rolling_restart_fails_no_call(client: str) -> None:
    outcome = await roll(
        Scenario(
            name="short",
            client=client,
            restarts=2,
            callers=20,
            streams=6,
            story=0.5,
            lame_duck=0.3,
            settle=0.2,
            must_pass=True,
        )
    )
    assert dict(outcome.failed) == {}
    assert outcome.calls > 20
    assert outcome.streams > 6
    assert not outcome.missed


def test_the_published_config_is_the_packages_own() -> None:
    assert json.loads(service_config()) == json.loads((ROOT / "clients" / "service_config.json").read_text())


def test_the_published_config_repeats_what_one_replicas_death_fails_at_once() -> None:
    """gRPC ceases to repeat below half of the tokens, and each failure takes one."""
    throttling = json.loads(service_config())["retryThrottling"]
    assert throttling["maxTokens"] / 2 >= 500
    # Sustained failures are throttled all the same: a tenth of a repetition is earned by a success.
    assert throttling["tokenRatio"] == 0.1
