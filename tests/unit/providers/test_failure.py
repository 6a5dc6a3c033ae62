import json
from typing import Any

import pytest

from router_service.domain.error import UpstreamError, UpstreamFault
from router_service.engine.taxonomy import may_fall_back, may_retry
from router_service.providers.failure import http_failure, stream_failure


def failed(status: int, body: Any = b"", headers: dict[str, str] | None = None) -> UpstreamError:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return http_failure("acme", status, headers or {}, raw, now=0.0)


def error(message: str = "", **more: Any) -> dict[str, Any]:
    return {"error": {"message": message, **more}}


GEMINI_PER_MINUTE = [
    {
        "error": {
            "code": 429,
            "message": "You exceeded your current quota, please check your plan and billing details.",
            "status": "RESOURCE_EXHAUSTED",
            "details": [
                {
                    "@type": "type.googleapis.com/google.rpc.QuotaFailure",
                    "violations": [{"quotaId": "GenerateRequestsPerMinutePerProjectPerModel-FreeTier"}],
                },
                {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "45.8s"},
            ],
        }
    }
]
GEMINI_PER_DAY = json.loads(json.dumps(GEMINI_PER_MINUTE).replace("PerMinute", "PerDay"))

OVER_THE_WINDOW = "Request too large for gpt-4o on tokens per min (TPM): Limit 30000, Requested 50000."

BAD_REQUEST, CONTEXT_LENGTH = UpstreamFault.BAD_REQUEST, UpstreamFault.CONTEXT_LENGTH
FILTERED = UpstreamFault.CONTENT_FILTER

