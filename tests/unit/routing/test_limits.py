from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from routing_values import deployment, rule

from router_service.domain.policy import Feature
from router_service.routing.limits import asked_limit, limit_on

LIMITS = st.none() | st.integers(1, 100)


@given(LIMITS, LIMITS, LIMITS, LIMITS)
def test_the_least_limit_applies_and_its_owner_is_named(
    caller: int | None, feature: int | None, of_rule: int | None, model: int | None
) -> None:
    asked = asked_limit(caller, Feature(name="f", max_output_tokens=feature), rule("r", [], max_output_tokens=of_rule))
    limit = limit_on(deployment("d", max_output_tokens=model), asked, input_tokens=10)
    owners = {"caller": caller, "feature": feature, "rule": of_rule, "model": model}
    stated = [value for value in owners.values() if value is not None]
    assert limit.requested == caller
    assert limit.applied == (min(stated) if stated else None)
    assert limit.applied == owners.get(limit.reason)
    assert (limit.reason == "none") == (not stated)


@pytest.mark.parametrize(
    ("window", "requested", "model", "applied", "reason"),
    [
        pytest.param(1000, 500, None, 200, "model", id="the prompt leaves room for 200"),
        pytest.param(1000, 150, None, 150, "caller", id="the caller wants less than fits"),
        pytest.param(1000, None, 4000, 200, "model", id="the model would write more than fits"),
        pytest.param(1000, None, None, None, "none", id="nobody limits: the provider stops at the window"),
        pytest.param(None, 500, None, 500, "caller", id="an unknown window leaves all the room"),
    ],
)
def test_prompt_and_answer_fit_the_window(
    window: int | None, requested: int | None, model: int | None, applied: int | None, reason: str
) -> None:
    asked = asked_limit(requested, Feature(name=""), None)
    limit = limit_on(deployment("d", context_window=window, max_output_tokens=model), asked, input_tokens=800)
    assert (limit.applied, limit.reason) == (applied, reason)
