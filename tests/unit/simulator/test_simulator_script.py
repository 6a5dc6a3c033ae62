from pathlib import Path
from typing import Any

import pytest

from router_service.simulator import ErrorStyle, Fault, FaultKind, Rule, Script
from router_service.simulator.script import load

STALL = Fault(kind=FaultKind.STALL)


def struck(script: Script, provider: str = "p", model: str = "m", text: str = "hi", **body: Any) -> FaultKind | None:
    asked = {"messages": [{"role": "user", "content": text}], **body}
    fault = script.fault_for(provider, model, {}, asked)
    return fault.kind if fault else None


def test_a_rule_strikes_as_often_as_it_says_after_sparing_some() -> None:
    script = Script([Rule(fault=STALL, times=2, skip=1)])
    assert [struck(script) for _ in range(4)] == [None, FaultKind.STALL, FaultKind.STALL, None]


def test_rules_queue_in_order_and_match_provider_model_and_text() -> None:
    script = Script(
        [
            Rule(fault=STALL, provider="p", model="other"),
            Rule(fault=Fault(kind=FaultKind.SILENT), model="m", contains="secret word"),
            Rule(fault=Fault(kind=FaultKind.OVERLOADED), provider="p", times=None),
        ]
    )
    assert struck(script, text="the secret word") is FaultKind.SILENT
    assert [struck(script) for _ in range(3)] == [FaultKind.OVERLOADED] * 3
    assert struck(script, provider="q") is None


def test_a_healed_provider_works_again() -> None:
    script = Script([Rule(fault=STALL, provider="p", times=None), Rule(fault=STALL, provider="q", times=None)])
    script.heal(provider="p")
    assert (struck(script), struck(script, provider="q")) == (None, FaultKind.STALL)
    script.heal()
    assert struck(script, provider="q") is None


def test_a_header_asks_for_a_fault() -> None:
    asked = {"x-simulate-fault": "in_band_error;after_tokens=3;style=groq"}
    assert Script().fault_for("p", "m", asked, {}) == Fault(
        kind=FaultKind.IN_BAND_ERROR, after_tokens=3, style=ErrorStyle.GROQ
    )


def test_a_marker_gives_the_faults_of_one_call_in_turn() -> None:
    script, metadata = Script(), {"simulate_fault": "429, none, stall;after_tokens=2"}
    faults = [struck(script, metadata=metadata) for _ in range(4)]
    assert faults == [FaultKind.RATE_LIMITED, None, FaultKind.STALL, None]
    assert struck(script, text="another call", metadata=metadata) is FaultKind.RATE_LIMITED


def test_a_marker_may_be_meant_for_one_provider() -> None:
    script = Script()
    faults = [struck(script, provider=name, simulate_fault="503@p") for name in ("q", "p", "p")]
    assert faults == [None, FaultKind.UNAVAILABLE, None]


@pytest.mark.parametrize("wish", ["nonsense", "stall;after=3", "stall;after_tokens=many"])
def test_an_unreadable_wish_is_refused(wish: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the kinds of mistakes differ in their words
        Script().fault_for("p", "m", {"x-simulate-fault": wish}, {})


def test_a_file_holds_rules(tmp_path: Path) -> None:
    path = tmp_path / "faults.yaml"
    path.write_text("- {provider: p, fault: 503, seconds: 2, times: 1}\n- {fault: cut, after_tokens: 4}\n")
    script = load(path)
    assert script.fault_for("p", "m", {}, {}) == Fault(kind=FaultKind.UNAVAILABLE, seconds=2.0)
    assert script.fault_for("p", "m", {}, {}) == Fault(kind=FaultKind.CUT, after_tokens=4)