TABLE: list[tuple[str, int, Any, UpstreamFault]] = [
    ("429 alone", 429, b"", UpstreamFault.RATE_LIMITED),
    ("429 rate", 429, error("Rate limit reached", code="rate_limit_exceeded"), UpstreamFault.RATE_LIMITED),
    ("429 quota", 429, error("You exceeded your current quota", code="insufficient_quota"), UpstreamFault.QUOTA),
    ("429 tokens per day", 429, error("Limit on tokens per day (TPD): 500000"), UpstreamFault.QUOTA),
    ("429 Gemini per minute", 429, GEMINI_PER_MINUTE, UpstreamFault.RATE_LIMITED),
    ("429 Gemini per day", 429, GEMINI_PER_DAY, UpstreamFault.QUOTA),
    ("429 larger than the limit", 429, error("Request too large for gpt-4o"), UpstreamFault.CONTEXT_LENGTH),
    ("402", 402, error("Insufficient Balance"), UpstreamFault.QUOTA),
    ("400 credit", 400, error("Your credit balance is too low"), UpstreamFault.QUOTA),
    ("400 arrears", 400, error("Access denied", code="Arrearage"), UpstreamFault.QUOTA),
    ("403 balance", 403, error("Sorry, your account balance is insufficient"), UpstreamFault.QUOTA),
    ("401", 401, error("Incorrect API key provided"), UpstreamFault.AUTH),
    ("403", 403, error("Forbidden"), UpstreamFault.AUTH),
    ("400 Gemini key", 400, [error("API key not valid.", status="INVALID_ARGUMENT")], UpstreamFault.AUTH),
    ("404", 404, error("no such route"), UpstreamFault.MODEL_NOT_FOUND),
    ("403 model", 403, error("no access", code="model_not_found"), UpstreamFault.MODEL_NOT_FOUND),
    ("400 model", 400, error("Model Not Exist"), UpstreamFault.MODEL_NOT_FOUND),
    ("301", 301, b"", UpstreamFault.MODEL_NOT_FOUND),
    ("400 context", 400, error("too long", code="context_length_exceeded"), UpstreamFault.CONTEXT_LENGTH),
    ("400 Anthropic", 400, error("prompt is too long: 215 tokens > 200"), UpstreamFault.CONTEXT_LENGTH),
    ("400 Mistral", 400, {"message": "Prompt contains too many tokens"}, UpstreamFault.CONTEXT_LENGTH),
    ("413 Groq", 413, error("Request too large for model `x` on TPM"), UpstreamFault.CONTEXT_LENGTH),
    ("500 llama.cpp", 500, error("the context size has been exceeded"), UpstreamFault.CONTEXT_LENGTH),
    ("400 filter", 400, error("x", code="content_filter"), UpstreamFault.CONTENT_FILTER),
    ("400 Azure", 400, error("x", innererror={"code": "ResponsibleAIPolicyViolation"}), UpstreamFault.CONTENT_FILTER),
    ("400 DashScope", 400, error("x", code="data_inspection_failed"), UpstreamFault.CONTENT_FILTER),
    ("400 DeepSeek", 400, error("Content Exists Risk"), UpstreamFault.CONTENT_FILTER),
    ("403 OpenRouter", 403, error("input flagged", metadata={"reasons": ["violence"]}), UpstreamFault.CONTENT_FILTER),
    ("403 overdue", 403, error("x", code="AccountOverdueError"), UpstreamFault.QUOTA),
    ("403 per day", 403, error("Requests per day exceeded"), UpstreamFault.QUOTA),
    ("400 overdue in a name", 400, error("Invalid schema for function 'list_overdue_invoices'"), BAD_REQUEST),
    ("400 per day in a schema", 400, error("Invalid schema: 'visits per day' is no type"), BAD_REQUEST),
    ("422 daily limit in a name", 422, error("field 'daily limit' is unexpected"), BAD_REQUEST),
    ("400 balance in a name", 400, error("Invalid function 'insufficient_balance_alert'"), BAD_REQUEST),
    ("400 key in a name", 400, error("Invalid schema for function 'report_invalid_api_key'"), BAD_REQUEST),
    ("400 moderation in a name", 400, error("Invalid schema for function 'run_moderation'"), BAD_REQUEST),
    ("400 flagged in a schema", 400, error("property 'flagged' has no type"), BAD_REQUEST),
    ("400 filter in a name", 400, error("Invalid schema for function 'content_filter'"), BAD_REQUEST),
    ("400 quoted filter", 400, error("x", metadata={"raw": json.dumps(error("y", code="content_filter"))}), FILTERED),
    ("400 flagged", 400, error("Your prompt was flagged as potentially violating our policy"), FILTERED),
    ("400 limit", 400, error("input length and `max_tokens` exceed context limit: 9 + 2 > 10"), CONTEXT_LENGTH),
    ("402 prompt", 402, error("Prompt tokens limit exceeded: 9 > 8", code=402), CONTEXT_LENGTH),
    ("400 prompt", 400, error("Prompt tokens limit exceeded: 9 > 8"), CONTEXT_LENGTH),
    ("400 GLM", 400, error("Prompt 超长", code="1261"), CONTEXT_LENGTH),
    ("429 over the window", 429, error(OVER_THE_WINDOW, code="rate_limit_exceeded"), UpstreamFault.RATE_LIMITED),
    ("503 moderation", 503, error("Overloaded: moderation of traffic, flagged"), UpstreamFault.SERVER),
    ("503 content policy", 503, error("the content policy service is down"), UpstreamFault.SERVER),
    ("500 context", 500, error("lost the context window cache"), UpstreamFault.SERVER),
    ("500 context code", 500, error("x", code="context_length_exceeded"), CONTEXT_LENGTH),
    ("402 quota code", 402, error("x", code="insufficient_quota"), UpstreamFault.QUOTA),
    ("403 quota code", 403, error("x", code="insufficient_quota"), UpstreamFault.QUOTA),
    ("429 quota type", 429, error("x", type="insufficient_quota"), UpstreamFault.QUOTA),
    ("402 alone", 402, b"", UpstreamFault.QUOTA),
    ("413 alone", 413, b"<html>413 Request Entity Too Large</html>", CONTEXT_LENGTH),
    ("400 too many tokens", 400, error("too many tokens"), CONTEXT_LENGTH),
    ("400 too large for model", 400, error("Request is too large for model"), CONTEXT_LENGTH),
    ("400 larger than the window", 400, error("This model's maximum context length is 8192 tokens."), CONTEXT_LENGTH),
    ("422 Mistral", 422, {"object": "error", "message": {"detail": [{"msg": "x"}]}, "code": "3230"}, BAD_REQUEST),
    ("405", 405, b"", UpstreamFault.MODEL_NOT_FOUND),
    ("410", 410, error("gone"), UpstreamFault.MODEL_NOT_FOUND),
    ("418", 418, b"", UpstreamFault.SERVER),
    ("451", 451, b"", UpstreamFault.CONTENT_FILTER),
    ("424", 424, error("the model failed"), UpstreamFault.SERVER),
    ("498 Groq", 498, error("Flex tier capacity exceeded"), UpstreamFault.SERVER),
    ("499", 499, b"", UpstreamFault.SERVER),
    ("400", 400, error("bad"), UpstreamFault.BAD_REQUEST),
    ("422", 422, {"detail": [{"loc": ["body"], "msg": "field required"}]}, UpstreamFault.BAD_REQUEST),
    ("400 bare string", 400, {"error": "nope"}, UpstreamFault.BAD_REQUEST),
    ("400 not JSON", 400, b"nope", UpstreamFault.BAD_REQUEST),
    ("408", 408, b"", UpstreamFault.GATEWAY_TIMEOUT),
    ("409", 409, b"", UpstreamFault.SERVER),
    ("500", 500, error("oops"), UpstreamFault.SERVER),
    ("502 web page", 502, b"<html>maximum context, content policy</html>", UpstreamFault.SERVER),
    ("503", 503, b"", UpstreamFault.SERVER),
    ("504", 504, b"", UpstreamFault.GATEWAY_TIMEOUT),
    ("520", 520, b"", UpstreamFault.SERVER),
    ("521", 521, b"", UpstreamFault.SERVER),
    ("522", 522, b"", UpstreamFault.SERVER),
    ("523", 523, b"", UpstreamFault.SERVER),
    ("524", 524, b"", UpstreamFault.GATEWAY_TIMEOUT),
    ("529", 529, error("Overloaded", type="overloaded_error"), UpstreamFault.SERVER),
]


