"""The demo shows what it claims: over a real channel, with every nano-dollar accounted for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import pytest

from router_service.demo.prompts import PromptFileError, read_prompts

LLMROUTER = Path(sys.executable).parent / "llmrouter"


def demo(*arguments):
    return subprocess.run(
        [LLMROUTER, "demo", "--speed", "1000", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "COLUMNS": "200"},
    )


@pytest.fixture(scope="module")
def shown():
    result = demo("--json")
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def test_it_makes_varied_calls_to_several_models_with_a_fallback(shown):
    assert len(shown["calls"]) >= 12
    assert len({call["model"] for call in shown["calls"]}) >= 4
    assert shown["fallbacks"] >= 1
    assert all(call["cost_usd"] > 0 for call in shown["calls"])
    assert {call["finish_reason"] for call in shown["calls"]} >= {"stop", "tool_calls"}


def test_it_saves_more_than_half_of_the_baseline(shown):
    assert shown["saved_ratio"] > 0.5
    assert shown["saved_ratio"] == pytest.approx(1 - shown["total_cost_usd"] / shown["baseline_cost_usd"])


def test_every_cost_recomputed_from_tokens_and_prices_is_equal_to_the_nano_dollar(shown):
    for call in shown["calls"]:
        recomputed = 0
        for attempt in call["attempt_list"]:
            if attempt["cost_status"] in {"unbilled", "indeterminate"}:
                assert attempt["cost_nano_usd"] == 0
                continue
            price = attempt["price_nano_usd_per_million"]
            cached, written = attempt["cached_input_tokens"], attempt["cache_write_tokens"]
            millionths = (
                (attempt["input_tokens"] - cached - written) * price["input"]
                + cached * price["cached_input"]
                + written * price["cache_write"]
                + attempt["output_tokens"] * price["output"]
            )
            recomputed += round(Fraction(millionths, 1_000_000))
        assert recomputed == call["cost_nano_usd"]
        assert call["cost_usd"] == call["cost_nano_usd"] / 1e9
    assert sum(call["cost_nano_usd"] for call in shown["calls"]) == round(shown["total_cost_usd"] * 1e9)


def test_there_is_one_server_and_one_route_span_per_call_and_a_client_span_per_attempt(shown):
    calls, attempts = len(shown["calls"]), sum(call["attempts"] for call in shown["calls"])
    assert shown["spans"] == {"total": 2 * calls + attempts, "server": calls, "route": calls, "client": attempts}


def test_for_people_it_ends_with_a_table_totals_and_a_trace():
    result = demo("--limit", "3")
    assert result.returncode == 0, result.stderr
    assert "saved" in result.stdout
    assert "llm_router.route" in result.stdout


def test_prompts_of_ones_own_may_have_several_turns(tmp_path):
    file = tmp_path / "prompts.jsonl"
    file.write_text(
        json.dumps({"turns": ["Name a river.", "And another one."]}) + "\n" + json.dumps({"prompt": "Hello"}) + "\n"
    )
    result = demo("--json", "--prompts", file)
    assert result.returncode == 0, result.stderr
    assert len(json.loads(result.stdout)["calls"]) == 3


@pytest.mark.parametrize(
    ("line", "words"),
    [("{", "not a JSON object"), ("[]", "expected a JSON object"), ('{"feature": "x"}', "give it one")],
)
def test_a_bad_prompt_file_is_reported_with_the_line(tmp_path, line, words):
    file = tmp_path / "prompts.jsonl"
    file.write_text('{"prompt": "fine"}\n' + line + "\n")
    with pytest.raises(PromptFileError, match=words) as raised:
        read_prompts(file)
    assert f"{file}:2" in str(raised.value)
