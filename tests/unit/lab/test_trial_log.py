"""The log of paid calls: nothing is lost, whatever ends the run."""

from __future__ import annotations

from pathlib import Path

import pytest

from router_service.lab.asking import Said
from router_service.lab.trial_log import Graded, Reply, TrialLog, TrialLogError


def reply(prompt: str = "1", **more: object) -> Reply:
    request_id = str(more.pop("request_id", f"r{prompt}"))
    said = Said(**{"answer": "text", "cost": 5, **more})  # type: ignore[arg-type]
    return Reply(prompt=prompt, digest="d", subject="model:a", request_id=request_id, said=said)


def test_what_was_recorded_is_there_again(tmp_path: Path) -> None:
    file = tmp_path / "results.jsonl"
    graded = Graded(of="r1", judge="model:j", rubric="", request_id="g1", score=0.5, cost=2)
    with TrialLog(file) as log:
        log.append(reply())
        log.append(graded)
    assert file.stat().st_mode & 0o077 == 0
    with TrialLog(file, resume=True) as log:
        assert log.recorded.reply("1", "d", "model:a") == reply()
        assert log.recorded.reply("1", "changed", "model:a") is None
        assert log.recorded.grade("r1", "model:j", "") == graded
        assert log.recorded.grade("r1", "model:other", "") is None
        assert log.recorded.spent == 7


def test_a_failure_does_not_replace_an_answer_but_an_answer_a_failure(tmp_path: Path) -> None:
    with TrialLog(tmp_path / "results.jsonl") as log:
        log.append(reply(error="DEADLINE_EXCEEDED", answer=None))
        log.append(reply(request_id="second"))
        log.append(reply(error="DEADLINE_EXCEEDED", answer=None))
        found = log.recorded.reply("1", "d", "model:a")
        assert found is not None
        assert found.request_id == "second"
        assert log.recorded.spent == 15


def test_a_line_that_a_crash_cut_is_removed_and_the_rest_goes_on(tmp_path: Path) -> None:
    file = tmp_path / "results.jsonl"
    with TrialLog(file) as log:
        log.append(reply("1"))
        log.append(reply("2"))
    file.write_bytes(file.read_bytes()[:-20])
    for _ in range(2):
        with TrialLog(file, resume=True) as log:
            assert log.recorded.reply("1", "d", "model:a") is not None
            assert log.recorded.reply("2", "d", "model:a") is None
    with TrialLog(file, resume=True) as log:
        log.append(reply("3"))
    with TrialLog(file, resume=True) as log:
        assert log.recorded.reply("3", "d", "model:a") is not None


def test_a_last_line_without_its_end_is_not_run_into(tmp_path: Path) -> None:
    file = tmp_path / "results.jsonl"
    with TrialLog(file) as log:
        log.append(reply("1"))
    file.write_bytes(file.read_bytes().rstrip(b"\n"))
    with TrialLog(file, resume=True) as log:
        log.append(reply("2"))
    with TrialLog(file, resume=True) as log:
        assert log.recorded.reply("1", "d", "model:a") is not None
        assert log.recorded.reply("2", "d", "model:a") is not None


def test_an_earlier_run_is_neither_overwritten_nor_mistaken(tmp_path: Path) -> None:
    file = tmp_path / "results.jsonl"
    with TrialLog(file) as log:
        log.append(reply())
    with pytest.raises(TrialLogError, match="Go on with it by --resume"):
        TrialLog(file)
    other = tmp_path / "prompts.jsonl"
    other.write_text('{"prompt": "not a result"}\n{}\n')
    with pytest.raises(TrialLogError, match=r"prompts\.jsonl:1: is no result"):
        TrialLog(other, resume=True)
    with pytest.raises(TrialLogError, match=r"Cannot write .*: No such file"):
        TrialLog(tmp_path / "nowhere" / "results.jsonl")
