"""Durations, sizes, money and ranges as people write them."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from router_service.config.quantity import Duration, NanoUsd, Size, Timeout
from router_service.config.when_shape import RangeShape

DURATION: TypeAdapter[float] = TypeAdapter(Duration)
SIZE: TypeAdapter[int] = TypeAdapter(Size)
MONEY: TypeAdapter[int] = TypeAdapter(NanoUsd)


@pytest.mark.parametrize(
    ("written", "seconds"),
    [("8s", 8), ("250ms", 0.25), ("2m", 120), ("1m30s", 90), ("1h", 3600), ("0.5s", 0.5), (3, 3), (0.5, 0.5), ("7", 7)],
)
def test_a_duration_is_seconds(written: Any, seconds: float) -> None:
    assert DURATION.validate_python(written) == pytest.approx(seconds)


@pytest.mark.parametrize("written", ["8x", "s", "", "-1s", -1, True, None, float("nan"), float("inf"), [1], "1s 2m"])
def test_what_is_no_duration_is_refused(written: Any) -> None:
    with pytest.raises(ValidationError):
        DURATION.validate_python(written)


def test_a_timeout_may_not_be_nothing() -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Timeout).validate_python("0s")


@pytest.mark.parametrize(
    ("written", "size"), [("4MiB", 4 << 20), ("512 KiB", 512 << 10), ("1kb", 1000), (7, 7), ("8", 8), ("1.5KiB", 1536)]
)
def test_a_size_is_bytes(written: Any, size: int) -> None:
    assert SIZE.validate_python(written) == size


@pytest.mark.parametrize("written", ["0", 0, -1, True, "4XB", 1.5])
def test_what_is_no_size_is_refused(written: Any) -> None:
    with pytest.raises(ValidationError):
        SIZE.validate_python(written)


@pytest.mark.parametrize(("written", "nano"), [(0.27, 270_000_000), ("1.10", 1_100_000_000), ("$2", 2 * 10**9), (0, 0)])
def test_money_is_integer_nano_usd(written: Any, nano: int) -> None:
    assert MONEY.validate_python(written) == nano


@pytest.mark.parametrize("written", ["free", -0.1, True, None, "nan", "inf", 10**12])
def test_what_is_no_money_is_refused(written: Any) -> None:
    with pytest.raises(ValidationError):
        MONEY.validate_python(written)


@given(st.integers(min_value=0, max_value=10**17))
def test_every_amount_down_to_a_nano_usd_survives_being_written_in_usd(nano: int) -> None:
    assert MONEY.validate_python(format(Decimal(nano) / 10**9, "f")) == nano


@pytest.mark.parametrize(
    ("written", "low", "high"),
    [
        ({"min": 1, "max": 2}, 1, 2),
        (">= 1000", 1000, None),
        ("> 1000", 1001, None),
        ("<8", None, 7),
        ("<= 8", None, 8),
        (">= 1, < 5", 1, 4),
        ("= 3", 3, 3),
        (4, 4, 4),
        ("1_000-8_000", 1000, 8000),
        ("2..4", 2, 4),
    ],
)
def test_a_range_is_inclusive_however_it_is_written(written: Any, low: int | None, high: int | None) -> None:
    shape = RangeShape.model_validate(written)
    assert (shape.min, shape.max) == (low, high)


@pytest.mark.parametrize("written", ["", ">=", "1000+", {"min": 2, "max": 1}, "< 0", True, [1]])
def test_what_is_no_range_is_refused(written: Any) -> None:
    with pytest.raises(ValidationError):
        RangeShape.model_validate(written)
