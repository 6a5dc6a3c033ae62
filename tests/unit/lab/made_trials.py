"""Trials for tests, without a router."""

from __future__ import annotations

from typing import Any

from router_service.lab.trials import Source, Trial


def trial(prompt_id: str, subject: str, quality: float | None = 1.0, **more: Any) -> Trial:
    """A trial that was answered, unless `more` says otherwise."""
    return Trial(
        **{
            "prompt_id": prompt_id,
            "prompt": f"prompt {prompt_id}",
            "feature": "",
            "subject": subject,
            "answer": "an answer",
            "quality": quality,
            "source": None if quality is None else Source.EXPECTED,
            "cost": 1_000,
            "cost_status": "actual",
            "latency": 0.5,
            "time_to_first_output": 0.1,
            "error": "",
            "request_id": f"{subject}-{prompt_id}",
            **more,
        }
    )


def trials(subject: str, qualities: list[float | None], *, first: int = 0, **more: Any) -> list[Trial]:
    """One trial for each quality, of the prompts from number `first` on."""
    return [trial(f"p{at}", subject, quality, **more) for at, quality in enumerate(qualities, first)]
