from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rpc_samples import SMALL

from router_service.domain.deployment import DeploymentStatus
from router_service.domain.error import InvalidRequest
from router_service.rpc.pages import page_of


def named(*ids: str) -> list[DeploymentStatus]:
    return [DeploymentStatus(deployment=replace(SMALL, id=name)) for name in ids]


def ids(statuses: object) -> list[str]:
    return [status.deployment.id for status in statuses]  # type: ignore[attr-defined]


@given(st.sets(st.text(min_size=1, max_size=8), max_size=30), st.integers(1, 7))
def test_pages_together_hold_every_deployment_once_in_order(names: set[str], page_size: int) -> None:
    seen: list[str] = []
    token = ""
    while True:
        page, token = page_of(named(*names), page_size=page_size, page_token=token)
        seen += ids(page)
        assert len(page) <= page_size
        if not token:
            break

    assert seen == sorted(names)


def test_a_page_holds_100_by_default() -> None:
    page, token = page_of(named(*(f"{n:03}" for n in range(101))), page_size=0, page_token="")

    assert len(page) == 100
    assert ids(page_of(named(*(f"{n:03}" for n in range(101))), page_size=0, page_token=token)[0]) == ["100"]


def test_a_reload_between_pages_neither_skips_nor_repeats_what_stays() -> None:
    _, token = page_of(named("a", "c", "e"), page_size=2, page_token="")
    page, _ = page_of(named("b", "c", "d", "e"), page_size=2, page_token=token)

    assert ids(page) == ["d", "e"]


@pytest.mark.parametrize("token", ["x", "AAAA", "AAAAAGE=", "é", "a b", "=" * 8, "openai"])
def test_a_token_that_was_never_given_is_refused(token: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        page_of(named("a"), page_size=0, page_token=token)

    assert [violation.field for violation in caught.value.violations] == ["page_token"]


@pytest.mark.parametrize("page_size", [-1, 1001])
def test_a_page_size_out_of_range_is_refused(page_size: int) -> None:
    with pytest.raises(InvalidRequest):
        page_of(named("a"), page_size=page_size, page_token="")
