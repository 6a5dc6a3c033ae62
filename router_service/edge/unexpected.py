"""Errors that nobody foresaw, in the log."""

from __future__ import annotations

import logging
import traceback


def log_unexpected(logger: logging.Logger, what: str, error: BaseException) -> None:
    """Log what failed and where; `what` is such as "Call 5f3a". The words of foreign exceptions may quote a prompt:
    they are for debugging only."""
    logger.error("%s failed unexpectedly.\n%s", what, "".join(_origins(error)))
    logger.debug("%s failed with:", what, exc_info=error)


def _origins(error: BaseException) -> list[str]:
    lines = [f"{type(error).__module__}.{type(error).__qualname__} at\n", *traceback.format_tb(error.__traceback__)]
    earlier = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return lines if earlier is None else [*_origins(earlier), "which led to ", *lines]
