import dataclasses
from pathlib import Path

import pytest

from router_service.app import routing_table
from router_service.config.load import load
from router_service.domain.deployment import Capability
from router_service.domain.money import Usage
from router_service.lab.replay import PastCall, replay
from router_service.lab.traffic import read_traffic
from router_service.spend.catalogue import catalogue_facts

ROOT = Path(__file__).parents[3]
TABLE_5 = ROOT / "router_service" / "policies" / "table-5-query-and-complexity.yaml"
DAY = ROOT / "docs" / "examples" / "traffic" / "table-5-day.yaml"

POLICY = """
providers:
  ours: {base_url: "http://127.0.0.1:1/v1", api_key: "${KEY:-}"}
models:
  big: {provider: ours, price: {input: 10, output: 20, cached_input: 1}, capabilities: [tools]}
  small: {provider: ours, price: {input: 1, output: 2, cached_input: 0.5}, capabilities: []}
  free: {provider: ours}
features:
  short: {max_output_tokens: 10}
policies:
  default:
    baseline: big
    rules:
      - {when: {complexity: complex}, use: [big]}
      - {when: {labels: {team: lab}}, use: [free]}
      - {when: {needs: [tools]}, use: [small]}
      - {use: [small]}
"""

USAGE = Usage(input_tokens=100, output_tokens=50, cached_input_tokens=40)


@pytest.fixture
def table(tmp_path):
    file = tmp_path / "new.yaml"
    file.write_text(POLICY)
    return routing_table(load(file, catalogue_facts, {}))


def past(**changes):
    known = {"feature": "chat", "model": "old", "deployment": "old", "usage": USAGE, "cost": 9_000, "input_tokens": 100}
    return PastCall(**{**known, **changes})


def test_a_call_goes_where_the_other_policy_sends_it(table):
    report = replay([past(), past(complexity="complex")], table)
    assert {pair: line.calls for pair, line in report.by_model.items()} == {("old", "small"): 1, ("old", "big"): 1}
    assert (report.total.calls, report.total.did_cost) == (2, 18_000)
    # 100 in and 50 out at 1 and 2 USD a million, and at 10 and 20: nothing is cached at a model that did not serve.
    assert report.total.would_cost == 200_000 + 2_000_000
    assert report.baseline_cost == 2 * 2_000_000


def test_what_was_cached_still_is_where_the_same_deployment_serves(table):
    report = replay([past(deployment="small", model="small")], table)
    assert report.total.would_cost == 60_000 + 20_000 + 100_000


def test_what_the_caller_said_of_complexity_is_read_by_the_other_policy(table):
    report = replay([past(complexity="simple", asked_complexity="Complex"), past(asked_complexity="weird")], table)
    assert report.by_model.keys() == {("old", "big"), ("old", "small")}


def test_the_other_policys_token_limits_hold(table):
    report = replay([past(feature="short")], table)
    assert report.total.would_cost == 100_000 + 20_000


def test_wishes_hold_as_far_as_the_other_file_knows_them(table):
    report = replay([past(asked_model="big"), past(asked_model="gone"), past(asked_deployment="free")], table)
    assert report.by_model.keys() == {("old", "big"), ("old", "small"), ("old", "free")}


def test_labels_and_needs_are_conditions_as_ever(table):
    report = replay([past(labels={"team": "lab"}), past(needs=frozenset({Capability.TOOLS}))], table)
    assert report.by_model[("old", "free")].uncounted == 1
    assert report.refused == {"NO_ELIGIBLE_CANDIDATE": 1}


def test_what_is_unknown_on_one_side_is_in_neither_sum(table):
    report = replay([past(cost=None), past()], table)
    assert (report.total.calls, report.total.uncounted) == (2, 1)
    assert report.total.did_cost == 9_000


def test_missing_keys_do_not_matter(table):
    without_keys = {name: dataclasses.replace(one, has_credentials=False) for name, one in table.deployments.items()}
    assert replay([past()], dataclasses.replace(table, deployments=without_keys)).refused == {}


def test_the_day_of_table_5_costs_what_was_published():
    table = routing_table(load(TABLE_5, catalogue_facts, {}))
    report = replay(read_traffic(DAY), table)
    assert report.baseline_cost == 155_000_000_000
    assert round(report.total.would_cost / 10**9, 2) == 62.28
    assert {name: line.would_cost / 10**9 for name, line in report.by_feature.items()} == pytest.approx(
        {"chatbot": 8.15, "code_review": 3.29, "content": 33.03, "extraction": 17.8125}
    )
