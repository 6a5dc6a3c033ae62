"""A judge asked for grades of answers that the ledger recorded, when nobody waits for them any more."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence

from router_service.domain.chance import chance
from router_service.domain.chat import Message, Role, TextPart
from router_service.lab.asking import RouterGone
from router_service.lab.judge import AskedJudge
from router_service.lab.observed import Observed
from router_service.lab.paying import Paying
from router_service.lab.reached import Reached
from router_service.ledger.comparison import Words

# So many in a row without a grade: more of them show nothing.
_MOST_LOST = 12


class Regrading:
    """Has recorded answers graded. `calls` in an order that their operations draw, so that what was graded before a run
    broke off is a sample like any other; those of one prompt go together.
    """

    def __init__(
        self,
        judge: AskedJudge,
        calls: Sequence[Observed],
        paying: Paying,
        *,
        paired: bool,
        concurrency: int = 4,
        changed: Callable[[Reached], None] = lambda progress: None,
    ) -> None:
        self._judge = judge
        self._paying = paying
        self._concurrency = concurrency
        self._changed = changed
        self._groups = _groups(calls, paired=paired)
        self._done = self._failed = self._lost = 0

    @property
    def calls(self) -> list[Observed]:
        """Whose answers are graded, in this order."""
        return [call for group in self._groups for call in group]

    @property
    def stopped_by(self) -> str:
        """Why the run ended before its end; empty where it did not."""
        return self._paying.stopped_by

    def stop(self, reason: str) -> None:
        """Begin no more calls."""
        self._paying.stop(reason)

    async def run(self) -> None:
        """Ask for every grade that there is not yet."""
        groups = iter(self._groups)
        async with asyncio.TaskGroup() as workers:
            for _ in range(self._concurrency):
                workers.create_task(self._work(groups))

    async def _work(self, groups: Iterator[Sequence[Observed]]) -> None:
        for group in groups:
            for call in group:
                if self.stopped_by:
                    return
                try:
                    await self._grade(call)
                except RouterGone as error:
                    self.stop(str(error))
                    return

    async def _grade(self, call: Observed) -> None:
        assert call.words is not None
        operation_id = call.outcome.operation_id
        await self._judge.grade(operation_id, question_of(call.words), call.words.answer)
        graded = self._judge.known(operation_id)
        if graded is None:
            return
        self._done += 1
        self._failed += graded.score is None
        self._lost = self._lost + 1 if graded.score is None else 0
        if self._lost >= _MOST_LOST:
            self.stop(f"the last {self._lost} answers all got no grade, this one for {graded.error}")
        total = sum(len(group) for group in self._groups)
        self._changed(Reached(self._done, total, self._failed, self._paying.spent))


def _groups(calls: Sequence[Observed], *, paired: bool) -> list[list[Observed]]:
    """The calls that can be graded by prompt. Of a pair both have to be: one grade alone is paid for in vain."""
    by_prompt: dict[str, list[Observed]] = {}
    for call in calls:
        by_prompt.setdefault(call.prompt_id, []).append(call)
    groups = [
        graded
        for group in by_prompt.values()
        if (graded := [call for call in group if call.can_be_graded])
        and (not paired or all(call.can_be_graded or call.error for call in group))
    ]
    return sorted(groups, key=lambda group: chance(group[0].prompt_id))


def gradable(calls: Sequence[Observed], *, paired: bool) -> list[Observed]:
    """The calls whose answers a judge is asked to grade, in that order."""
    return [call for group in _groups(calls, paired=paired) for call in group]


def question_of(words: Words) -> list[Message]:
    """The conversation as a judge is shown it."""
    roles = {role.value: role for role in Role}
    return [Message(role=roles.get(said.role, Role.USER), parts=(TextPart(said.content),)) for said in words.prompt]
