"""The id of a call: the caller's own, or a new one."""

from __future__ import annotations

import os

REQUEST_ID_KEY = "x-request-id"
LONGEST_REQUEST_ID = 128


def is_request_id(value: str) -> bool:
    """Whether this may name a call: 1 to 128 printable ASCII characters."""
    return 0 < len(value) <= LONGEST_REQUEST_ID and value.isascii() and value.isprintable()


def new_request_id() -> str:
    """An id of our own."""
    return os.urandom(16).hex()
