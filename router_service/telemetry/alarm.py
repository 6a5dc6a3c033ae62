"""Failures that nothing heals but the operator."""

from __future__ import annotations

import logging
from typing import Final

from router_service.domain.error import UpstreamFault
from router_service.domain.receipt import Attempt

logger = logging.getLogger("llmrouter.alarm")

_REFUSED_KEY: Final = frozenset({"401", "403", UpstreamFault.AUTH.value})


def refused_key(attempt: Attempt) -> bool:
    """Whether the provider did not accept our key, or what it may do."""
    return attempt.error_type in _REFUSED_KEY


def warn_of_refused_key(attempt: Attempt) -> None:
    """Log a warning where a provider refused our key."""
    if refused_key(attempt):
        logger.warning(
            'Provider "%s" refused the key that deployment "%s" uses. Check its `api_key`, and what that key may do.',
            attempt.deployment.provider,
            attempt.deployment.id,
        )
