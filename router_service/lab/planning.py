"""What an evaluation would cost, before anything is paid."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from router_service.lab.asking import Router, Subject
from router_service.lab.observed import Observed
from router_service.lab.prompt_set import EvalPrompt
from router_service.lab.regrading import gradable, question_of
from router_service.lab.trial_log import Recorded
from router_service.quality.judging import judge_chat


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a run would do. `calls` and `costs` (nano-USD, `None` without a price) are by subject's name, for what has
    no answer yet; `judge_calls` and `judge_cost` leave out the answers that the judge will read."""

    calls: dict[str, int]
    costs: dict[str, int | None]
    recorded: int
    judge_calls: int
    judge_cost: int | None

    @property
    def cost(self) -> int:
        """The sum of what has a price."""
        return sum(cost or 0 for cost in (*self.costs.values(), self.judge_cost))


async def planned(
    router: Router,
    prompts: Sequence[EvalPrompt],
    subjects: Sequence[Subject],
    *,
    recorded: Recorded,
    judge: Subject | None,
    concurrency: int,
) -> Plan:
    """Estimate a run by the router's own estimates. Raises `RouterGone`."""
    calls: Counter[str] = Counter()
    costs: dict[str, int | None] = {subject.name: 0 for subject in subjects}
    judged = 0
    judge_cost: int | None = 0
    missing = [
        (prompt, subject)
        for prompt in prompts
        for subject in subjects
        if (reply := recorded.reply(prompt.id, prompt.digest, subject.key)) is None or reply.said.error
    ]
    jobs = iter(missing)

    async def work() -> None:
        nonlocal judged, judge_cost
        for prompt, subject in jobs:
            known = await router.estimate(subject, prompt.chat, feature=prompt.feature, tier=prompt.tier)
            calls[subject.name] += 1
            costs[subject.name] = _sum(costs[subject.name], known)
            if judge is not None and prompt.expected is None:
                chat = judge_chat(prompt.chat.messages, "", prompt.rubric)
                judged += 1
                judge_cost = _sum(judge_cost, await router.estimate(judge, chat, feature="", tier=""))

    await asyncio.gather(*(work() for _ in range(concurrency)))
    return Plan(
        calls=dict(calls),
        costs=costs,
        recorded=len(prompts) * len(subjects) - len(missing),
        judge_calls=judged,
        judge_cost=judge_cost,
    )


async def planned_grades(
    router: Router, calls: Sequence[Observed], judge: Subject, *, recorded: Recorded, paired: bool
) -> Plan:
    """Estimate what a judge's grades of recorded answers would cost. Raises `RouterGone`."""
    answers = gradable(calls, paired=paired)
    missing = [
        call
        for call in answers
        if (known := recorded.grade(call.outcome.operation_id, judge.key, "")) is None or known.score is None
    ]
    cost: int | None = 0
    for call in missing:
        assert call.words is not None
        chat = judge_chat(question_of(call.words), call.words.answer)
        cost = _sum(cost, await router.estimate(judge, chat, feature="", tier=""))
    return Plan(calls={}, costs={}, recorded=len(answers) - len(missing), judge_calls=len(missing), judge_cost=cost)


def _sum(amount: int | None, more: int | None) -> int | None:
    return None if amount is None or more is None else amount + more
