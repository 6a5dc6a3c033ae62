"""Pages of lists. A token names the last thing seen, so that what comes or goes meanwhile skips nothing; of usage it
counts, whose groups have no order that lasts."""

from __future__ import annotations

import base64
import binascii
import json
import zlib
from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

from router_service.domain.deployment import DeploymentStatus
from router_service.domain.error import InvalidRequest, Violation

DEFAULT_PAGE_SIZE = 100
MAX_PAGE_SIZE = 1000


def page_of(
    statuses: Sequence[DeploymentStatus], *, page_size: int, page_token: str
) -> tuple[Sequence[DeploymentStatus], str]:
    """One page and the token of the next, empty on the last page. Raises `InvalidRequest`."""
    size = page_size_of(page_size)
    ordered = sorted(statuses, key=_id)
    start = bisect_right(ordered, _last_seen(page_token), key=_id) if page_token else 0
    page = ordered[start : start + size]
    return page, _token(_id(page[-1])) if start + size < len(ordered) else ""


def page_size_of(asked: int) -> int:
    """How many rows a page has. Raises `InvalidRequest`."""
    if not 0 <= asked <= MAX_PAGE_SIZE:
        raise InvalidRequest([Violation("page_size", f"must be 1 to {MAX_PAGE_SIZE}, or 0 for {DEFAULT_PAGE_SIZE}")])
    return asked or DEFAULT_PAGE_SIZE


def start_of(page_token: str) -> int:
    """The number of rows before the page. Raises `InvalidRequest`."""
    seen = _last_seen(page_token) if page_token else "0"
    if not seen.isdecimal():
        raise _no_token()
    return int(seen)


def start_token(start: int | None) -> str:
    """The token of a page with so many rows before it; empty for none."""
    return "" if start is None else _token(str(start))


def seen_token(*last: str | int) -> str:
    """The token of the page after a thing with this place in the order."""
    return _token(json.dumps(last))


def place_of(page_token: str, *kinds: type) -> list[Any] | None:
    """What `seen_token` was given, of these kinds; `None` for the first page. Raises `InvalidRequest`."""
    if not page_token:
        return None
    try:
        place = json.loads(_last_seen(page_token))
    except ValueError:
        raise _no_token() from None
    if not isinstance(place, list) or [type(part) for part in place] != list(kinds):
        raise _no_token()
    return place


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
    raise _no_token()


def _no_token() -> InvalidRequest:
    return InvalidRequest([Violation("page_token", "is not a token that an earlier response gave")])
