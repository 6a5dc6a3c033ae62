import pytest

from router_service.domain.money import Usage
from router_service.lab.traffic import TrafficError, read_traffic


def read(tmp_path, text):
    file = tmp_path / "traffic.yaml"
    file.write_text(text)
    return read_traffic(file)


def test_the_tokens_of_a_day_are_spread_over_its_calls(tmp_path):
    [call] = read(tmp_path, "uses: {chat: {input_tokens: 10_000, output_tokens: 5_000, calls: 100, tier: free}}")
    assert (call.feature, call.tier, call.calls) == ("chat", "free", 100)
    assert call.usage == Usage(input_tokens=100, output_tokens=50)


def test_a_mix_splits_calls_and_tokens(tmp_path):
    text = "uses: {a: {input_tokens: 1000, mix: [{share: 0.8, complexity: simple}, {share: 0.2, complexity: complex}]}}"
    simple, hard = read(tmp_path, text)
    assert (simple.calls, simple.asked_complexity, hard.calls, hard.asked_complexity) == (800, "simple", 200, "complex")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "write `uses:`"),
        ("uses: [a]", "write `uses:`"),
        ("uses: {a: 5}", "uses.a: write its settings"),
        ("uses: {a: {tokens: 5}}", "uses.a.tokens is not known"),
        ("uses: {a: {input_tokens: many}}", "uses.a.input_tokens: write a number"),
        ("uses: {a: {mix: [{share: 0.5}, {share: 0.2}]}}", "uses.a.mix: the shares add up to 0.7"),
        ("uses: {a: {needs: [wings]}}", "uses.a.needs: needs are tools"),
        ("uses: {a: {tier: 5}}", "uses.a.tier: write a text"),
        ("a: b: c", "is not YAML"),
    ],
)
def test_a_mistake_is_told_with_its_place(tmp_path, text, told):
    with pytest.raises(TrafficError, match=told):
        read(tmp_path, text)
