"""What of a continued answer is new."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from router_service.providers.echo import PrefixEcho

LONG = "The tides follow the moon, which is why they come late."


def new(prefix: str, *pieces: str) -> str:
    echo = PrefixEcho(prefix)
    return "".join(map(echo.new, pieces)) + echo.rest()


def test_a_beginning_that_comes_again_is_taken_away_once() -> None:
    assert new(LONG, LONG + " So") == " So"
    assert new(LONG, *LONG, " ", "So") == " So"
    assert new(LONG, LONG) == ""
    assert new("ha", "haha") == "ha"


def test_text_that_only_begins_alike_is_kept() -> None:
    assert new(LONG, "The tides", " turn") == "The tides turn"
    assert new(LONG, "The tides") == "The tides"


def test_text_is_held_back_only_while_it_agrees() -> None:
    echo = PrefixEcho(LONG)
    assert echo.new("The ") == ""
    assert echo.new("sea") == "The sea"
    assert echo.new("The ") == "The "


@given(st.text("ab", min_size=1, max_size=6), st.lists(st.text("ab", max_size=4), max_size=8))
def test_nothing_but_one_whole_echo_is_ever_lost(prefix: str, pieces: list[str]) -> None:
    assert new(prefix, *pieces) == "".join(pieces).removeprefix(prefix)
