"""One call carried on past answers that gates refuse, to the next candidates, until one passes.

answer ──gates──> passed: the caller gets it
   └── refused ──> the next candidate (escalation) ──none left, no time, no budget──> the best one, or an error
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from router_service.domain.decision import Candidate
from router_service.domain.error import QualityNotMet, RouterError
from router_service.domain.quality import Escalation, GateDelivery, Judgement, Unsatisfied
from router_service.engine.chain import Chain
from router_service.engine.ending import LEAST_TIME_FOR_AN_ATTEMPT
from router_service.engine.health import HealthBook
from router_service.engine.run import Answered, CallRun
from router_service.quality.gates import Gates
from router_service.quality.given import GivenAnswer
from router_service.routing.language import language_of_answer


@dataclass(frozen=True, slots=True)
class _Refused:
    answered: Answered
    judgement: Judgement


class Escalator:
    """Judges one call's answers. `gates` are those of `escalation`."""

    def __init__(self, run: CallRun, chain: Chain, *, escalation: Escalation, gates: Gates, health: HealthBook) -> None:
        self._run = run
        self._chain = chain
        self._escalation = escalation
        self._gates = gates
        self._health = health
        self._refused: list[_Refused] = []
        self._broken_off: RouterError | None = None

    async def answer(self) -> Answered:
        """The first answer that passes; where none does, the best one, if the policy gives it. Raises `RouterError`.

        What was answered once is not lost: an escalation that fails, has no time or no budget leaves the answers there
        are.
        """
        run = self._run
        run.holding = run.call.stream and not self._is_optimistic
        answered = await self._chain.answer()
        while True:
            answered = replace(answered, message=run.message_of(answered))
            judgement = await self._judge(answered)
            if judgement.passed:
                break
            self._refused.append(_Refused(answered, judgement))
            stronger = await self._next()
            if stronger is None:
                answered = self._best()
                break
            answered = stronger
        await run.deliver(answered)
        return answered

    @property
    def _is_optimistic(self) -> bool:
        return self._escalation.delivery is GateDelivery.OPTIMISTIC and self._run.call.wishes.accept_discard

    async def _judge(self, answered: Answered) -> Judgement:
        run = self._run
        assert run.decision is not None
        assert answered.message is not None
        assert answered.reply.finish_reason is not None
        signals, text = run.decision.signals, answered.message.text
        began, judged_at = run.clock.monotonic(), run.clock.wall()
        asked = signals.language.partition("-")[0]
        judgement = self._gates.judge(
            run.call,
            GivenAnswer(
                text=text,
                finish_reason=answered.reply.finish_reason,
                calls_tools=bool(answered.message.tool_calls),
                language=language_of_answer(text, asked),
                asked_language=asked,
                margins=answered.reply.margins,
            ),
            attempt=answered.attempt.number,
            complexity=signals.complexity,
            deployment=answered.attempt.deployment.id,
        )
        await run.judged(judgement, judged_at, run.clock.monotonic() - began)
        return judgement

    async def _next(self) -> Answered | None:
        """A stronger candidate's answer; `None` where nobody is left, or there is no time, attempt or money for it."""
        candidates = self._stronger()
        if (
            not candidates
            or len(self._refused) > self._escalation.most
            or not self._chain.attempts_left
            or self._run.time_left() < LEAST_TIME_FOR_AN_ATTEMPT
        ):
            return None
        try:
            return await self._chain.escalate(candidates)
        except RouterError as error:
            self._broken_off = error
            return None

    def _stronger(self) -> list[Candidate]:
        """Who may be asked next, in order: nobody twice, nobody hopeless, nobody who cools down by now."""
        decision = self._run.decision
        assert decision is not None
        asked = {attempt.deployment.id for attempt in self._run.attempts}
        return [
            candidate
            for candidate in decision.escalations or decision.candidates
            if candidate.deployment.id not in asked
            and not candidate.hopeless
            and (candidate.last_resort or not self._health.is_open(candidate.deployment.id))
        ]

    def _best(self) -> Answered:
        """Of the refused answers that with the highest score, of equals the last. Raises `QualityNotMet`."""
        last = self._refused[-1].judgement
        if self._escalation.unsatisfied is Unsatisfied.FAIL:
            metadata = {
                "gates": ",".join(last.refused_by),
                "score": f"{last.score:.2f}",
                "threshold": f"{last.threshold:.2f}",
                "answers": str(len(self._refused)),
            }
            if self._broken_off is not None:
                metadata["escalation"] = self._broken_off.reason.value
            raise QualityNotMet(
                f"No answer passed the gates of the policy after {len(self._refused)} answers; the last one scored "
                f"{last.score:.2f} of {last.threshold:.2f}. Ask again, or let the policy escalate to a stronger model.",
                metadata=metadata,
            ) from self._broken_off
        return max(reversed(self._refused), key=lambda refused: refused.judgement.score).answered
