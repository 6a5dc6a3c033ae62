"""The error taxonomy, row by row."""

import pytest

from router_service.domain.error import Reason, UpstreamError, UpstreamFault
from router_service.domain.money import Billed
from router_service.engine.taxonomy import TAXONOMY, may_fall_back, may_retry, needs_larger_context

F = UpstreamFault


def test_every_fault_has_a_row():
    assert set(TAXONOMY) == set(UpstreamFault)


@pytest.mark.parametrize(
    ("fault", "first_retry", "second_retry", "fallback", "billed"),
    [
        (F.CONNECT, True, True, True, Billed.NO),
        (F.RATE_LIMITED, True, True, True, Billed.NO),
        (F.QUOTA, False, False, True, Billed.NO),
        (F.SERVER, True, True, True, Billed.MAYBE),
        (F.GATEWAY_TIMEOUT, True, False, True, Billed.LIKELY),
        (F.READ_TIMEOUT, True, False, True, Billed.LIKELY),
        (F.AUTH, False, False, True, Billed.NO),
        (F.MODEL_NOT_FOUND, False, False, True, Billed.NO),
        (F.BAD_REQUEST, False, False, False, Billed.NO),
        (F.CONTENT_FILTER, False, False, False, Billed.MAYBE),
        (F.MALFORMED, True, False, True, Billed.MAYBE),
        (F.TRUNCATED, True, False, True, Billed.LIKELY),
        (F.FIRST_TOKEN_TIMEOUT, False, False, True, Billed.LIKELY),
    ],
)
def test_rows_say_who_may_be_asked_again_and_who_bills(fault, first_retry, second_retry, fallback, billed):
    error = UpstreamError(fault, "it failed")
    assert may_retry(error, 1) is first_retry
    assert may_retry(error, 2) is second_retry
    assert may_fall_back(error, on_content_filter=False) is fallback
    assert TAXONOMY[fault].billed is billed


def test_the_providers_own_word_against_a_retry_is_kept():
    assert not may_retry(UpstreamError(F.SERVER, "it failed", status=500, retryable=False), 1)


def test_a_prompt_that_is_too_long_goes_to_a_larger_context_only():
    error = UpstreamError(F.CONTEXT_LENGTH, "too long")
    assert may_fall_back(error, on_content_filter=False)
    assert needs_larger_context(error)
    assert TAXONOMY[F.CONTEXT_LENGTH].reason is Reason.CONTEXT_TOO_LONG


def test_a_refused_field_falls_back_only_where_another_dialect_may_take_it():
    assert may_fall_back(UpstreamError(F.BAD_REQUEST, "no", code="unsupported_parameter"), on_content_filter=False)
    assert not may_fall_back(UpstreamError(F.BAD_REQUEST, "no", code="invalid_value"), on_content_filter=False)


def test_a_filtered_prompt_falls_back_where_the_policy_says_so():
    error = UpstreamError(F.CONTENT_FILTER, "filtered")
    assert may_fall_back(error, on_content_filter=True)


def test_a_provider_may_say_that_an_unusual_refusal_will_pass():
    told = UpstreamError(F.BAD_REQUEST, "it failed", status=418, retryable=True)
    assert may_retry(told, 1)
    assert not may_retry(told, 2)
    assert not may_retry(UpstreamError(F.AUTH, "it failed", status=401, retryable=True), 1)
