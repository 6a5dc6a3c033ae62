"""`llmrouter eval` over a real router and the simulated provider: recorded, capped, broken off, gone on with."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from llmrouter import AsyncClient
from router_service.cli.eval_router import EvalRouter, resolved
from router_service.domain.chat import Chat
from router_service.lab.asking import RouterGone, Said, Subject, SubjectKind
from router_service.lab.comparison import Bar
from router_service.lab.evaluate import Evaluation
from router_service.lab.grading import Grader
from router_service.lab.judge import NO_GRADE
from router_service.lab.paying import CANCELLED
from router_service.lab.planning import planned
from router_service.lab.prompt_set import EvalPrompt, read_prompt_set
from router_service.lab.reached import Reached
from router_service.lab.report import report_on
from router_service.lab.trial_log import Recorded, TrialLog
from router_service.lab.trials import Source
from router_service.simulator import SimulatedModel, Simulator
from router_service.simulator.faults import Fault, FaultKind
from router_service.simulator.journal import Outcome
from router_service.simulator.script import Rule
from tests.service.running_router import Running, billed, configured, running

DEAR, CHEAP = Subject(SubjectKind.DEPLOYMENT, "gpt-4o"), Subject(SubjectKind.DEPLOYMENT, "deepseek-chat")
BOTH = (DEAR, CHEAP)


@pytest.fixture
async def router(tmp_path: Path) -> AsyncIterator[Running]:
    async with running(tmp_path) as router:
        yield router


@pytest.fixture
def prompts(tmp_path: Path) -> list[EvalPrompt]:
    file = tmp_path / "prompts.jsonl"
    lines = [
        {"id": f"sum-{n}", "prompt": f"What is {n} + 3?", "expected": n + 3, "feature": "sums", "max_output_tokens": 20}
        for n in range(6)
    ]
    file.write_text("\n".join(json.dumps(line) for line in lines))
    return read_prompt_set(file)


def asking(client: AsyncClient, prompts: Sequence[EvalPrompt], log: TrialLog, **more: Any) -> Evaluation:
    router = more.pop("router", None) or EvalRouter(client, timeout=60)
    subjects = more.pop("subjects", BOTH)
    return Evaluation(router, prompts, subjects, log=log, grader=Grader(), **more)


class Watched(EvalRouter):
    """The router, with something to do before each call."""

    def __init__(self, client: AsyncClient, before: Callable[[int], Awaitable[None]]) -> None:
        super().__init__(client, timeout=60)
        self._before = before
        self.asked = self.now = self.most = 0

    async def ask(self, subject: Subject, chat: Chat, **more: Any) -> Said:
        self.asked += 1
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await self._before(self.asked)
            return await super().ask(subject, chat, **more)
        finally:
            self.now -= 1


async def test_every_call_is_graded_priced_and_traceable(
    router: Running, prompts: list[EvalPrompt], tmp_path: Path
) -> None:
    client, reached = router.client(), list[Reached]()
    with TrialLog(tmp_path / "r.jsonl") as log:
        evaluation = asking(client, prompts, log, changed=reached.append)
        await evaluation.run()
        found = evaluation.trials()
    assert [(one.prompt_id, one.subject) for one in found] == [(p.id, s.name) for p in prompts for s in BOTH]
    assert {(one.source, one.feature, one.cost_status) for one in found} == {(Source.EXPECTED, "sums", "actual")}
    assert sum(one.cost or 0 for one in found) == billed(router.application, router.simulator.journal)
    for one in found:
        receipt = await client.receipt(one.request_id)
        assert receipt.cost_nano_usd == one.cost
        assert receipt.deployment == one.subject
        assert one.path == (f"{one.subject} success",)
        assert one.latency == pytest.approx(receipt.duration.ToTimedelta().total_seconds())
        assert one.time_to_first_output is not None
    assert reached[-1] == Reached(12, 12, 0, sum(one.cost or 0 for one in found))
    report = report_on("sums", found, Bar(0.5))
    assert report.comparison.summaries[0].subject == "deepseek-chat"


async def test_no_more_calls_run_at_once_than_asked_for(
    router: Running, prompts: list[EvalPrompt], tmp_path: Path
) -> None:
    together = asyncio.Barrier(3)

    async def wait_for_two_others(_: int) -> None:
        await together.wait()

    watched = Watched(router.client(), wait_for_two_others)
    with TrialLog(tmp_path / "r.jsonl") as log:
        await asking(router.client(), prompts, log, router=watched, concurrency=3).run()
    assert (watched.asked, watched.most) == (12, 3)


async def test_a_run_that_broke_off_goes_on_where_it_was(
    router: Running, prompts: list[EvalPrompt], tmp_path: Path
) -> None:
    client, file = router.client(), tmp_path / "r.jsonl"
    with TrialLog(file) as log:

        async def stop_at_the_fifth(asked: int) -> None:
            if asked == 5:
                evaluation.stop("it was interrupted")

        evaluation = asking(client, prompts, log, concurrency=1, router=Watched(client, stop_at_the_fifth))
        await evaluation.run()
        assert evaluation.stopped_by == "it was interrupted"
        assert len(evaluation.trials()) == 5
    assert router.simulator.journal.received == 5
    with TrialLog(file, resume=True) as log:
        evaluation = asking(client, prompts, log)
        await evaluation.run()
        found = evaluation.trials()
    assert router.simulator.journal.received == 12
    assert sum(one.cost or 0 for one in found) == billed(router.application, router.simulator.journal)


async def test_what_changed_in_a_prompt_is_asked_anew_and_only_that(
    router: Running, prompts: list[EvalPrompt], tmp_path: Path
) -> None:
    client, file = router.client(), tmp_path / "r.jsonl"
    with TrialLog(file) as log:
        await asking(client, prompts, log).run()
    set_file = tmp_path / "prompts.jsonl"
    set_file.write_text(
        set_file.read_text().replace("What is 2 + 3?", "How much is 2 + 3?").replace('"expected": 6', '"expected": 7')
    )
    with TrialLog(file, resume=True) as log:
        evaluation = asking(client, read_prompt_set(set_file), log)
        await evaluation.run()
        by_id = {(one.prompt_id, one.subject): one.quality for one in evaluation.trials()}
    assert router.simulator.journal.received == 14
    # Another expected answer needs no new call: it is graded anew.
    assert by_id["sum-3", "gpt-4o"] == 0.0


async def test_leaving_calls_in_flight_keeps_what_is_paid_and_tells_of_them(
    router: Running, prompts: list[EvalPrompt], tmp_path: Path
) -> None:
    router.simulator.script.add(Rule(fault=Fault(kind=FaultKind.SILENT), contains="What is 4", times=None))
    client, file = router.client(), tmp_path / "r.jsonl"
    with TrialLog(file) as log:
        evaluation = asking(client, prompts, log, concurrency=1)
        work = asyncio.create_task(evaluation.run())
        silent = await router.simulator.journal.wait_for(lambda entry: "What is 4" in str(entry.body))
        work.cancel()
        with pytest.raises(asyncio.CancelledError):
            await work
        assert len(evaluation.trials()) == 8
    await router.simulator.journal.wait_for(lambda entry: entry is silent and entry.outcome is Outcome.ABORTED)
    last = json.loads(file.read_text().splitlines()[-1])
    assert (last["said"]["error"], last["prompt"], last["said"]["cost"]) == (CANCELLED, "sum-4", None)
    assert len(last["request_id"]) == 32
    router.simulator.script.heal()
    with TrialLog(file, resume=True) as log:
        evaluation = asking(client, prompts, log)
        await evaluation.run()
        assert len(evaluation.trials()) == 12
    assert router.simulator.journal.received == 13


async def test_a_cap_is_not_passed_and_holds_over_a_resume(
    router: Running, prompts: list[EvalPrompt], tmp_path: Path
) -> None:
    client, file = router.client(), tmp_path / "r.jsonl"
    plan = await planned(EvalRouter(client, timeout=60), prompts, BOTH, recorded=Recorded(), judge=None, concurrency=4)
    assert plan.calls == {"gpt-4o": 6, "deepseek-chat": 6}
    assert router.simulator.journal.received == 0
    assert plan.costs["gpt-4o"] is not None
    # Room for what two dear calls are estimated at, and not for what all cost.
    cap = plan.costs["gpt-4o"] // 3
    for resumed in (False, True):
        with TrialLog(file, resume=resumed) as log:
            evaluation = asking(client, prompts, log, cap=cap)
            await evaluation.run()
            assert evaluation.stopped_by == "--max-cost leaves no room for the next call"
            spent = log.recorded.spent
        assert 0 < spent <= cap
        assert spent == billed(router.application, router.simulator.journal)
    # What calls in flight turned out not to cost was used for others.
    assert 4 < router.simulator.journal.received < 12


async def test_a_cap_without_a_price_is_refused_before_the_call(tmp_path: Path, prompts: list[EvalPrompt]) -> None:
    models = {"unheard-of": {"provider": "openai"}}
    policies = {"default": {"rules": [{"use": ["unheard-of"]}]}}
    async with running(tmp_path, configured(models=models, policies=policies)) as router:
        with TrialLog(tmp_path / "r.jsonl") as log:
            subjects = [Subject(SubjectKind.MODEL, "unheard-of")]
            evaluation = asking(router.client(), prompts, log, subjects=subjects, cap=10)
            await evaluation.run()
            assert "unheard-of has no known price" in evaluation.stopped_by
        assert router.simulator.journal.received == 0


async def test_failures_are_told_by_reason_and_only_those_of_the_prompt_count_as_bad(
    router: Running, prompts: list[EvalPrompt], tmp_path: Path
) -> None:
    refused = Rule(fault=Fault(kind=FaultKind.CONTENT_FILTER), contains="What is 1", model="deepseek-chat", times=None)
    away = Rule(fault=Fault(kind=FaultKind.SERVER_ERROR), contains="What is 2", model="deepseek-chat", times=None)
    router.simulator.script.add(refused)
    router.simulator.script.add(away)
    file = tmp_path / "r.jsonl"
    with TrialLog(file) as log:
        evaluation = asking(router.client(), prompts, log, concurrency=1)
        await evaluation.run()
        found = {(one.prompt_id, one.subject): one for one in evaluation.trials()}
    filtered, failed = found["sum-1", "deepseek-chat"], found["sum-2", "deepseek-chat"]
    assert (filtered.error, filtered.quality, filtered.source) == ("CONTENT_FILTERED", 0.0, Source.FAILURE)
    assert (failed.error, failed.quality, failed.answer) == ("ATTEMPTS_EXHAUSTED", None, None)
    assert failed.path == ("deepseek-chat error", "deepseek-chat error")
    received = router.simulator.journal.received
    router.simulator.script.heal()
    with TrialLog(file, resume=True) as log:
        evaluation = asking(router.client(), prompts, log)
        await evaluation.run()
        assert not [one for one in evaluation.trials() if one.error]
    assert router.simulator.journal.received == received + 2


async def test_a_judge_grades_what_nothing_settles_and_its_cost_counts_apart(router: Running, tmp_path: Path) -> None:
    file = tmp_path / "prompts.jsonl"
    asked = [
        {"id": "settled", "prompt": "What is 2 + 2?", "expected": 4},
        {"id": "graded", "prompt": "Is 8/10 of a litre enough for two cups?", "rubric": "Says how much a cup is."},
        {"id": "broken", "prompt": "Tell me of the sea.", "rubric": "Mentions salt."},
    ]
    file.write_text("\n".join(json.dumps(line) for line in asked))
    judge = DEAR
    router.simulator.script.add(
        Rule(fault=Fault(kind=FaultKind.BAD_REQUEST), contains="Mentions salt.", model="gpt-4o", times=None)
    )
    results = tmp_path / "r.jsonl"
    with TrialLog(results) as log:
        evaluation = asking(router.client(), read_prompt_set(file), log, subjects=[CHEAP], judge=judge)
        await evaluation.run()
        found = {one.prompt_id: one for one in evaluation.trials()}
        judging = evaluation.judging()
    assert found["settled"].source is Source.EXPECTED
    assert found["graded"].source is Source.JUDGE
    [judged] = [one for one in router.simulator.journal if "Says how much" in str(one.body["messages"])]
    assert found["graded"].quality == json.loads(judged.intended)["score"] / 10
    assert (found["broken"].quality, found["broken"].source) == (None, None)
    assert judging is not None
    assert (judging.graded, judging.failures, judging.is_compared) == (1, {"UPSTREAM_REJECTED": 1}, False)
    of_judge = [entry for entry in router.simulator.journal if entry.model == "gpt-4o"]
    assert judging.cost == billed(router.application, of_judge)
    assert sum(one.cost or 0 for one in found.values()) == billed(
        router.application, [entry for entry in router.simulator.journal if entry.model != "gpt-4o"]
    )
    said = json.dumps([entry.body["messages"] for entry in of_judge])
    assert "Says how much a cup is." in said
    assert "deepseek" not in said
    received = router.simulator.journal.received
    with TrialLog(results, resume=True) as log:
        await asking(router.client(), read_prompt_set(file), log, subjects=[CHEAP], judge=judge).run()
    # What is graded is not graded again; what failed is.
    assert router.simulator.journal.received == received + 1


async def test_a_judge_that_says_no_grade_is_a_failure_of_the_judge(tmp_path: Path) -> None:
    file = tmp_path / "prompts.jsonl"
    file.write_text("\n".join(json.dumps({"prompt": f"Tell me of mountain {number}."}) for number in range(12)))
    # The weakest of judges often forgets the grade.
    models = [SimulatedModel(name="gpt-4o"), SimulatedModel(name="deepseek-chat", quality=0.0)]
    async with Simulator(models) as simulator, running(tmp_path, simulator=simulator) as router:
        with TrialLog(tmp_path / "r.jsonl") as log:
            evaluation = asking(router.client(), read_prompt_set(file), log, judge=CHEAP)
            await evaluation.run()
            judging, trials = evaluation.judging(), evaluation.trials()
    assert judging is not None
    assert judging.is_compared
    assert judging.failures.keys() == {NO_GRADE}
    ungraded = [one for one in trials if one.quality is None]
    assert 0 < len(ungraded) == judging.failures[NO_GRADE] == 24 - judging.graded < 24
    assert {one.source for one in ungraded} == {None}


async def test_policies_are_compared_as_they_route(router: Running, prompts: list[EvalPrompt], tmp_path: Path) -> None:
    subjects = [Subject(SubjectKind.POLICY, name) for name in ("default", "cheap")]
    with TrialLog(tmp_path / "r.jsonl") as log:
        evaluation = asking(router.client(), prompts, log, subjects=subjects)
        await evaluation.run()
        paths = {one.subject: one.path for one in evaluation.trials()}
    assert paths == {"default": ("gpt-4o success",), "cheap": ("deepseek-chat success",)}


async def test_a_limit_that_opens_soon_is_waited_for(tmp_path: Path, prompts: list[EvalPrompt]) -> None:
    waited: list[float] = []

    async def opened(seconds: float) -> None:
        waited.append(seconds)
        # Not before: a router reloads what was saved by itself, perhaps before the limit was met.
        router.file.write_text(router.file.read_text().replace("requests: 2", "requests: 1000"))
        await router.application.reload()

    limits = {"few": {"requests": 2, "window": "minute", "per": "tenant"}}
    async with running(tmp_path, configured(limits=limits)) as router:
        with TrialLog(tmp_path / "r.jsonl") as log:
            asked = EvalRouter(router.client(), timeout=60, sleep=opened)
            evaluation = asking(router.client(), prompts, log, router=asked, concurrency=1)
            await evaluation.run()
            assert not [one for one in evaluation.trials() if one.error]
    assert len(waited) == 1


async def test_a_provider_that_is_away_ends_the_run(router: Running, prompts: list[EvalPrompt], tmp_path: Path) -> None:
    router.simulator.script.add(Rule(fault=Fault(kind=FaultKind.SERVER_ERROR), times=None))
    waited: list[float] = []

    async def at_once(seconds: float) -> None:
        waited.append(seconds)

    with TrialLog(tmp_path / "r.jsonl") as log:
        asked = EvalRouter(router.client(), timeout=60, sleep=at_once)
        evaluation = asking(router.client(), prompts * 2, log, router=asked, concurrency=1)
        await evaluation.run()
        assert evaluation.stopped_by.startswith("the last 12 calls all failed, this one for ")
        assert log.recorded.calls == 12
    # Deployments that are paused by their failures are waited for.
    assert waited


async def test_a_router_that_is_gone_ends_the_run(router: Running, prompts: list[EvalPrompt], tmp_path: Path) -> None:
    async with AsyncClient.connect("127.0.0.1:1", timeout=30) as nobody:
        with TrialLog(tmp_path / "r.jsonl") as log:
            evaluation = asking(nobody, prompts, log, router=EvalRouter(nobody, timeout=30))
            await evaluation.run()
            assert evaluation.stopped_by.startswith("UNAVAILABLE")
            assert evaluation.trials() == []
        with pytest.raises(RouterGone):
            await EvalRouter(nobody, timeout=30).estimate(DEAR, prompts[0].chat, feature="", tier="")


async def test_names_are_those_of_the_router(router: Running) -> None:
    deployments = await router.client().models()
    assert resolved(["gpt-4o"], deployments) == [DEAR]
    with pytest.raises(ValueError, match="no model or deployment gpt-5o; there are deepseek-chat, gpt-4o"):
        resolved(["gpt-5o", "gpt-4o"], deployments)
