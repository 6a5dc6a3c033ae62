"""One prompt set over several subjects: asked with bounded concurrency, recorded as it goes, graded.

Prompts go in their order, each to all subjects, so that a run that breaks off has asked all of them the same.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from uuid import uuid4

from router_service.domain.chat import Chat, FinishReason
from router_service.lab.asking import Purse, Router, RouterGone, Said, Subject
from router_service.lab.grading import ITS_OWN_FAULT, Grade, Grader, settles
from router_service.lab.prompt_set import EvalPrompt
from router_service.lab.trial_log import Graded, Recorded, Reply, TrialLog
from router_service.lab.trials import Judging, Source, Trial
from router_service.quality.judging import judge_chat, read_score

CANCELLED = "CANCELLED"
# So many failures in a row that say nothing of any subject: whatever is wrong, more of them show nothing.
_MOST_LOST = 12
NO_GRADE = "NO_GRADE_IN_ITS_WORDS"


@dataclass(frozen=True, slots=True)
class Reached:
    """Where a run is. `done` are calls whose result is known, earlier runs' among them; `spent` is in nano-USD."""

    done: int
    total: int
    failed: int
    spent: int


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
        self._router = router
        self._prompts = prompts
        self._subjects = subjects
        self._log = log
        self._grader = grader
        self._judge = judge
        self._concurrency = concurrency
        self._purse = Purse(cap, log.recorded.spent)
        self._changed = changed
        self._done = self._failed = self._lost = 0
        self.stopped_by = ""
        """Why the run ended before its end; empty where it did not."""

    def stop(self, reason: str) -> None:
        """Begin no more calls."""
        self.stopped_by = self.stopped_by or reason

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
        recorded, key = self._log.recorded, self._judge.key
        grades = [
            grade
            for prompt in self._prompts
            for subject in self._subjects
            if (reply := recorded.reply(prompt.id, prompt.digest, subject.key)) is not None
            and (grade := recorded.grade(reply.request_id, key, prompt.rubric)) is not None
        ]
        return Judging(
            judge=self._judge.name,
            graded=sum(grade.score is not None for grade in grades),
            cost=recorded.spent_on_judging[key],
            unpriced=recorded.unpriced_grades[key],
            failures=dict(Counter(grade.error for grade in grades if grade.score is None)),
            is_compared=self._judge.name in {subject.name for subject in self._subjects},
        )

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
            self._changed(Reached(self._done, total, self._failed, self._purse.spent))

    async def _reply(self, prompt: EvalPrompt, subject: Subject) -> Reply | None:
        """The answer that is recorded, else a new one; `None` where there is no money for it."""
        known = self._log.recorded.reply(prompt.id, prompt.digest, subject.key)
        if known is not None and not known.said.error:
            return known
        request_id = uuid4().hex

        def reply(said: Said) -> Reply:
            return Reply(prompt=prompt.id, digest=prompt.digest, subject=subject.key, request_id=request_id, said=said)

        said = await self._paid(
            subject, prompt.chat, prompt, request_id, cancelled=lambda: self._log.append(reply(Said(error=CANCELLED)))
        )
        if said is None:
            return None
        made = reply(said)
        self._log.append(made)
        return made

    async def _grade(self, prompt: EvalPrompt, reply: Reply) -> None:
        judge = self._judge
        if judge is None or reply.said.error or not _is_for_a_judge(self._grader, prompt, reply):
            return
        known = self._log.recorded.grade(reply.request_id, judge.key, prompt.rubric)
        if known is not None and known.score is not None:
            return
        chat, request_id = judge_chat(prompt.chat.messages, reply.said.answer or "", prompt.rubric), uuid4().hex

        def graded(said: Said) -> Graded:
            score = None if said.error else read_score(said.answer or "")
            return Graded(
                of=reply.request_id,
                judge=judge.key,
                rubric=prompt.rubric,
                request_id=request_id,
                score=score,
                cost=said.cost,
                cost_status=said.cost_status,
                error=said.error or ("" if score is not None else NO_GRADE),
            )

        said = await self._paid(
            judge, chat, None, request_id, cancelled=lambda: self._log.append(graded(Said(error=CANCELLED)))
        )
        if said is not None:
            self._log.append(graded(said))

    async def _paid(
        self,
        subject: Subject,
        chat: Chat,
        caller: EvalPrompt | None,
        request_id: str,
        *,
        cancelled: Callable[[], None],
    ) -> Said | None:
        """Ask within the cap; `None` where there is no room for it, and the run stops."""
        feature, tier = (caller.feature, caller.tier) if caller is not None else ("", "")
        estimate = 0
        if self._purse.is_bounded:
            found = await self._router.estimate(subject, chat, feature=feature, tier=tier)
            if found is None:
                self.stop(f"{subject.name} has no known price, so that --max-cost cannot be kept")
                return None
            estimate = found
        held = await self._purse.hold(subject.key, estimate)
        if held is None:
            self.stop("--max-cost leaves no room for the next call")
            return None
        if self.stopped_by:
            self._purse.settle(subject.key, held, 0)
            return None
        cost = None
        try:
            said = await self._router.ask(subject, chat, feature=feature, tier=tier, request_id=request_id)
            cost = said.cost
        except asyncio.CancelledError:
            # It may have been billed; its receipt is found by the request id.
            cancelled()
            raise
        finally:
            self._purse.settle(subject.key, held, cost)
        return said


def trials_of(
    prompts: Sequence[EvalPrompt],
    subjects: Sequence[Subject],
    recorded: Recorded,
    grader: Grader,
    judge: Subject | None,
) -> list[Trial]:
    """The recorded calls of these prompts and subjects as trials. A call that was left is none."""
    found = []
    for prompt in prompts:
        for subject in subjects:
            reply = recorded.reply(prompt.id, prompt.digest, subject.key)
            if reply is None or reply.said.error == CANCELLED:
                continue
            said = reply.said
            grade = _grade_of(prompt, reply, recorded, grader, judge)
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


def _grade_of(
    prompt: EvalPrompt, reply: Reply, recorded: Recorded, grader: Grader, judge: Subject | None
) -> Grade | None:
    if reply.said.error:
        return Grade(0.0, Source.FAILURE) if reply.said.error in ITS_OWN_FAULT else None
    certain = _certain(grader, prompt, reply)
    if judge is not None and _is_for_a_judge(grader, prompt, reply):
        # Without the judge's word there is none: another measure for this one answer would not be the same scale.
        graded = recorded.grade(reply.request_id, judge.key, prompt.rubric)
        return None if graded is None or graded.score is None else Grade(graded.score, Source.JUDGE)
    return certain or grader.by_gates(prompt, reply.said.answer or "", reply.said.finish_reason or FinishReason.STOP)


def _is_for_a_judge(grader: Grader, prompt: EvalPrompt, reply: Reply) -> bool:
    # An empty answer is none, whoever looks at it.
    return bool((reply.said.answer or "").strip()) and not settles(_certain(grader, prompt, reply))


def _certain(grader: Grader, prompt: EvalPrompt, reply: Reply) -> Grade | None:
    return grader.certain(prompt, reply.said.answer or "", reply.said.finish_reason or FinishReason.STOP)