@pytest.mark.parametrize(("status", "body", "fault"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
def test_a_response_is_classified_by_status_and_body(status: int, body: Any, fault: UpstreamFault) -> None:
    failure = failed(status, body)
    assert failure.fault is fault
    assert failure.status == status


def test_the_delay_of_gemini_is_read_from_the_body() -> None:
    assert failed(429, GEMINI_PER_MINUTE).retry_after == 45.8


@pytest.mark.parametrize("useless", ["0", "0.0", "-1", "Wed, 31 Dec 1969 23:59:00 GMT", "soon", ""])
def test_a_useless_hint_of_a_real_answer_says_nothing(useless: str) -> None:
    failure = failed(429, b"", {"retry-after": useless})
    assert (failure.fault, failure.retry_after, failure.retryable) == (UpstreamFault.RATE_LIMITED, None, None)


@pytest.mark.parametrize("status", [429, 503, 529])
def test_a_long_wait_is_kept_for_cooling_down_and_forbids_a_retry(status: int) -> None:
    for said in ({"retry-after": "300"}, {"retry-after": "Thu, 01 Jan 1970 00:05:00 GMT"}, {"retry-after-ms": "3e5"}):
        failure = failed(status, b"", said)
        assert (failure.retry_after, failure.retryable) == (300.0, False)
        assert not may_retry(failure, 1)
        assert may_fall_back(failure, on_content_filter=False)


@pytest.mark.parametrize("status", [408, 409, 429, 500, 503])
def test_a_provider_may_forbid_a_retry(status: int) -> None:
    assert may_retry(failed(status, b"", {"x-should-retry": "true"}), 1)
    assert may_retry(failed(status, b"", {}), 1)
    assert not may_retry(failed(status, b"", {"x-should-retry": " False"}), 1)


def test_a_quota_per_day_is_not_retried_whatever_its_delay() -> None:
    for failure in (failed(429, GEMINI_PER_DAY), stream_failure("acme", json.dumps(GEMINI_PER_DAY).encode())):
        assert failure.fault is UpstreamFault.QUOTA
        assert not may_retry(failure, 1)
        assert may_fall_back(failure, on_content_filter=False)


def test_headers_come_before_the_body() -> None:
    assert failed(429, GEMINI_PER_MINUTE, {"retry-after": "3"}).retry_after == 3.0
    assert failed(503, b"", {"x-should-retry": "false"}).retryable is False


@pytest.mark.parametrize(
    "body",
    [
        error("Unsupported parameter: 'max_tokens'", code="unsupported_parameter"),
        error("Unrecognized request argument supplied: seed"),
        {"object": "error", "message": {"detail": [{"type": "extra_forbidden", "loc": ["body", "stream_options"]}]}},
        [error('Invalid JSON payload received. Unknown name "seed": Cannot find field.')],
        error("property 'logit_bias' is unsupported"),
    ],
)
def test_a_field_that_others_accept_is_told_from_a_bad_request(body: Any) -> None:
    failure = failed(422, body)
    assert (failure.fault, failure.code) == (UpstreamFault.BAD_REQUEST, "unsupported_parameter")


def test_the_code_is_kept_only_if_it_looks_like_one() -> None:
    assert failed(400, error("x", type="invalid_request_error", code="string_above_max_length")).code == (
        "string_above_max_length"
    )
    assert failed(400, error("x", code="my secret prompt, all of it")).code == ""


def test_nothing_of_the_body_is_kept() -> None:
    failure = failed(400, error("CANARY in the message", param="CANARY", code="CANARY prompt"))
    assert "CANARY" not in repr(vars(failure)) + str(failure)


def test_an_echo_of_the_prompt_decides_nothing() -> None:
    body = {"detail": [{"msg": "field required", "input": "my content policy has a maximum context"}]}
    assert failed(422, body).fault is UpstreamFault.BAD_REQUEST


def test_an_error_that_is_not_utf_8_is_read_all_the_same() -> None:
    assert (
        failed(400, b'{"error": {"code": "context_length_exceeded", "message": "\xff\xe6\x97"}}').fault
        is CONTEXT_LENGTH
    )
    assert failed(400, b"too many tokens: \xff").fault is CONTEXT_LENGTH


@pytest.mark.parametrize("body", [b"[" * 5000, b'{"error":' * 500 + b"1" + b"}" * 500, b"\xff\xfe", b"null", b"[]"])
def test_hostile_bodies_are_survived(body: bytes) -> None:
    assert failed(500, body).fault is UpstreamFault.SERVER


@pytest.mark.parametrize(
    ("body", "fault", "status"),
    [
        ({"error": {"message": "timeout"}, "code": 504}, UpstreamFault.GATEWAY_TIMEOUT, 504),
        ({"error": {"message": "x", "type": "BadRequestError", "code": 400}}, UpstreamFault.BAD_REQUEST, 400),
        ({"error": {"code": "server_error", "message": "x"}}, UpstreamFault.SERVER, 500),
        ({"error": {"code": "rate_limit_exceeded", "message": "x"}}, UpstreamFault.RATE_LIMITED, 429),
        ({"error": {"code": "502", "message": "x"}}, UpstreamFault.SERVER, 502),
        ({"type": "error", "error": {"type": "overloaded_error"}}, UpstreamFault.SERVER, 529),
        ({"error": "over capacity"}, UpstreamFault.SERVER, 500),
        ({"error": {"error": {"message": "x", "type": "rate_limit_error"}}}, UpstreamFault.RATE_LIMITED, 429),
        (error("context deadline exceeded"), UpstreamFault.SERVER, 500),
        (error("maximum context length is 8192 tokens"), UpstreamFault.CONTEXT_LENGTH, 400),
        (error("Content Exists Risk"), UpstreamFault.CONTENT_FILTER, 400),
        (GEMINI_PER_MINUTE, UpstreamFault.RATE_LIMITED, 429),
        (error("x", code="insufficient_quota"), UpstreamFault.QUOTA, 429),
        (error("x", type="insufficient_quota", code=402), UpstreamFault.QUOTA, 402),
        (error("prompt is too long: 9 tokens > 8"), UpstreamFault.CONTEXT_LENGTH, 400),
        (error("x", type="exceed_context_size_error", code=400), UpstreamFault.CONTEXT_LENGTH, 400),
        ({"base_resp": {"status_code": 1008, "status_msg": "insufficient balance"}}, UpstreamFault.QUOTA, 402),
        ({"base_resp": {"status_code": 1027, "status_msg": "output new_sensitive"}}, UpstreamFault.CONTENT_FILTER, 400),
    ],
)
def test_an_error_inside_a_success_is_classified_like_a_status(body: Any, fault: UpstreamFault, status: int) -> None:
    failure = stream_failure("acme", json.dumps(body).encode())
    assert (failure.fault, failure.status) == (fault, status)


def test_the_rate_windows_of_a_server_error_say_nothing_about_it() -> None:
    windows = {"x-ratelimit-reset-requests": "6m0s", "x-ratelimit-reset-tokens": "1s"}
    failure = failed(500, b"", windows)
    assert (failure.retry_after, failure.retryable) == (None, None)
    assert failed(429, b"", windows).retry_after == 360.0
