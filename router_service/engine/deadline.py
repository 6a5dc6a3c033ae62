"""How long an attempt may take: the caller's deadline split so that a silent provider leaves time for a fallback."""

from __future__ import annotations

from dataclasses import dataclass

from router_service.domain.policy import Timeouts

# Beyond this many remaining candidates a share would be too short to be worth an attempt.
_SHARES = 3


@dataclass(frozen=True, slots=True)
class AttemptBudget:
    """Bounds of one attempt: `first_output_at` and `ends_at` on the loop's clock, `stall` and `connect` in seconds."""

    connect: float
    first_output_at: float
    stall: float
    ends_at: float


def plan_attempt(
    *, now: float, deadline: float, timeouts: Timeouts, fallbacks_left: int, streamed: bool, recovers: bool = True
) -> AttemptBudget:
    """The bounds of an attempt that starts `now` and may be followed by `fallbacks_left` other candidates.

    Until something arrives, an attempt may use only its share of what is left: the silence of one provider then
    leaves the same share to each of the next. Once output flows it may use all that is left, but where another
    attempt `recovers` what breaks after output, silence in the middle costs no more than the share either. An answer
    that is not streamed shows no sign of life, so there the share bounds the whole attempt.
    """
    left = max(0.0, deadline - now)
    share = left / min(fallbacks_left + 1, _SHARES)
    first_output_at = now + min(timeouts.first_token, share)
    ends_at = now + min(timeouts.total, left)
    if not streamed:
        ends_at = first_output_at = now + min(timeouts.total, share)
    return AttemptBudget(
        connect=min(timeouts.connect, share),
        first_output_at=first_output_at,
        stall=min(timeouts.stall, share) if recovers else timeouts.stall,
        ends_at=ends_at,
    )
