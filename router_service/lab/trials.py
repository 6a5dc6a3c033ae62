"""One answer of one subject to one prompt, however it came about: asked for, or found in the ledger.

What compares subjects and what writes reports knows trials, and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum


class Source(StrEnum):
    """The evidence that a quality rests on, from the best to the weakest.

    EXPECTED is a comparison with the answer that is known to be right, SCHEMA the JSON Schema of the prompt, FAILURE an
    answer that a model or the router refused to give to this very prompt (which counts 0), JUDGE a model's grade,
    FEEDBACK what people said later, GATES the checks without a model.
    """

    EXPECTED = "expected"
    SCHEMA = "schema"
    FAILURE = "failure"
    JUDGE = "judge"
    FEEDBACK = "feedback"
    GATES = "gates"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What a subject, a model, policy or arm of an experiment, made of a prompt.

    `prompt_id` is the same for trials of the same prompt: they are compared as pairs. `prompt` and `answer` are `None`
    where their text is not known. `quality` is from 0 to 1 and rests on `source`, both `None` where nothing is known.
    `cost` is in nano-USD, `None` where it is not known, as `cost_status` says. Latencies are seconds from the call's
    receipt, of failed calls too, `None` where not measured. `error` is the reason of a failure, "" for an answer.
    `path` has the attempts in order, each as "deployment outcome", or just the deployment that answered. Trials of the
    same `unit`, such as a user, are one observation, for they are not independent; empty is the prompt.
    """

    prompt_id: str
    prompt: str | None
    feature: str
    subject: str
    answer: str | None
    quality: float | None
    source: Source | None
    cost: int | None
    cost_status: str
    latency: float | None
    time_to_first_output: float | None
    error: str
    request_id: str
    path: tuple[str, ...] = ()
    unit: str = ""

    @property
    def answered(self) -> bool:
        """Whether there was an answer."""
        return not self.error


@dataclass(frozen=True, slots=True, kw_only=True)
class Judging:
    """What a judge did, apart from the calls that it judged. `cost` is in nano-USD; `unpriced` counts calls without.

    `failures` are by reason; an answer that no grade was read for has no quality from it. `is_compared` says that the
    judge is one of the compared models, and may prefer its own answers.
    """

    judge: str
    graded: int
    cost: int
    unpriced: int
    failures: Mapping[str, int]
    is_compared: bool


def subjects_of(trials: Iterable[Trial]) -> list[str]:
    """The subjects in the order in which they first occur."""
    return list(dict.fromkeys(trial.subject for trial in trials))
