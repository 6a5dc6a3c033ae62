"""The harness behind `make eval-routing`, on the synthetic set."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from synthetic import SYNTHETIC

from benchmarks.routing import __main__ as harness
from benchmarks.routing.edits import EDITS
from benchmarks.routing.goals import Goal
from router_service.config.router_file import shipped
from router_service.routing.excerpt import excerpt
from router_service.routing.learned import Learned


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr("sys.argv", ["benchmarks.routing", *map(str, arguments)])
    return harness.main()


def test_any_set_in_the_documented_format_is_evaluated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "results.json"
    assert run(monkeypatch, "--data", SYNTHETIC, "--json", out) == 0
    found = json.loads(out.read_text())["sets"]["synthetic.jsonl"]
    curves = found["curves"]
    assert curves["random"]["apgr"] == 0.5
    assert curves["oracle"]["apgr"] == max(one["apgr"] for one in curves.values())
    assert curves["gate + pre-router"]["folds"] == 6
    assert curves["gate only"]["apgr"] > 0.8
    assert [line["keep"] for line in found["savings"]] == [0.95, 0.98, 0.99, 1.0]
    assert found["calibration"]["missed"] <= found["calibration"]["missed_plug_in"]
    assert found["robustness"]["learned"]["lower case"] == 1.0
    assert "gate + pre-router" in capsys.readouterr().out


def line(prompt: str, small: float, large: float) -> str:
    return json.dumps({"prompt": prompt, "outcomes": {"small": small, "large": large}}) + "\n"


@pytest.mark.parametrize(
    "lines",
    [
        [line("one", 0, 1), line("two", 1, 1)],
        [line(f"prompt {one}", 1, 1) for one in range(70)],
        [line("the same", one % 2, 1) for one in range(70)],
        [line("", one % 2, 1) for one in range(70)],
        [line(f"为什么天空是蓝色的 {one}", one % 2, 1) for one in range(70)],
        [line("very long " * 20_000, one % 2, 1) for one in range(4)],
    ],
    ids=["two prompts", "no gap", "duplicates", "empty", "Chinese", "very long"],
)
def test_odd_sets_are_evaluated_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lines: list[str]) -> None:
    data, out = tmp_path / "odd.jsonl", tmp_path / "results.json"
    data.write_text("".join(lines))
    monkeypatch.setattr("benchmarks.routing.evaluation._SAVING_SPLITS", 1)
    assert run(monkeypatch, "--data", data, "--json", out) == 0
    assert json.loads(out.read_text())["sets"]["odd.jsonl"]["prompts"] == len(lines)


def odd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lines: Iterable[str]) -> dict[str, Any]:
    data, out = tmp_path / "odd.jsonl", tmp_path / "results.json"
    data.write_text("".join(lines))
    monkeypatch.setattr("benchmarks.routing.evaluation._SAVING_SPLITS", 1)
    assert run(monkeypatch, "--data", data, "--json", out) == 0
    found: dict[str, Any] = json.loads(out.read_text())["sets"]["odd.jsonl"]
    return found


def answered(one: int, row: str) -> str:
    """All but every third prompt."""
    return row if one % 3 else json.dumps({**json.loads(row), "responses": {"small": None}}) + "\n"


def test_gates_are_judged_by_the_prompts_that_have_an_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = SYNTHETIC.read_text().splitlines(keepends=True)[:90]
    found = odd(tmp_path, monkeypatch, [answered(one, row) for one, row in enumerate(rows)])
    assert found["prompts"] == 90
    assert {"gate only", "gate + pre-router"} < found["curves"].keys()
    assert found["savings_by"] == {"router": "gate + pre-router", "prompts": 60}
    assert found["calibration"]["labels"] == 60 // 2
    told = "note: 60 prompts have an answer of small; gates are judged by these alone"
    assert told in capsys.readouterr().out


def test_what_is_not_there_is_told_with_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = odd(tmp_path, monkeypatch, [line(f"prompt {one}", one % 2, 1) for one in range(50)])
    assert found["absent"] == {
        "savings, calibration": "60 prompts are needed",
        "ours, 1,500 labels": "a half has 25 prompts, and more than 1,500 are needed",
        "gate only": "there are no `responses` of small",
        "gate + pre-router": "there are no `responses` of small",
    }
    assert found["notes"] == [
        "without prices of both models, above 0, a call of small is taken to cost 10% of one of large"
    ]
    assert "a half has 25 prompts" in capsys.readouterr().out
    none = odd(tmp_path, monkeypatch, [line(f"prompt {one}", 1, 1) for one in range(2)])["absent"]
    assert none["curves"] == "large is no better than small here: there is no gap to recover"


def test_a_gap_that_may_be_chance_and_repeated_prompts_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = odd(tmp_path, monkeypatch, [line("same", one % 2, one % 2 or one == 0) for one in range(20)])
    assert found["gap"]["mean"] == 0.05
    assert found["gap"]["low"] < 0 < found["gap"]["high"]
    told = "\n".join(found["notes"])
    assert "large's gain of 0.050 cannot be told from none" in told
    assert "19 prompts repeat an earlier one" in told


def test_of_a_file_all_figures_are_written_beside_those_of_the_three_sets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.jsonl").write_text(line("one", 0, 1) + line("two", 1, 1))
    monkeypatch.setattr(harness, "RESULTS", tmp_path / "routing.json")
    assert run(monkeypatch, "--data", tmp_path / "mine.jsonl") == 0
    assert list(json.loads((tmp_path / "routing-mine.json").read_text())["sets"]) == ["mine.jsonl"]
    assert f"written to {tmp_path / 'routing-mine.json'}" in capsys.readouterr().out


def test_a_long_run_says_what_it_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(harness, "_TELL_EVERY_SECONDS", 0.0)
    odd(tmp_path, monkeypatch, [line(f"prompt {one}", one % 2, 1) for one in range(60)])
    told = capsys.readouterr().err
    assert "odd.jsonl: ours, half/half: half 6 of 6 (" in told
    assert "odd.jsonl: calibration 200 of 200" in told


def test_many_prompts_are_judged_by_several_processes_and_alike(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [line(f"prompt {one % 7} of {one}", one % 2, 1) for one in range(60)]
    alone = odd(tmp_path, monkeypatch, lines)
    monkeypatch.setattr("benchmarks.routing.evaluation._MANY", 60)
    among = odd(tmp_path, monkeypatch, lines)
    for figures in ("curves", "savings", "calibration"):
        assert among[figures] == alone[figures]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        pytest.param(["--data", "{tmp}"], "Cannot read {tmp}: Is a directory.", id="a folder as the file"),
        pytest.param(["--data", "{tmp}/none"], "Cannot read {tmp}/none: No such file", id="no file"),
        pytest.param(["{tmp}/a.jsonl"], "evaluate it with --data {tmp}/a.jsonl", id="a file as the folder"),
        pytest.param(["{tmp}", "--weak", "a"], "--weak and --strong choose models of --data FILE", id="no models"),
        pytest.param(["--data", "{tmp}/a.jsonl", "--json", "{tmp}/b/c"], "{tmp}/b/c cannot be written", id="no way"),
        pytest.param(["--data", "{tmp}/a.jsonl", "--weak", "x"], 'no prompt has an outcome of "x"', id="no such model"),
    ],
)
def test_what_cannot_be_done_is_said_before_any_work(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    told: str,
) -> None:
    (tmp_path / "a.jsonl").write_text(line("one", 0, 1) + line("two", 1, 1))
    monkeypatch.setattr(harness, "evaluated", None)
    try:
        code: object = run(monkeypatch, *(one.format(tmp=tmp_path) for one in arguments))
    except SystemExit as ended:
        code = ended.code
    assert code == 2
    assert told.format(tmp=tmp_path).lower() in capsys.readouterr().err.lower()


def test_without_the_data_it_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, tmp_path / "nothing") == 2
    assert "The data is not there" in capsys.readouterr().err


def test_a_goal_is_met_from_its_figure_on() -> None:
    assert Goal(1, "at least", 0.7, 0.7).met
    assert not Goal(1, "at least", 0.7, 0.69).met
    assert str(Goal(3, "at most", 5, 6, at_most=True)) == "3  MISSED  at most: 6, wanted <= 5"


@pytest.mark.parametrize("name", EDITS)
def test_an_edit_changes_the_text_and_not_what_is_asked(name: str) -> None:
    text = "Explain how vaccines protect children against measles in crowded cities."
    edited = EDITS[name](text, random.Random(0))
    assert edited != text
    before, after = (Learned(shipped()).score(excerpt(one)) for one in (text, edited))
    assert abs(before - after) < 0.25
