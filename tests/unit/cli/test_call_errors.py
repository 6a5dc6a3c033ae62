"""What the terminal says of a call that failed."""

from __future__ import annotations

import grpc
import pytest

from llmrouter import RouterError
from router_service.cli.calls import explained

CODES = grpc.StatusCode


@pytest.mark.parametrize(
    ("code", "reason", "says"),
    [
        (CODES.NOT_FOUND, "MODEL_NOT_FOUND", "NOT_FOUND MODEL_NOT_FOUND: It failed."),
        (CODES.UNAUTHENTICATED, "UNAUTHENTICATED", "UNAUTHENTICATED: It failed."),
        (CODES.CANCELLED, "", "CANCELLED: It failed."),
    ],
)
def test_status_and_reason_are_named_once(code: grpc.StatusCode, reason: str, says: str) -> None:
    error = RouterError("It failed.", code=code, reason=reason)
    assert list(explained(error, "127.0.0.1:50051", tls=False)) == [says]
