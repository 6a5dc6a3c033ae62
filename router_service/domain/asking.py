"""What the router may ask a model for itself: to classify a call, or to judge an answer."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from router_service.domain.deployment import Deployment


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """Whom to ask, in this order, and what a question may take: `timeout` in seconds for all of them together, and
    `max_cost_nano_usd` for each, estimated before. A deployment whose price is unknown has no estimate, and is asked.
    """

    deployments: tuple[Deployment, ...]
    timeout: float
    max_cost_nano_usd: int


def mark_of(*texts: str) -> str:
    """A mark to put texts of others between: a hash of them, so that nothing inside can know it beforehand."""
    told = "".join(f"{len(text)}:{text}" for text in texts)
    return hashlib.sha256(told.encode("utf-8", "surrogatepass")).hexdigest()[:32]
