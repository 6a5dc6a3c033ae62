"""One prompt set over several subjects: asked with bounded concurrency, recorded as it goes, graded.

Prompts go in their order, each to all subjects, so that a run that breaks off has asked all of them the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from uuid import uuid4

from router_service.domain.chat import FinishReason
from router_service.lab.asking import Router, RouterGone, Said, Subject
from router_service.lab.grading import ITS_OWN_FAULT, Grade, Grader, settles
from router_service.lab.judge import AskedJudge
from router_service.lab.paying import CANCELLED, Paying
from router_service.lab.prompt_set import EvalPrompt
from router_service.lab.reached import Reached
from router_service.lab.trial_log import Recorded, Reply, TrialLog
from router_service.lab.trials import Judging, Source, Trial

# So many failures in a row that say nothing of any subject: whatever is wrong, more of them show nothing.
_MOST_LOST = 12


class Evaluation:
    """One run. `changed` hears of progress; `stop` ends it after the calls in flight."""

    def __init__(
        self,
        router: Router,
        prompts: Sequence[EvalPrompt],
        subjects: Sequence[Subject],
        *,
        log: TrialLog,
        grader: Grader,
        judge: Subject | None = None,
        concurrency: int = 4,
        cap: int | None = None,
        changed: Callable[[Reached], None] = lambda progress: None,
    ) -> None:
        self._prompts = prompts
        self._subjects = subjects
        self._log = log
        self._grader = grader
        self._concurrency = concurrency
        self._paying = Paying(router, cap=cap, spent=log.recorded.spent)
        self._judge = AskedJudge(judge, self._paying, log) if judge is not None else None
        self._changed = changed
        self._done = self._failed = self._lost = 0

    @property
    def stopped_by(self) -> str:
        """Why the run ended before its end; empty where it did not."""
        return self._paying.stopped_by

    def stop(self, reason: str) -> None:
        """Begin no more calls."""
        self._paying.stop(reason)

    async def run(self) -> None:
        """Ask everything that has no answer yet. What is recorded is complete whenever this ends, also by a cancel."""
        jobs = ((prompt, subject) for prompt in self._prompts for subject in self._subjects)
        async with asyncio.TaskGroup() as workers:
            for _ in range(self._concurrency):
                workers.create_task(self._work(jobs))

    def trials(self) -> list[Trial]:
        """What is known by now, graded."""
        return trials_of(self._prompts, self._subjects, self._log.recorded, self._grader, self._judge)

    def judging(self) -> Judging | None:
        """What the judge did; `None` without one."""
        if self._judge is None:
            return None
        recorded = self._log.recorded
        answers = [
            (reply.request_id, prompt.rubric)
            for prompt in self._prompts
            for subject in self._subjects
            if (reply := recorded.reply(prompt.id, prompt.digest, subject.key)) is not None
        ]
        return self._judge.account(answers, {subject.name for subject in self._subjects})

    async def _work(self, jobs: Iterator[tuple[EvalPrompt, Subject]]) -> None:
        for prompt, subject in jobs:
            if self.stopped_by:
                return
            try:
                reply = await self._reply(prompt, subject)
                if reply is None:
                    return
                await self._grade(prompt, reply)
            except RouterGone as error:
                self.stop(str(error))
                return
            self._done += 1
            self._failed += bool(reply.said.error)
            self._lost = self._lost + 1 if reply.said.error and reply.said.error not in ITS_OWN_FAULT else 0
            if self._lost >= _MOST_LOST:
                self.stop(f"the last {self._lost} calls all failed, this one for {reply.said.error}")
            total = len(self._prompts) * len(self._subjects)
            self._changed(Reached(self._done, total, self._failed, self._paying.spent))

    async def _reply(self, prompt: EvalPrompt, subject: Subject) -> Reply | None:
        """The answer that is recorded, else a new one; `None` where there is no money for it."""
        known = self._log.recorded.reply(prompt.id, prompt.digest, subject.key)
        if known is not None and not known.said.error:
            return known
        request_id = uuid4().hex

        def reply(said: Said) -> Reply:
            return Reply(prompt=prompt.id, digest=prompt.digest, subject=subject.key, request_id=request_id, said=said)

        said = await self._paying.ask(
            subject,
            prompt.chat,
            request_id=request_id,
            cancelled=lambda: self._log.append(reply(Said(error=CANCELLED))),
            feature=prompt.feature,
            tier=prompt.tier,
        )
        if said is None:
            return None
        made = reply(said)
        self._log.append(made)
        return made

    async def _grade(self, prompt: EvalPrompt, reply: Reply) -> None:
        if self._judge is not None and not reply.said.error and _is_for_a_judge(self._grader, prompt, reply):
            await self._judge.grade(reply.request_id, prompt.chat.messages, reply.said.answer or "", prompt.rubric)


def trials_of(
    prompts: Sequence[EvalPrompt],
    subjects: Sequence[Subject],
    recorded: Recorded,
    grader: Grader,
    judge: AskedJudge | None,
) -> list[Trial]:
    """The recorded calls of these prompts and subjects as trials. A call that was left is none."""
    found = []
    for prompt in prompts:
        for subject in subjects:
            reply = recorded.reply(prompt.id, prompt.digest, subject.key)
            if reply is None or reply.said.error == CANCELLED:
                continue
            said = reply.said
            grade = _grade_of(prompt, reply, grader, judge)
            found.append(
                Trial(
                    prompt_id=prompt.id,
                    prompt=prompt.text,
                    feature=prompt.feature,
                    subject=subject.name,
                    answer=said.answer,
                    quality=grade.quality if grade else None,
                    source=grade.source if grade else None,
                    cost=said.cost,
                    cost_status=said.cost_status,
                    latency=said.latency,
                    time_to_first_output=said.time_to_first_output,
                    error=said.error,
                    request_id=reply.request_id,
                    path=said.path,
                )
            )
    return found


def _grade_of(prompt: EvalPrompt, reply: Reply, grader: Grader, judge: AskedJudge | None) -> Grade | None:
    if reply.said.error:
        return Grade(0.0, Source.FAILURE) if reply.said.error in ITS_OWN_FAULT else None
    certain = _certain(grader, prompt, reply)
    if judge is not None and _is_for_a_judge(grader, prompt, reply):
        # Without the judge's word there is none: another measure for this one answer would not be the same scale.
        graded = judge.known(reply.request_id, prompt.rubric)
        return None if graded is None or graded.score is None else Grade(graded.score, Source.JUDGE)
    return certain or grader.by_gates(prompt, reply.said.answer or "", reply.said.finish_reason or FinishReason.STOP)


def _is_for_a_judge(grader: Grader, prompt: EvalPrompt, reply: Reply) -> bool:
    # An empty answer is none, whoever looks at it.
    return bool((reply.said.answer or "").strip()) and not settles(_certain(grader, prompt, reply))


def _certain(grader: Grader, prompt: EvalPrompt, reply: Reply) -> Grade | None:
    return grader.certain(prompt, reply.said.answer or "", reply.said.finish_reason or FinishReason.STOP)
