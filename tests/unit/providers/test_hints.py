import pytest

from router_service.domain.upstream import RateLeft
from router_service.providers.hints import RetryHint, duration_seconds, rate_left, retry_hint

# Sun, 06 Nov 1994 08:49:37 GMT
NOW = 784111777.0


def hint(headers: dict[str, str], body_delay: float | None = None, status: int = 429) -> RetryHint:
    return retry_hint(headers, body_delay, status=status, now=NOW)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("6s", 6.0),
        ("1.57s", 1.57),
        ("17ms", 0.017),
        ("6m0s", 360.0),
        ("1h2m3s", 3723.0),
        ("45.8s", 45.8),
        ("2", 2.0),
        ("soon", None),
        ("", None),
        ("nan", None),
        ("5s later", None),
    ],
)
def test_durations_are_read_in_every_form_in_use(text: str, seconds: float | None) -> None:
    assert duration_seconds(text) == (None if seconds is None else pytest.approx(seconds))


def test_milliseconds_are_the_first_choice() -> None:
    headers = {"retry-after-ms": "250", "retry-after": "1", "x-ratelimit-reset-requests": "9s"}
    assert hint(headers, 5.0).after == 0.25


def test_seconds_may_be_a_fraction() -> None:
    assert hint({"retry-after": "1.5"}, 5.0).after == 1.5


def test_a_date_is_read_against_the_clock() -> None:
    assert hint({"retry-after": "Sun, 06 Nov 1994 08:49:57 GMT"}).after == 20.0


def test_the_delay_in_the_body_comes_before_rate_windows() -> None:
    assert hint({"x-ratelimit-reset-tokens": "6s"}, 45.8).after == 45.8


def test_the_used_up_window_counts() -> None:
    headers = {
        "x-ratelimit-reset-requests": "6m0s",
        "x-ratelimit-remaining-requests": "99",
        "x-ratelimit-reset-tokens": "1.57s",
        "x-ratelimit-remaining-tokens": "0",
    }
    assert hint(headers).after == 1.57


def test_without_a_used_up_window_the_later_reset_counts() -> None:
    assert hint({"x-ratelimit-reset-requests": "3s", "x-ratelimit-reset-tokens": "1s"}).after == 3.0


@pytest.mark.parametrize("useless", ["0", "-3", "soon", "Sun, 06 Nov 1994 08:00:00 GMT"])
def test_a_hint_that_says_nothing_passes_on_to_the_next(useless: str) -> None:
    assert hint({"retry-after-ms": useless, "retry-after": useless}, 2.0).after == 2.0


def test_a_long_wait_means_not_here() -> None:
    assert hint({"retry-after": "120"}) == RetryHint(120.0, None)
    assert hint({"retry-after": "121"}) == RetryHint(121.0, False)
    assert hint({"retry-after": "3600", "x-should-retry": "true"}) == RetryHint(3600.0, False)


def test_the_providers_own_word_is_kept() -> None:
    assert hint({"x-should-retry": "true"}).retryable is True
    assert hint({"x-should-retry": "false"}).retryable is False
    assert hint({}) == RetryHint(None, None)


def test_rate_windows_count_only_where_the_rate_is_the_cause() -> None:
    headers = {"x-ratelimit-reset-requests": "6m0s", "x-ratelimit-remaining-requests": "99"}
    assert hint(headers, status=500) == RetryHint(None, None)
    assert hint({**headers, "retry-after": "2"}, status=503) == RetryHint(2.0, None)


def test_no_hint_is_longer_than_a_day() -> None:
    assert hint({"retry-after": "31536000"}) == RetryHint(86400.0, False)
    assert hint({"retry-after": "Sun, 06 Nov 2094 08:49:37 GMT"}) == RetryHint(86400.0, False)
    assert hint({}, float("9" * 400)) == RetryHint(86400.0, False)


@pytest.mark.parametrize(
    "date",
    [
        "Sun, 06 Nov 99999999999999999999 08:49:37 GMT",
        "Sun, 06 Nov 1994 08:49:37 +99999999999999999999",
        "Sun, 06 Nov 10000 08:49:37 GMT",
    ],
)
def test_absurd_dates_say_nothing(date: str) -> None:
    assert hint({"retry-after": date}) == RetryHint(None, None)


def test_what_is_left_of_the_rate_is_read_from_the_headers():
    headers = {
        "x-ratelimit-remaining-requests": "0",
        "x-ratelimit-reset-requests": "1.5s",
        "x-ratelimit-remaining-tokens": "149984",
    }
    assert rate_left(headers) == RateLeft(requests=0, requests_reset=1.5, tokens=149_984)
    assert rate_left({"x-ratelimit-remaining-requests": "many"}) is None
    assert rate_left({}) is None
