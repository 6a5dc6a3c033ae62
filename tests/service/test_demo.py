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
        timeout=240,
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
    titles = [call["prompt"] for call in json.loads(result.stdout)["calls"]]
    assert titles == ["Name a river.", "Name a river. (turn 2)", "Hello"]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{", "not a JSON object"),
        ("[]", "expected a JSON object"),
        ('{"feature": "x"}', "give it one"),
        ('{"turns": "x"}', "a list of texts"),
        ('{"messages": "x"}', "`messages` must be a list"),
    ],
)
def test_a_bad_prompt_file_is_reported_with_the_line(tmp_path, line, words):
    file = tmp_path / "prompts.jsonl"
    file.write_text('{"prompt": "fine"}\n' + line + "\n")
    with pytest.raises(PromptFileError, match=words) as raised:
        read_prompts(file)
    assert f"{file}:2" in str(raised.value)


def test_all_bad_lines_are_reported(tmp_path):
    file = tmp_path / "prompts.jsonl"
    file.write_text('{\n{"prompt": "fine"}\n[]\n')
    with pytest.raises(PromptFileError) as raised:
        read_prompts(file)
    assert [line.split(": ")[0] for line in str(raised.value).splitlines()] == [f"{file}:1", f"{file}:3"]


def test_line_separators_within_a_prompt_end_no_line(tmp_path):
    file = tmp_path / "prompts.jsonl"
    file.write_text('{"prompt": "a\u2028b\u0085c"}\r\n{"prompt": "d"}', "utf-8")
    assert [prompt.turns for prompt in read_prompts(file)] == [("a\u2028b\u0085c",), ("d",)]


@pytest.mark.parametrize(
    ("content", "says"), [(b"\n", "holds no prompts; write one a line"), (b'{"prompt": "\xff"}', "not UTF-8 text")]
)
def test_a_file_without_readable_prompts_says_what_to_do(tmp_path, content, says):
    file = tmp_path / "prompts.jsonl"
    file.write_bytes(content)
    result = demo("--prompts", file)
    assert result.returncode == 1
    assert says in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_a_prompt_that_cannot_be_sent_fails_alone(tmp_path):
    file = tmp_path / "prompts.jsonl"
    file.write_text('{"prompt": "a", "labels": {"n": 1}}\n{"prompt": "b"}\n')
    result = demo("--json", "--prompts", file)
    assert result.returncode == 1
    refused, answered = json.loads(result.stdout)["calls"]
    assert refused["error"].startswith("NOT_SENT: Labels are texts")
    assert answered["error"] == ""
