"""Pages of deployments, ordered by id. A page token names the last id seen, so that a reload skips nothing."""

from __future__ import annotations

import base64
import binascii
import zlib
from bisect import bisect_right
from collections.abc import Sequence

from router_service.domain.deployment import DeploymentStatus
from router_service.domain.error import InvalidRequest, Violation

DEFAULT_PAGE_SIZE = 100
MAX_PAGE_SIZE = 1000


def page_of(
    statuses: Sequence[DeploymentStatus], *, page_size: int, page_token: str
) -> tuple[Sequence[DeploymentStatus], str]:
    """One page and the token of the next, empty on the last page. Raises `InvalidRequest`."""
    if not 0 <= page_size <= MAX_PAGE_SIZE:
        raise InvalidRequest([Violation("page_size", f"must be 1 to {MAX_PAGE_SIZE}, or 0 for {DEFAULT_PAGE_SIZE}")])
    size = page_size or DEFAULT_PAGE_SIZE
    ordered = sorted(statuses, key=_id)
    start = bisect_right(ordered, _last_seen(page_token), key=_id) if page_token else 0
    page = ordered[start : start + size]
    return page, _token(_id(page[-1])) if start + size < len(ordered) else ""


def _id(status: DeploymentStatus) -> str:
    return status.deployment.id


def _token(last: str) -> str:
    payload = last.encode()
    return base64.urlsafe_b64encode(zlib.crc32(payload).to_bytes(4, "big") + payload).decode()


def _last_seen(token: str) -> str:
    try:
        decoded = base64.b64decode(token, altchars=b"-_", validate=True)
        if zlib.crc32(decoded[4:]).to_bytes(4, "big") == decoded[:4]:
            return decoded[4:].decode()
    except (binascii.Error, ValueError):
        pass
    raise InvalidRequest([Violation("page_token", "is not a token that ListModels gave")])
