"""A gate that is learned: from what a cheap model's answers show of themselves, and what the gates without a model make
of them, how much asking again would gain.

With the prompt beside the answer it does the work of a pre-router as well.
"""

from __future__ import annotations

from collections.abc import Sequence

from router_service.domain.call import Call, Caller
from router_service.domain.chat import Chat, FinishReason, Message, Role, TextPart
from router_service.lab.answers import figures_of
from router_service.lab.learning import Encoder, Leaning, Leaves, deviation
from router_service.lab.solving import Row, dot, ridge
from router_service.quality.arithmetic import Arithmetic
from router_service.quality.given import GivenAnswer, Judge
from router_service.quality.shape import NotRepetitive
from router_service.quality.wording import NotHedging, NotRefusal
from router_service.routing.excerpt import Excerpt

_LEANING = Leaning(penalty=6.0, ferns=128, together=0.7)
_OF_THE_PROMPT = Leaning(penalty=6.0)
_SCALE = 0.15
_FURTHEST = 4.0
_GATES: tuple[Judge, ...] = (Arithmetic(), NotHedging(), NotRefusal(), NotRepetitive())


class LearnedGate:
    """Ranks answers by how much the strong model would gain; learned from prompts, answers and gains."""

    def __init__(
        self, prompts: Sequence[Excerpt], answers: Sequence[str], gains: Sequence[float], *, with_prompt: bool
    ) -> None:
        self._encoder = Encoder(prompts, 2, _OF_THE_PROMPT) if with_prompt else None
        figures = [_figures(prompt.text, answer) for prompt, answer in zip(prompts, answers, strict=True)]
        self._scale = [(sum(one) / len(one), deviation(one) or 1.0) for one in zip(*figures, strict=True)]
        self._leaves = Leaves(figures, _LEANING, len(self._scale))
        rows = [self._row(*one) for one in zip(prompts, figures, strict=True)]
        width = self._leaves.starts[-1] + (self._encoder.width if self._encoder else 0)
        self._weights = ridge(rows, gains, width, _LEANING.penalty)

    def gain(self, prompt: Excerpt, answer: str) -> float:
        """What the strong model is expected to gain over this answer, beyond the average."""
        return dot(self._row(prompt, _figures(prompt.text, answer)), self._weights)

    def _row(self, prompt: Excerpt, figures: Sequence[float]) -> Row:
        scaled = tuple(
            _SCALE * max(-_FURTHEST, min(_FURTHEST, (figure - mean) / spread))
            for figure, (mean, spread) in zip(figures, self._scale, strict=True)
        )
        columns, values = (*range(len(scaled)), *self._leaves.columns(figures)), (*scaled, *self._leaves.values)
        if self._encoder is None:
            return columns, values
        first = self._leaves.starts[-1]
        more, of_prompt = self._encoder.row(prompt)
        return (*columns, *(first + column for column in more)), (*values, *of_prompt)


def _figures(question: str, answer: str) -> tuple[float, ...]:
    """What the answer shows, then the score of each gate."""
    chat = Chat(messages=(Message(role=Role.USER, parts=(TextPart(question),)),))
    call = Call(request_id="", tenant="", caller=Caller(), chat=chat)
    given = GivenAnswer(text=answer, finish_reason=FinishReason.STOP)
    return (*figures_of(question, answer), *(gate.judge(call, given).score for gate in _GATES))
