"""`llmrouter eval --recorded`: an experiment and a shadow run over a real server, and what the report says of them."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE, STDOUT
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from running_router import CONFIGURATION, Running, billed, configured, running, until
from typer.testing import CliRunner

from router_service.cli.main import app
from router_service.simulator import SimulatedModel, Simulator

LLMROUTER = Path(sys.executable).parent / "llmrouter"
QUICK = {"first_token_seconds": 0.001, "tokens_per_second": 5000}
STRONG, WEAK = (
    SimulatedModel(name="gpt-4o", quality=1.0, **QUICK),
    SimulatedModel(name="deepseek-chat", quality=0.0, **QUICK),
)
ARMS = {"control": {"weight": 50}, "treated": {"weight": 50, "use": "deepseek-chat"}}
SHADOW = {
    "use": "deepseek-chat",
    "share": 1,
    "max_cost": {"usd": 5},
    "gates": ["not_refusal", "not_hedging", "not_empty"],
}
USERS = [f"user-{number}" for number in range(24)]


def served(folder: Path, texts: float = 1.0, **policy: Any) -> dict[str, Any]:
    """One policy that is served by gpt-4o, whose calls are recorded with a share of their texts."""
    recorded = {"texts": {"prompts": True, "answers": True, "share": texts}} if texts else {}
    return configured(
        ledger={"folder": str(folder / "ledger"), **recorded},
        features={"short": {"max_output_tokens": 40}},
        policies={"default": {**CONFIGURATION["policies"]["default"], "rules": [{"use": "gpt-4o"}], **policy}},
    )


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    async with Simulator([STRONG, WEAK]) as simulator:
        yield simulator


@dataclass
class Ended:
    """How a command ended."""

    exit_code: int | None
    output: str


async def evaluated(router: Running, *arguments: object) -> Ended:
    """The command beside the router that runs in this loop; in a process of its own where it hears of signals."""
    asked = ["eval", "--recorded", *(str(one) for one in arguments)]
    if "--judge" not in asked:
        result = await asyncio.to_thread(CliRunner().invoke, app, asked, env=router.environ)
        return Ended(result.exit_code, result.output)
    environ = {**os.environ, **router.environ}
    process = await asyncio.create_subprocess_exec(LLMROUTER, *asked, stdout=PIPE, stderr=STDOUT, env=environ)
    out, _ = await process.communicate()
    return Ended(process.returncode, out.decode())


async def reported(router: Running, folder: Path, *arguments: object, code: int = 0) -> dict[str, Any]:
    """The report as JSON, which the page and the terminal agree with."""
    files = ("--json", folder / "report.json", "--html", folder / "report.html")
    result = await evaluated(router, *arguments, *files)
    assert result.exit_code == code, result.output
    report: dict[str, Any] = json.loads((folder / "report.json").read_text())
    page = (folder / "report.html").read_text()
    for line in report["conclusions"]:
        assert line in result.output
        assert line.replace('"', "&quot;") in page
    return report


def by_subject(report: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {one["subject"]: one for one in report["subjects"]}


async def shadowed(router: Running) -> None:
    async def over() -> bool:
        return router.application.engine.shadows.under_way == 0

    await until(over)


async def test_an_experiment_is_reported_by_the_arm_assigned_and_by_feedback(
    simulator: Simulator, tmp_path: Path
) -> None:
    configuration = served(tmp_path, experiments={"cheap": {"when": {"feature": "short"}, "arms": ARMS}})
    async with running(tmp_path, configuration, simulator=simulator) as router:
        client = router.client()
        fell_to: dict[str, str] = {}
        for user in USERS:
            for turn in range(2):
                receipt = (await client.complete(f"Tell me of tides, {turn}.", feature="short", user=user)).receipt
                fell_to[user] = receipt.arm
                # The weaker model's answers please one user in three.
                pleases = (
                    receipt.arm == "control" or len([one for one in fell_to.values() if one == "treated"]) % 3 == 0
                )
                await client.record_feedback(receipt.request_id, thumbs="up" if pleases else "down", author=user)
        # Of a user who falls to the treated arm while its provider refuses the key: others answer.
        treated = next(user for user, arm in fell_to.items() if arm == "treated")
        simulator.fail("deepseek-chat", "unauthorized", times=None)
        for _ in range(2):
            unhonoured = (await client.complete("Tell me more.", feature="short", user=treated)).receipt
        assert (unhonoured.arm, unhonoured.arm_honoured, unhonoured.model) == ("treated", False, "gpt-4o")
        await client.complete("Outside of it.", feature="long", user=treated)
        await router.shipped()
        report = await reported(router, tmp_path, "--experiment", "cheap", "--config", router.file)
        only = await evaluated(router, "--experiment", "cheap", "--config", router.file, "--feature", "long")
        other = await evaluated(router, "--experiment", "chaep", "--config", router.file)
    shares = Counter(fell_to.values())
    recorded = report["recorded"]
    assert (recorded["experiment"], recorded["measure"]) == ("cheap", "feedback")
    assert recorded["arms"] == {
        "control": {"calls": 2 * shares["control"], "not_honoured": 0, "keys": shares["control"]},
        "treated": {"calls": 2 * shares["treated"] + 2, "not_honoured": 1, "keys": shares["treated"]},
    }
    assert recorded["sample_ratio"]["counts"] == shares
    assert recorded["sample_ratio"]["p"] > 0.001
    subjects = by_subject(report)
    # A user is one observation, however many calls it made.
    assert {arm: one["quality"]["count"] for arm, one in subjects.items()} == shares
    assert subjects["control"]["quality"]["mean"] == 1.0
    assert subjects["treated"]["quality"]["mean"] < 0.6
    assert subjects["treated"]["standing"]["standing"] == "does not"
    assert report["cheapest_that_meets"] == "control"
    assert {one["source"] for one in report["trials"]} == {"feedback", None}
    # All of the calls' attempts are paid for, also those that another arm's model made.
    assert sum(one["total_cost"] for one in subjects.values()) == billed(
        router.application, [entry for entry in simulator.journal if "Outside" not in str(entry.body)]
    )
    told = " ".join(report["caveats"])
    assert "control 0 of" in told
    assert "no sample of all" in told
    assert "100.0%" in told
    assert "as two groups" in told
    assert "WARNING" not in told
    assert only.exit_code == 1
    assert "no call of the experiment cheap with the feature long" in only.output
    assert "There are calls of the experiments cheap." in other.output


async def test_shares_that_are_not_those_of_the_weights_are_a_warning(simulator: Simulator, tmp_path: Path) -> None:
    experiment = {"cheap": {"key": "request", "arms": ARMS}}
    async with running(tmp_path, served(tmp_path, experiments=experiment), simulator=simulator) as router:
        calls = (router.client().complete("Hello", feature="short", request_id=f"r-{at}") for at in range(40))
        await asyncio.gather(*calls)
        await router.shipped()
        text = router.file.read_text()
        router.file.write_text(text.replace("weight: 50", "weight: 150", 1))
        report = await reported(router, tmp_path, "--experiment", "cheap", "--config", router.file)
        database = f"sqlite:///{tmp_path / 'ledger' / 'ledger.db'}"
        unaware = await reported(router, tmp_path, "--experiment", "cheap", "--database", database)
    assert report["recorded"]["sample_ratio"]["is_off"], report["recorded"]
    assert any(one.startswith("WARNING: the arms did not get") for one in report["caveats"])
    # Nobody judged anything: costs and latencies are all there is.
    assert report["recorded"]["measure"] is None
    assert [one["quality"] for one in report["subjects"]] == [None, None]
    assert any("No quality is known" in one for one in report["caveats"])
    assert unaware["recorded"]["sample_ratio"] is None


async def test_a_shadow_is_compared_pair_by_pair_by_its_gates_and_by_a_judge(
    simulator: Simulator, tmp_path: Path
) -> None:
    async with running(tmp_path, served(tmp_path, shadow={"try": SHADOW}), simulator=simulator) as router:
        client = router.client()
        prompts = [f"Tell me of river {number}." for number in range(30)]
        simulator.fail("deepseek-chat", "bad_request", times=1)
        for prompt in prompts:
            await client.complete(prompt, feature="short")
            await shadowed(router)
        await router.shipped()
        spent = {
            model: billed(router.application, [entry for entry in simulator.journal if entry.model == model])
            for model in ("gpt-4o", "deepseek-chat")
        }
        asked = ("--shadow", "default/try", "--config", router.file)
        report = await reported(router, tmp_path, *asked, "--against", "gpt-4o")
        judged = (
            *asked,
            "--judge",
            "gpt-4o",
            "--address",
            f"127.0.0.1:{router.port}",
            "--results",
            tmp_path / "grades",
        )
        received = simulator.journal.received
        dry = await evaluated(router, *judged, "--dry-run")
        assert simulator.journal.received == received
        capped = await reported(router, tmp_path, *judged, "--max-cost", "0.02", code=1)
        some = simulator.journal.received - received
        graded = await reported(router, tmp_path, *judged, "--resume")
        assert simulator.journal.received == received + 59
    assert (report["recorded"]["measure"], report["recorded"]["pairs"]) == ("gates", 30)
    subjects = by_subject(report)
    for model, one in subjects.items():
        assert (one["calls"], one["quality"]["count"], one["total_cost"]) == (30, 30, spent[model])
    # What the shadow's model refused to answer counts against it, beside what its parent made of the prompt.
    assert subjects["deepseek-chat"]["sources"] == {"gates": 29, "failure": 1}
    assert subjects["gpt-4o"]["quality"]["mean"] > subjects["deepseek-chat"]["quality"]["mean"]
    assert subjects["deepseek-chat"]["standing"]["over"]["paired"]
    assert subjects["deepseek-chat"]["standing"]["standing"] == "does not"
    by_prompt = Counter(one["prompt"] for one in report["trials"] if one["answer"])
    assert sorted(by_prompt.values()) == [1] + [2] * 29
    assert set(by_prompt) == set(prompts)
    page = (tmp_path / "report.html").read_text()
    assert "Tell me of river 7." in page
    # The judge: within its cap, gone on with, and paid once.
    assert "judge, at most" in dry.output
    assert "59" in dry.output
    assert 0 < some < 59
    assert "--max-cost leaves no room" in capped["caveats"][0]
    assert {one["source"] for one in graded["trials"]} == {"judge", "failure"}
    assert graded["judging"]["is_compared"]
    assert graded["judging"]["graded"] == 59
    assert by_subject(graded)["gpt-4o"]["quality"]["mean"] > by_subject(graded)["deepseek-chat"]["quality"]["mean"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "compares one thing"),
        (("--experiment", "a", "--shadow", "default/b"), "compares one thing"),
        (("--experiment", "a", "--models", "gpt-4o"), "leave --models and --policies out"),
        (("--experiment", "a", "--evidence", "gates", "--judge", "gpt-4o"), "--evidence is for --experiment"),
        (("prompts.txt", "--experiment", "a"), "and not both"),
        (("--experiment", "a"), "Say where the ledger is"),
    ],
)
def test_what_is_not_one_question_is_refused(arguments: tuple[str, ...], said: str) -> None:
    result = CliRunner().invoke(app, ["eval", "--recorded", *arguments])
    assert result.exit_code == 2
    assert said in " ".join(result.output.split())


def test_options_of_recorded_calls_are_not_overlooked_beside_prompts() -> None:
    result = CliRunner().invoke(app, ["eval", "prompts.txt", "--models", "a", "--shadow", "default/try"])
    assert result.exit_code == 2
    assert "are for --recorded" in result.output
