import pytest

from router_service.spend.money import usd


@pytest.mark.parametrize(
    ("nano", "text"),
    [
        (0, "$0.00"),
        (1, "$0.000000001"),
        (123_000, "$0.000123"),
        (123_456, "$0.000123"),
        (10_000_000, "$0.01"),
        (12_300_000, "$0.0123"),
        (500_000_000, "$0.50"),
        (999_900_000, "$1.00"),
        (1_005_000_000, "$1.00"),
        (1_015_000_000, "$1.02"),
        (1_234_567_890_000, "$1,234.57"),
        (-2_500_000, "-$0.0025"),
    ],
)
def test_dollars_keep_enough_digits_to_tell_amounts_apart(nano: int, text: str) -> None:
    assert usd(nano) == text
