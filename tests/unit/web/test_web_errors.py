"""What a client is told of an error, in OpenAI's words."""

from __future__ import annotations

import pytest

from router_service.domain.error import (
    BudgetSpent,
    Draining,
    LimitReached,
    Overloaded,
    Reason,
    RouterError,
    Unauthenticated,
)
from router_service.web.errors import STATUSES, FailedCall, refusal
from router_service.web.receipts import dollars, header_text


def headers(error: Exception) -> dict[str, str]:
    return dict(refusal(error, request_id="r").headers)


def test_every_reason_has_a_status_and_a_type() -> None:
    assert set(STATUSES) == set(Reason)
    assert all(400 <= status < 600 for status, _ in STATUSES.values())


@pytest.mark.parametrize("reason", list(Reason))
def test_the_code_is_the_reason(reason: Reason) -> None:
    refused = refusal(RouterError("x", reason=reason), request_id="r")
    assert refused.envelope["code"] == reason.value
    assert {"message", "type", "param", "code"} <= set(refused.envelope)


def test_a_provider_that_refuses_our_key_is_not_the_callers_fault() -> None:
    assert STATUSES[Reason.PROVIDER_REFUSES_KEY][0] == 502


@pytest.mark.parametrize(
    ("error", "after", "should"),
    [
        (Overloaded("x", retry_after=1.0), ("1", "1000"), None),
        (LimitReached("x", retry_after=0.0004), ("1", "1"), None),
        (LimitReached("x", retry_after=61.0), ("61", "61000"), "false"),
        (LimitReached("x"), None, "false"),
        (BudgetSpent("x", retry_after=3600.0), ("3600", "3600000"), "false"),
        (Draining("x"), None, None),
        (FailedCall(Draining("x"), dispatched=True), None, "false"),
        (FailedCall(Overloaded("x", retry_after=1.0), dispatched=False), ("1", "1000"), None),
        (RouterError("x", reason=Reason.DEADLINE_EXCEEDED), None, "false"),
    ],
)
def test_a_client_is_told_when_and_whether_to_ask_again(
    error: Exception, after: tuple[str, str] | None, should: str | None
) -> None:
    told = headers(error)
    assert (told.get("retry-after"), told.get("retry-after-ms")) == (after or (None, None))
    assert told.get("x-should-retry") == should


def test_who_is_not_known_is_told_how_to_be() -> None:
    assert headers(Unauthenticated("x"))["www-authenticate"] == "Bearer"


def test_an_unforeseen_error_is_told_by_its_id() -> None:
    refused = refusal(ValueError("a secret"), request_id="r-9")
    assert refused.status == 500
    assert "r-9" in refused.envelope["message"]
    assert "secret" not in str(refused)


@pytest.mark.parametrize(
    ("nano", "text"), [(0, "0"), (1, "0.000000001"), (1_500_000_000, "1.5"), (-20, "-0.00000002"), (10**10, "10")]
)
def test_money_in_a_header_has_all_its_digits(nano: int, text: str) -> None:
    assert dollars(nano) == text


def test_a_name_in_a_header_starts_no_line() -> None:
    assert header_text("größe\r\nx: y") == "gr%C3%B6%C3%9Fe%0D%0Ax: y"
