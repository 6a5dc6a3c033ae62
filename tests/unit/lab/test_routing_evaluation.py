"""The harness behind `make eval-routing`, on the synthetic set."""

from __future__ import annotations

import json
import random
from pathlib import Path

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
