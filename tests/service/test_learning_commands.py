"""The commands train and calibrate, and a policy that names what they made."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from router_service.cli.main import app

SYNTHETIC = Path(__file__).parents[1] / "unit" / "lab" / "synthetic.jsonl"
HARD = "Prove what remains of 60 when 7 is taken away, then state the sum of 60 and 7."
POLICY = """
providers: {{openai: {{api_key: "sk-test"}}}}
models: {{small: {{provider: openai, context_window: 8000}}, large: {{provider: openai, context_window: 8000}}}}
policies:
  default:
    classifier: {classifier}
    rules:
      - {{name: hard, when: {{complexity: complex}}, use: large}}
      - {{name: rest, use: small}}
"""


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(one) for one in arguments])


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    trained = run("train", SYNTHETIC, "--out", tmp_path / "own.json", "--keep", 0.97, "--confidence", 0.9)
    assert trained.exit_code == 0, trained.output
    assert "APGR" in trained.output
    file = tmp_path / "router.yaml"
    file.write_text(POLICY.format(classifier="{use: own.json, complex_from: 0.6}"))
    return file


def test_a_policy_names_what_was_trained_and_explain_shows_why(policy: Path) -> None:
    hard = run("explain", HARD, "--config", policy)
    assert "complex (learned, score 0." in hard.output
    assert "complexity  own.json: its score" in hard.output
    assert re.search(r"; by [^+-]+ [+-]0\.\d\d, ", hard.output)
    assert "1. large" in hard.output
    easy = run("explain", "Add 4 and 5.", "--config", policy)
    assert "1. small" in easy.output


def test_what_calibrate_prints_of_confidence_is_a_gate_of_the_policy(tmp_path: Path) -> None:
    labels = tmp_path / "labels.jsonl"
    with labels.open("w") as file:
        for number, line in enumerate(SYNTHETIC.read_text().splitlines()):
            sure = {"confidence": {"small": number % 100 / 100}}
            file.write(json.dumps({**json.loads(line), **sure}) + "\n")
    found = run("calibrate", labels, "--classifier", "heuristic", "--keep", 0.8, "--weak", "small", "--strong", "large")
    assert found.exit_code == 0, found.output
    gate = found.output.strip().rpartition("right: ")[2]
    assert gate.startswith("{gate: confident, calibration: [[")
    file = tmp_path / "router.yaml"
    file.write_text(POLICY.format(classifier="heuristic") + f"    escalate: {{gates: [{gate}], threshold: 0.8}}\n")
    checked = run("check", file)
    assert checked.exit_code == 0, checked.output


def test_what_calibrate_prints_is_a_setting_of_the_policy(tmp_path: Path) -> None:
    found = run("calibrate", SYNTHETIC, "--classifier", "heuristic", "--keep", 0.8)
    assert found.exit_code == 0, found.output
    file = tmp_path / "router.yaml"
    file.write_text(POLICY.format(classifier=found.output.strip().rpartition("classifier: ")[2]))
    checked = run("check", file)
    assert checked.exit_code == 0, checked.output


@pytest.mark.parametrize(
    ("classifier", "told"),
    [
        ("missing.json", "cannot read missing.json"),
        ("broken.json", "broken.json is no router file"),
        ("llm", "llm and the models that it means come together"),
        ("{use: heuristic, llm: gpt-4o-mini}", "llm and the models that it means come together"),
        ("{use: llm, band: [0.4, 0.6], then: heuristic, llm: m}", "llm gives no score that a band could hold"),
        ("{use: llm, llm: gpt-5}", "there is no model or deployment gpt-5"),
        ("{use: learned, band: [0.6, 0.4], then: heuristic}", "the band is no range of scores"),
        ("{use: learned, band: [0.4, 0.6]}", "`band` and `then` come together"),
        ("{use: learned, moderate_from: 0.9, complex_from: 0.1}", "`moderate_from` is above `complex_from`"),
    ],
)
def test_a_classifier_that_cannot_be_is_reported_with_its_place(tmp_path: Path, classifier: str, told: str) -> None:
    (tmp_path / "broken.json").write_text('{"format": 1}')
    file = tmp_path / "router.yaml"
    file.write_text(POLICY.format(classifier=classifier))
    checked = run("check", file)
    assert checked.exit_code == 1
    assert told in checked.output
    assert f"{file}:6:" in checked.output


def test_results_that_cannot_be_read_end_the_command_with_a_word(tmp_path: Path) -> None:
    assert "Cannot read" in run("train", tmp_path / "nothing.jsonl").output
    few = tmp_path / "few.jsonl"
    few.write_text(json.dumps({"prompt": "p", "outcomes": {"a": 1, "b": 0}}) + "\n")
    assert run("calibrate", few).exit_code == 2


def test_prompts_that_do_not_differ_are_too_few_to_learn_from(tmp_path: Path) -> None:
    same = tmp_path / "same.jsonl"
    same.write_text((json.dumps({"prompt": "", "outcomes": {"a": 1, "b": 0}}) + "\n") * 200)
    found = run("train", same, "--out", tmp_path / "own.json")
    assert found.exit_code == 1
    assert "200 prompts, of which 1 differ, leave 0 to learn from and 200 to judge by" in found.output
    assert not (tmp_path / "own.json").exists()


def test_which_of_several_models_are_meant_is_noted(tmp_path: Path) -> None:
    file = tmp_path / "three.jsonl"
    rows = [{"prompt": f"p{one}", "outcomes": {"a": -1, "b": -1, "c": -1}} for one in range(30)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = run("calibrate", file, "--classifier", "heuristic")
    assert found.exit_code == 0, found.output
    assert "note: of 3 models a is the best, and b the worst of the others" in found.stderr
    assert "note: scores go down to -1" in found.stderr
    assert "no call goes to it; 100.0% of its quality" in found.stdout
    file.write_text("".join(json.dumps({**row, "outcomes": {"a": 0, "b": 1}}) + "\n" for row in rows))
    assert "every call goes to it" in run("calibrate", file, "--classifier", "heuristic").stdout
