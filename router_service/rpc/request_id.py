"""The id of a call in the metadata of its RPC."""

from __future__ import annotations

import re
from typing import Any

from router_service.domain.error import InvalidRequest, Violation
from router_service.edge.request_id import LONGEST_REQUEST_ID, REQUEST_ID_KEY, is_request_id, new_request_id
from router_service.rpc.ports import Context

# RFC 9113 calls a field with these malformed; gRPC lets them through.
_LINE_BREAK = re.compile(r"[\0\r\n]")


def named_in(metadata: Any) -> str | None:
    """The id the caller chose, unchecked; `None` where it chose none."""
    for key, value in metadata or ():
        if key == REQUEST_ID_KEY:
            return value if isinstance(value, str) else ""
    return None


def assign_request_id(context: Context) -> str:
    """Settle the id of a call and promise it to the caller, as trailing metadata: headers would commit the call.

    Raises `InvalidRequest` where the caller's own is unfit, and where other metadata holds what would start a new
    line; the call then has an id all the same.
    """
    metadata = context.invocation_metadata() or ()
    named = named_in(metadata)
    request_id = named if named is not None and is_request_id(named) else new_request_id()
    context.set_trailing_metadata(((REQUEST_ID_KEY, request_id),))
    violations = [
        Violation(f"metadata[{key}]", "must not hold CR, LF or NUL")
        for key, value in metadata
        if key != REQUEST_ID_KEY and isinstance(value, str) and _LINE_BREAK.search(value)
    ]
    if named is not None and named is not request_id:
        violations.append(Violation(REQUEST_ID_KEY, f"must be 1 to {LONGEST_REQUEST_ID} printable ASCII characters"))
    if violations:
        raise InvalidRequest(violations)
    return request_id


def assigned_request_id(context: Context) -> str:
    """The id that was assigned to the call, or a new one where it did not get that far."""
    promised = named_in(context.trailing_metadata())
    if promised:
        return promised
    try:
        return assign_request_id(context)
    except InvalidRequest:
        return named_in(context.trailing_metadata()) or ""
