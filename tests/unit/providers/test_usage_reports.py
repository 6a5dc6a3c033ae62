from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router_service.domain.money import Usage
from router_service.providers.chunks import read_usage

EARLIER = Usage(input_tokens=3, output_tokens=4)


@pytest.mark.parametrize("count", [5, 5.0, "5"])
def test_a_count_may_be_written_in_any_way(count: object) -> None:
    report = {"prompt_tokens": count, "completion_tokens": count, "prompt_tokens_details": {"cached_tokens": count}}
    assert read_usage(report, None) == Usage(input_tokens=5, output_tokens=5, cached_input_tokens=5)


ABSURD = [-1, 10**19, 10**30, 1_000_000_001, 5.5, float("inf"), "many", "9" * 5000, True, [], {}]


@pytest.mark.parametrize("count", ABSURD)
@pytest.mark.parametrize("name", ["prompt_tokens", "completion_tokens"])
def test_an_absurd_count_is_not_reported(name: str, count: object) -> None:
    report = {"prompt_tokens": 1, "completion_tokens": 2, name: count}
    assert read_usage(report, None) is None
    assert read_usage(report, EARLIER) is EARLIER


@pytest.mark.parametrize("count", ABSURD)
def test_an_absurd_detail_leaves_the_counts(count: object) -> None:
    report = {
        "prompt_tokens": 1,
        "completion_tokens": 2,
        "total_tokens": count,
        "prompt_tokens_details": {"cached_tokens": count},
        "completion_tokens_details": count,
    }
    assert read_usage(report, None) == Usage(input_tokens=1, output_tokens=2)


@pytest.mark.parametrize("report", [{}, [], "none", 7, {"prompt_tokens": None}, {"tokens": 7}])
def test_a_report_without_counts_is_none(report: object) -> None:
    assert read_usage(report, None) is None
    assert read_usage(report, EARLIER) is EARLIER


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12) | st.just(10**19),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.just("cached_tokens"), inner),
    max_leaves=3,
)
NAMES = (
    "prompt_tokens",
    "completion_tokens",
    "total_tokens",
    "prompt_tokens_details",
    "completion_tokens_details",
    "cached_tokens",
    "cache_creation_input_tokens",
)


@given(st.dictionaries(st.sampled_from(NAMES), JSON))
def test_whatever_is_reported_counts_are_counts(report: dict[str, Any]) -> None:
    usage = read_usage(report, None)
    if usage is not None:
        for count in (usage.input_tokens, usage.output_tokens, usage.cached_input_tokens, usage.cache_write_tokens):
            assert 0 <= count <= 2_000_000_000
