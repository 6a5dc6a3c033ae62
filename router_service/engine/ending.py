"""How a call that is not answered ends: what its caller is told."""

from __future__ import annotations

import asyncio

from router_service.domain.decision import Candidate
from router_service.domain.error import (
    SHUT_DOWN,
    AttemptsFailed,
    Cancelled,
    DeadlineExceeded,
    Draining,
    Reason,
    RouterError,
    UpstreamError,
)
from router_service.engine.run import CallRun
from router_service.engine.taxonomy import TAXONOMY, may_fall_back, needs_larger_context

# With less time than this left, in seconds, dispatching another attempt only produces a bill.
LEAST_TIME_FOR_AN_ATTEMPT = 0.02


def departure(run: CallRun, cancelled: asyncio.CancelledError) -> RouterError:
    """What a cancelled call is recorded as: its deadline passed, its replica shut down, or its caller left."""
    if run.time_left() <= 0:
        return DeadlineExceeded("The caller's deadline passed.")
    if SHUT_DOWN in cancelled.args:
        return Draining("This replica shut down before the call was answered.")
    return Cancelled("The caller cancelled the call.")


def final_error(run: CallRun, candidate: Candidate, errors: list[UpstreamError]) -> RouterError:
    """What the caller is told after the last attempt failed."""
    last = errors[-1]
    tries = sum(not attempt.reason.is_question for attempt in run.attempts)
    metadata = {
        "attempts": str(tries),
        "deployment": candidate.deployment.id,
        "provider": candidate.deployment.provider,
        "last_error": last.error_type,
    }
    if last.status is not None:
        metadata["http_status"] = str(last.status)
    tried = f"{tries} attempt{'s' if tries != 1 else ''}"
    terminal = not may_fall_back(last, on_content_filter=False) or needs_larger_context(last)
    if run.time_left() < LEAST_TIME_FOR_AN_ATTEMPT and not terminal:
        return DeadlineExceeded(
            f"The deadline passed after {tried}; the last one: {last.message} Allow more time, or a faster model.",
            metadata=metadata,
        )
    if run.transcript.root is not None:
        return AttemptsFailed(
            f"The stream of {candidate.deployment.id} broke after output had been sent: {last.message} "
            "What arrived is not the whole answer; send the call again.",
            reason=Reason.STREAM_TRUNCATED,
            metadata=metadata,
        )
    reasons = {TAXONOMY[error.fault].reason for error in errors}
    reason = TAXONOMY[last.fault].reason if terminal or len(reasons) == 1 else Reason.ATTEMPTS_EXHAUSTED
    return AttemptsFailed(
        f"No provider answered after {tried}; the last one: {last.message}",
        reason=reason,
        metadata=metadata,
        retry_after=last.retry_after,
    )
