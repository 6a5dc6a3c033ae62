"""A model that grades answers: asked once for each, and its grades kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from uuid import uuid4

from router_service.domain.chat import Message
from router_service.lab.asking import Said, Subject
from router_service.lab.paying import CANCELLED, Paying
from router_service.lab.trial_log import Graded, TrialLog
from router_service.lab.trials import Judging
from router_service.quality.judging import judge_chat, read_score

NO_GRADE = "NO_GRADE_IN_ITS_WORDS"


class AskedJudge:
    """Grades by asking `subject`. What it says is in the log as soon as it is known."""

    def __init__(self, subject: Subject, paying: Paying, log: TrialLog) -> None:
        self.subject = subject
        self._paying = paying
        self._log = log

    async def grade(self, of: str, question: Sequence[Message], answer: str, rubric: str = "") -> None:
        """Have the answer of the call `of` graded, unless the log has a grade of it. Raises `RouterGone`."""
        known = self.known(of, rubric)
        if known is not None and known.score is not None:
            return
        request_id = uuid4().hex

        def graded(said: Said) -> Graded:
            score = None if said.error else read_score(said.answer or "")
            return Graded(
                of=of,
                judge=self.subject.key,
                rubric=rubric,
                request_id=request_id,
                score=score,
                cost=said.cost,
                cost_status=said.cost_status,
                error=said.error or ("" if score is not None else NO_GRADE),
            )

        said = await self._paying.ask(
            self.subject,
            judge_chat(question, answer, rubric),
            request_id=request_id,
            cancelled=lambda: self._log.append(graded(Said(error=CANCELLED))),
        )
        if said is not None:
            self._log.append(graded(said))

    def known(self, of: str, rubric: str = "") -> Graded | None:
        """What it said of the answer of a call; `None` where it was not asked."""
        return self._log.recorded.grade(of, self.subject.key, rubric)

    def account(self, answers: Iterable[tuple[str, str]], compared: Collection[str]) -> Judging:
        """What it made of these answers, each a call and the rubric. `compared` are the names of what is compared."""
        grades = [grade for of, rubric in answers if (grade := self.known(of, rubric)) is not None]
        recorded, key = self._log.recorded, self.subject.key
        return Judging(
            judge=self.subject.name,
            graded=sum(grade.score is not None for grade in grades),
            cost=recorded.spent_on_judging[key],
            unpriced=recorded.unpriced_grades[key],
            failures=dict(Counter(grade.error for grade in grades if grade.score is None)),
            is_compared=self.subject.name in compared,
        )
