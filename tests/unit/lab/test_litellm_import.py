"""What becomes of litellm's configurations, field by field."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from router_service.config.problem import ConfigurationError
from router_service.domain.deployment import ModelFacts, Price, Rate
from router_service.lab.litellm.fields import ENTRY, GENERAL, INFO, LITELLM, PARAMS, ROUTER, SUPPORTS, TOP, Field
from router_service.lab.litellm.importing import read, tried, written
from router_service.lab.litellm.reference import reference
from router_service.lab.litellm.translation import Translation

DOCS = Path(__file__).parents[3] / "docs"
SECRET = "sk-this-must-not-be-seen-4711"


def knows_gpt_4o(_: str, model: str) -> ModelFacts | None:
    rate = Rate(2_500_000_000)
    price = Price(input=rate, output=Rate(10**10), cached_input=rate, cache_write=rate, version="test")
    return ModelFacts(price=price, context_window=128_000) if model == "gpt-4o" else None


def imported(content: Any) -> Translation:
    text = content if isinstance(content, str) else yaml.safe_dump(content)
    return read(text, "config.yaml", knows_gpt_4o)


def entry(name: str = "chat", /, info: Mapping[str, Any] | None = None, **params: Any) -> dict[str, Any]:
    made: dict[str, Any] = {"model_name": name, "litellm_params": {"model": "openai/gpt-4o", **params}}
    return {**made, "model_info": dict(info)} if info else made


def one(**params: Any) -> dict[str, Any]:
    return {"model_list": [entry(**params)]}


def left(made: Translation) -> dict[str, str]:
    return {problem.path: problem.message for problem in made.findings.left}


def problems_of(made: Translation) -> list[str]:
    return [str(problem) for problem in tried(written(made), made, {}, knows_gpt_4o)]


def deployment(made: Translation, name: str = "openai/gpt-4o") -> dict[str, Any]:
    return dict(made.content["models"][name])


def rule(made: Translation, policy: str = "chat") -> dict[str, Any]:
    return dict(made.content["policies"][policy]["rules"][0])


# Nothing is dropped silently

SAMPLES: dict[str, Any] = {
    "model": "openai/gpt-4o", "custom_llm_provider": "openai", "api_key": "os.environ/SOME_KEY",
    "api_base": "https://llm.example.com/v1", "base_url": "https://llm.example.com/v1", "api_version": "2024-02-01",
    "organization": "org-1", "extra_headers": {"X-Team": "red"}, "headers": {"X-Team": "red"},
    "litellm_credential_name": "shared", "region_name": "EU", "rpm": 10, "tpm": 1000, "weight": 2, "order": 1,
    "max_parallel_requests": 5, "timeout": 30, "stream_timeout": 5, "max_retries": 2, "max_tokens": 100,
    "max_completion_tokens": 100, "temperature": 0.5, "top_p": 0.9, "frequency_penalty": 0.1, "presence_penalty": 0.1,
    "seed": 7, "stop": ["END"], "reasoning_effort": "low", "input_cost_per_token": 0.000001,
    "output_cost_per_token": 0.000002, "cache_read_input_token_cost": 0.0000005,
    "cache_creation_input_token_cost": 0.00000125, "max_budget": 10, "budget_duration": "1d", "drop_params": True,
    "id": "first", "mode": "chat", "base_model": "gpt-4o-2024-08-06", "max_input_tokens": 128000,
    "max_output_tokens": 4096, **dict.fromkeys(SUPPORTS, True), "routing_strategy": "latency-based-routing",
    "fallbacks": [{"chat": ["other"]}], "default_fallbacks": ["other"],
    "context_window_fallbacks": [{"chat": ["other"]}], "content_policy_fallbacks": [{"chat": ["other"]}],
    "max_fallbacks": 2, "model_group_alias": {"alias": "chat"}, "num_retries": 2, "retry_after": 3,
    "default_litellm_params": {"temperature": 0.5}, "default_max_parallel_requests": 9, "enable_pre_call_checks": True,
    "enable_pre_call_check": True, "redis_url": "os.environ/REDIS_URL", "redis_host": "redis.example.com",
    "redis_port": 6379, "redis_password": "os.environ/REDIS_PASSWORD", "redis_db": 2, "request_timeout": 20,
    "success_callback": ["otel"], "failure_callback": ["prometheus"], "callbacks": ["otel"],
    "service_callbacks": ["prometheus"], "turn_off_message_logging": True, "master_key": SECRET,
    "database_url": "os.environ/DATABASE_URL", "database_connection_pool_limit": 10, "database_connection_timeout": 6,
    "global_max_parallel_requests": 100, "max_request_size_mb": 8, "completion_model": "other",
    "maximum_spend_logs_retention_period": "30d", "store_prompts_in_spend_logs": True,
}  # fmt: skip
"""A value for each field that is mapped; for the others anything will do."""

COMPANIONS = {
    "budget_duration": ["max_budget"],
    **{name: ["redis_host"] for name in ("redis_port", "redis_password", "redis_db")},
    **{
        name: ["input_cost_per_token", "output_cost_per_token"] for name in PARAMS if name.endswith(("_cost", "_token"))
    },
}
"""What a field means nothing without."""

SECTIONS: list[tuple[str, Mapping[str, Field]]] = [
    ("litellm_params", PARAMS), ("model_info", INFO), ("router_settings", ROUTER), ("litellm_settings", LITELLM),
    ("general_settings", GENERAL),
]  # fmt: skip
EVERY_FIELD = [(section, name, field) for section, fields in SECTIONS for name, field in fields.items()]


@pytest.mark.parametrize(("section", "name", "field"), EVERY_FIELD, ids=lambda one: one if isinstance(one, str) else "")
def test_a_field_is_mapped_or_reported_as_its_table_says(section: str, name: str, field: Field) -> None:
    given = {key: SAMPLES[key] for key in COMPANIONS.get(name, [])} | {name: SAMPLES.get(name, "anything")}
    content: dict[str, Any] = {"model_list": [entry(), entry("other")]}
    content["credential_list"] = [{"credential_name": "shared", "credential_values": {"api_key": "os.environ/K"}}]
    in_entry = section in ("litellm_params", "model_info")
    if in_entry:
        content["model_list"][0].setdefault(section, {}).update(given)
    else:
        content[section] = given
    made = imported(content)
    path = f"model_list[0].{section}.{name}" if in_entry else f"{section}.{name}"
    assert left(made) == ({} if field.becomes else {path: f"not mapped: {field.remark}"})
    assert problems_of(made) == []
    assert field.becomes == "" or name in SAMPLES


@pytest.mark.parametrize("name", [name for name, field in {**TOP, **ENTRY}.items() if not field.becomes])
def test_what_is_left_out_at_the_top_is_reported(name: str) -> None:
    assert left(imported({**one(), name: ["anything"]})) == {name: f"not mapped: {TOP[name].remark}"}


@pytest.mark.parametrize(
    "place",
    ["", "model_list/0", "model_list/0/litellm_params", "model_list/0/model_info", "router_settings",
     "litellm_settings", "general_settings", "router_settings/default_litellm_params"],
)  # fmt: skip
def test_a_field_nobody_knows_is_reported_wherever_it_is(place: str) -> None:
    content: dict[str, Any] = one()
    at: Any = content
    for step in filter(None, place.split("/")):
        at = at[int(step)] if step.isdigit() else at.setdefault(step, {})
    at["brand_new"] = 1
    [(path, message)] = left(imported(content)).items()
    assert path.endswith("brand_new")
    assert "not known" in message


def test_what_is_left_out_is_told_with_its_line_and_again_in_the_new_file() -> None:
    made = imported(
        "model_list:\n  - model_name: chat\n    litellm_params:\n      model: openai/gpt-4o\n      mock_response: Hi\n"
    )
    assert [problem.line for problem in made.findings.left] == [5]
    assert "#   line 5: model_list[0].litellm_params.mock_response\n" in written(made)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (entry("*"), "wildcards"),
        ({"model_name": "all", "litellm_params": {"model": "openai/*"}}, "wildcards"),
        ({"model_name": "b", "litellm_params": {"model": "bedrock/claude"}}, "bedrock does not speak"),
        ({"model_name": "b", "litellm_params": {"model": "gemini-pro"}}, "nothing tells the provider"),
        ({"model_name": "b", "litellm_params": {"model": "nobody/x"}}, "nobody is no provider"),
        ({"litellm_params": {"model": "openai/gpt-4o"}}, "needs model_name"),
        (entry("e", {"mode": "embedding"}), "its mode is embedding"),
    ],
)
def test_an_entry_that_cannot_be_called_is_left_out_and_so_are_fallbacks_on_it(
    content: dict[str, Any], words: str
) -> None:
    name = content.get("model_name", "nobody")
    made = imported({"model_list": [entry(), content], "router_settings": {"fallbacks": [{"chat": [name]}]}})
    told = left(made)
    assert words in told["model_list[1]"]
    assert "no deployment" in told["router_settings.fallbacks[0].chat[0]"]
    assert "then" not in rule(made)
    assert list(made.content["policies"]) == ["chat"]


def test_a_file_of_which_nothing_can_be_called_is_not_usable() -> None:
    assert not imported({"model_list": [entry("*")]}).is_usable
    assert not imported({"litellm_settings": {"cache": True}}).is_usable


@pytest.mark.parametrize("text", ["", "model_list: [", "- a\n", "a: 1\na: 2\n"])
def test_what_is_no_yaml_mapping_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError):
        imported(text)


@pytest.mark.parametrize("section", ["model_list", "router_settings", "general_settings"])
def test_a_section_of_the_wrong_kind_is_reported(section: str) -> None:
    assert section in left(imported({**one(), section: "text"}))


# Secrets

PLAIN = {
    "model_list": [
        entry(api_key=SECRET, extra_headers={"X-Api-Key": SECRET, "X-Team": "red"}),
        entry("other", api_key=SECRET),
        entry("third", api_key="another-secret"),
        entry("fourth", api_key="os.environ/OPENAI_API_KEY_3"),
        entry("fifth"),
    ],
    "environment_variables": {"LANGFUSE_SECRET": SECRET},
    "router_settings": {"redis_host": "r", "redis_password": SECRET},
    "litellm_settings": {"cache_params": {"password": SECRET}},
    "general_settings": {"master_key": SECRET, "database_url": f"postgresql://u:{SECRET}@h/d"},
}


def test_a_secret_in_plain_text_is_neither_written_nor_told() -> None:
    made = imported(PLAIN)
    findings = made.findings
    everything = written(made) + "".join(map(str, [*findings.left, *findings.notes, *findings.variables.values()]))
    assert SECRET not in everything
    assert "another-secret" not in everything
    assert problems_of(made) == []


def test_equal_secrets_share_a_variable_that_nothing_else_is_called() -> None:
    made = imported(PLAIN)
    keys = {name: provider.get("api_key") for name, provider in made.content["providers"].items()}
    used = {name: keys[deployment["provider"]] for name, deployment in made.content["models"].items()}
    assert list(used.values()) == [
        "${OPENAI_API_KEY_2}", "${OPENAI_API_KEY_2}", "${OPENAI_API_KEY_4}", "${OPENAI_API_KEY_3}", "${OPENAI_API_KEY}",
    ]  # fmt: skip
    assert made.findings.variables["OPENAI_API_KEY_2"].origin == "the value itself is in the old file"
    assert made.content["providers"]["openai"]["headers"] == {"X-Api-Key": "${OPENAI_API_KEY_2}", "X-Team": "red"}


def test_a_literal_dollar_and_brace_stay_what_they_are() -> None:
    made = imported(one(extra_headers={"X-Team": "${RED}"}))
    assert made.content["providers"]["openai"]["headers"]["X-Team"] == "$${RED}"
    assert problems_of(made) == []


@pytest.mark.parametrize("placeholder", ["none", "", "EMPTY", "not-needed"])
def test_a_key_that_says_there_is_none_is_no_key(placeholder: str) -> None:
    made = imported(one(api_base="http://10.0.0.1:8000/v1", api_key=placeholder))
    assert "api_key" not in made.content["providers"]["openai"]
    assert made.findings.variables == {}


# Providers and deployments


@pytest.mark.parametrize(
    ("params", "provider"),
    [
        ({"model": "gpt-4o"}, {"api_key": "${OPENAI_API_KEY}"}),
        ({"model": "claude-sonnet-4"}, {"api_key": "${ANTHROPIC_API_KEY}"}),
        ({"model": "together_ai/m"}, {"preset": "together", "api_key": "${TOGETHERAI_API_KEY}"}),
        ({"model": "ollama/llama3", "api_base": "http://h:11434"}, {"base_url": "http://h:11434"}),
        (
            {"model": "azure/eu", "api_base": "https://x.openai.azure.com/openai/"},
            {"base_url": "https://x.openai.azure.com", "api_key": "${AZURE_API_KEY}"},
        ),
        ({"model": "openai/m", "api_base": "http://h:1/v1"}, {"preset": "custom", "base_url": "http://h:1/v1"}),
        (
            {"model": "openai/m", "api_base": "https://eu.api.openai.com/v1"},
            {"base_url": "https://eu.api.openai.com/v1", "api_key": "${OPENAI_API_KEY}"},
        ),
        ({"model": "org/m", "custom_llm_provider": "hosted_vllm", "api_base": "http://h/v1"},
         {"preset": "vllm", "base_url": "http://h/v1"}),
    ],
)  # fmt: skip
def test_a_provider_is_its_preset_with_the_address_and_key_of_the_entry(
    params: dict[str, Any], provider: dict[str, Any]
) -> None:
    made = imported({"model_list": [{"model_name": "chat", "litellm_params": params}]})
    [found] = made.content["providers"].values()
    assert found == provider
    assert problems_of(made) == []


def test_deployments_of_the_same_address_and_key_share_a_provider() -> None:
    azure = {"api_base": "https://a.openai.azure.com", "model": "azure/x"}
    made = imported(
        {"model_list": [entry(), entry("other"), entry("a", **azure), entry("b", **azure | {"api_key": "k"})]}
    )
    assert list(made.content["providers"]) == ["openai", "azure", "azure-2"]
    assert made.content["providers"]["azure-2"]["preset"] == "azure"
    assert list(made.content["models"]) == ["openai/gpt-4o", "openai/gpt-4o-2", "azure/x", "azure/x-2"]


def test_no_deployment_is_called_what_callers_call_a_group() -> None:
    made = imported({"model_list": [entry("openai/gpt-4o"), entry("b", {"id": "alias"})],
                     "router_settings": {"model_group_alias": {"alias": "b"}}})  # fmt: skip
    assert list(made.content["models"]) == ["openai/gpt-4o-2", "alias-2"]
    assert set(made.content["policies"]) == {"openai/gpt-4o", "b", "alias"}


def test_a_credential_is_filled_in_under_what_the_entry_says() -> None:
    values = {"api_key": "os.environ/SHARED", "api_base": "https://a.openai.azure.com", "api_version": "v1"}
    made = imported({
        "model_list": [
            entry(model="azure/x", litellm_credential_name="shared"), entry("b", litellm_credential_name="no"),
        ],
        "credential_list": [{"credential_name": "shared", "credential_values": values, "credential_info": {}}],
    })  # fmt: skip
    azure = made.content["providers"]["azure"]
    assert azure == {"base_url": "https://a.openai.azure.com", "api_key": "${SHARED}"}
    assert list(left(made)) == ["model_list[1].litellm_params.litellm_credential_name"]


def test_prices_are_exact_per_million_tokens_and_need_both_sides() -> None:
    made = imported(one(input_cost_per_token=0.00000015, output_cost_per_token="6e-7"))
    assert deployment(made)["price"] == {"input": "0.15", "output": "0.6"}
    half = imported(one(input_cost_per_token=0.00000015))
    assert "price" not in deployment(half)
    assert "needs both" in left(half)["model_list[0].litellm_params.input_cost_per_token"]


def test_a_base_model_gives_price_and_window_where_its_name_is_taken_by_a_group() -> None:
    azure = {"model": "azure/eu", "api_base": "https://a.openai.azure.com"}
    free = imported({"model_list": [entry("chat", {"base_model": "azure/gpt-4o"}, **azure)]})
    assert deployment(free, "azure/eu")["model"] == "gpt-4o"
    taken = imported({"model_list": [entry("gpt-4o", {"base_model": "azure/gpt-4o"}, **azure)]})
    assert deployment(taken, "azure/eu")["price"] == {"input": "2.5", "output": "10"}
    assert deployment(taken, "azure/eu")["context_window"] == 128_000


def test_statements_on_a_model_change_what_its_preset_knows() -> None:
    made = imported({"model_list": [entry("chat", {"supports_vision": False, "supports_reasoning": True})]})
    assert deployment(made)["capabilities"] == ["tools", "json_object", "json_schema", "reasoning", "logprobs"]


@pytest.mark.parametrize(
    ("rates", "weights"),
    [
        ([{"weight": 3}, {"weight": 1}], [3, 1]),
        ([{"rpm": 900, "tpm": 5}, {"rpm": 100}], [900, 100]),
        ([{"tpm": 10}, {"tpm": 30}], [10, 30]),
        ([{"rpm": 900}, {}], [None, None]),
    ],
)
def test_deployments_are_weighed_as_simple_shuffle_weighs_them(
    rates: list[dict[str, Any]], weights: list[int | None]
) -> None:
    made = imported({"model_list": [entry(**rate) for rate in rates]})
    assert [one.get("weight") for one in made.content["models"].values()] == weights
    assert rule(made)["strategy"] == "weighted"


# Policies


@pytest.mark.parametrize(
    ("strategy", "ours", "is_left"),
    [
        ("simple-shuffle", "weighted", False), ("latency-based-routing", "fastest", False),
        ("cost-based-routing", "cheapest", False), ("usage-based-routing-v2", "weighted", False),
        ("least-busy", "weighted", True),
    ],
)  # fmt: skip
def test_the_strategy_is_that_of_the_group_with_the_nearest_in_place_of_others(
    strategy: str, ours: str, is_left: bool
) -> None:
    made = imported({"model_list": [entry(), entry()], "router_settings": {"routing_strategy": strategy}})
    assert rule(made)["strategy"] == ours
    assert ("router_settings.routing_strategy" in left(made)) is is_left


def test_order_and_weight_0_put_deployments_behind_the_others() -> None:
    made = imported({"model_list": [
        entry(order=2, model="openai/second"), entry(order=1, model="openai/first"),
        entry(order=1, model="openai/never", weight=0), entry(order=1, model="openai/also"),
    ]})  # fmt: skip
    assert rule(made)["use"] == ["openai/first", "openai/also"]
    assert rule(made)["then"] == ["openai/second", "openai/never"]


GROUPS = [entry(name, model=f"openai/{name}") for name in "abcdefgh"]


@pytest.mark.parametrize(
    ("settings", "then"),
    [
        ({"fallbacks": [{"a": ["b", "c"]}]}, "bc"),
        ({"fallbacks": [{"a": ["b", "d"]}, {"b": ["c", "a"]}]}, "bcd"),
        ({"fallbacks": [{"*": ["h"]}]}, "h"),
        ({"fallbacks": [{"a": ["b"]}, {"*": ["h"]}]}, "bh"),
        ({"default_fallbacks": ["g"]}, "g"),
        ({"fallbacks": [{"a": ["b"]}], "default_fallbacks": ["g"]}, "bg"),
        ({"fallbacks": [{"a": list("bcdefgh")}]}, "bcdef"),
        ({"fallbacks": [{"a": list("bcd")}], "max_fallbacks": 2}, "bc"),
        ({"fallbacks": [{"a": ["b"]}], "context_window_fallbacks": [{"a": ["c", "b"]}]}, "bc"),
        ({"fallbacks": [{"a": ["b"]}], "content_policy_fallbacks": [{"a": ["d"]}]}, "bd"),
    ],
)
@pytest.mark.parametrize("section", ["router_settings", "litellm_settings"])
def test_fallbacks_follow_in_litellms_order(section: str, settings: dict[str, Any], then: str) -> None:
    router = {key: settings.pop(key) for key in ("max_fallbacks",) if key in (settings := dict(settings))}
    content = {"model_list": GROUPS, "router_settings": router}
    content[section] = {**content.get(section, {}), **settings}
    made = imported(content)
    assert rule(made, "a")["then"] == [f"openai/{name}" for name in then]
    assert ("fallback_on_content_filter" in made.content["policies"]["a"]) is ("content_policy_fallbacks" in settings)


def test_a_fallback_may_be_one_deployment_of_a_group_or_an_alias() -> None:
    made = imported({
        "model_list": [entry("a"), entry("b", {"id": "b-1"}), entry("b", model="openai/x")],
        "router_settings": {"fallbacks": [{"a": ["b-1"]}], "model_group_alias": {"also-a": "a"}},
    })  # fmt: skip
    assert rule(made, "a")["then"] == ["b-1"]
    assert rule(made, "also-a") == rule(made, "a")


def test_a_fallback_with_parameters_of_its_own_is_left_out() -> None:
    content = {"model_list": GROUPS, "router_settings": {"fallbacks": [{"a": [{"model": "b", "temperature": 0}, "c"]}]}}
    made = imported(content)
    assert rule(made, "a")["then"] == ["openai/c"]
    assert list(left(made)) == ["router_settings.fallbacks[0].a[0]"]


@pytest.mark.parametrize(
    ("alias", "told"),
    [
        ({"x": "chat"}, []),
        ({"x": {"model": "chat", "hidden": False}}, []),
        ({"x": {"model": "chat", "hidden": True}}, ["router_settings.model_group_alias.x.hidden"]),
        ({"x": "nobody"}, ["router_settings.model_group_alias.x"]),
        ({"chat": "chat"}, ["router_settings.model_group_alias.chat"]),
    ],
)
def test_an_alias_is_a_policy_like_its_groups(alias: dict[str, Any], told: list[str]) -> None:
    made = imported({**one(), "router_settings": {"model_group_alias": alias}})
    assert list(left(made)) == told
    assert (made.content["policies"].get("x") == made.content["policies"]["chat"]) is (
        len(told) == 0 or "hidden" in told[0]
    )


@pytest.mark.parametrize(
    ("deployments", "retries", "expected"),
    [
        (1, 0, {"same_deployment": 0, "max_attempts": 6}),
        (1, 3, {"same_deployment": 3, "max_attempts": 6}),
        (2, 3, {"same_deployment": 1, "max_attempts": 6}),
        (3, 2, {"same_deployment": 0, "max_attempts": 6}),
        (1, 7, {"same_deployment": 7, "max_attempts": 8}),
    ],
)
def test_retries_are_spread_over_the_group(deployments: int, retries: int, expected: dict[str, int]) -> None:
    made = imported({"model_list": [entry()] * deployments, "litellm_settings": {"num_retries": retries}})
    assert made.content["policies"]["chat"]["retries"] == expected


def test_times_of_a_group_are_the_longest_stated_and_router_settings_win() -> None:
    made = imported({
        "model_list": [entry(timeout=5), entry(timeout=9, stream_timeout=2), entry("b")],
        "router_settings": {"timeout": 30}, "litellm_settings": {"request_timeout": 600},
    })  # fmt: skip
    assert made.content["policies"]["chat"]["timeouts"] == {"total": 9, "first_token": 2, "stall": 2}
    assert made.content["policies"]["b"]["timeouts"] == {"total": 30}
    assert len(made.findings.notes) == 3


def test_parameters_are_the_first_deployments_and_others_are_told() -> None:
    made = imported({"model_list": [entry(temperature=0, max_tokens=100), entry(temperature=1, seed=3)],
                     "router_settings": {"default_litellm_params": {"top_p": 0.5}}})  # fmt: skip
    assert rule(made)["parameters"] == {"temperature": 0, "top_p": 0.5}
    assert rule(made)["max_output_tokens"] == 100
    assert sorted(left(made)) == [
        f"model_list[1].litellm_params.{name}" for name in ("max_tokens", "seed", "temperature")
    ]


# The router as a whole


def test_the_whole_of_it_is_mapped() -> None:
    made = imported({
        **one(max_budget=5, budget_duration="1d"),
        "router_settings": {"redis_host": "os.environ/H", "redis_password": "os.environ/P", "redis_db": 3},
        "litellm_settings": {"max_budget": 100, "budget_duration": "30d"},
        "general_settings": {
            "master_key": "os.environ/M", "database_url": "os.environ/DATABASE_URL", "completion_model": "chat",
            "max_parallel_requests": 7, "global_max_parallel_requests": 70, "max_request_size_mb": 2,
            "maximum_spend_logs_retention_period": "36h",
        },
    })  # fmt: skip
    content = made.content
    assert content["redis"] == {"url": "redis://:${P}@${H}:6379/3"}
    assert content["budgets"] == {
        "litellm": {"usd": 100, "period": "month"},
        "openai/gpt-4o": {"match": {"model": "openai/gpt-4o"}, "usd": 5, "period": "day"},
    }
    assert content["server"] == {"max_concurrent_calls": 70, "max_message_bytes": "2MB"}
    assert content["storage"] == {"url": "${DATABASE_URL}"}
    assert content["ledger"] == {"retention_days": 2}
    assert content["identity"]["api_keys"]["keys"]["litellm-master"]["key"] == "${LLMROUTER_MASTER_KEY}"
    assert content["default_policy"] == "chat"
    assert deployment(made)["max_concurrent"] == 7
    assert problems_of(made) == []


@pytest.mark.parametrize("duration", ["7d", "45m", "2mo"])
def test_a_budget_of_another_period_is_left_out(duration: str) -> None:
    made = imported({**one(), "litellm_settings": {"max_budget": 1, "budget_duration": duration}})
    assert "budgets" not in made.content
    assert f"not of {duration}" in left(made)["litellm_settings.max_budget"]


def test_callbacks_are_told_one_by_one() -> None:
    made = imported({**one(), "litellm_settings": {"success_callback": ["otel", "langfuse"], "callbacks": "lago"}})
    assert list(left(made)) == ["litellm_settings.success_callback[1]", "litellm_settings.callbacks[0]"]


def test_what_is_always_so_cannot_be_switched_off() -> None:
    made = imported({**one(), "litellm_settings": {"drop_params": False, "turn_off_message_logging": False}})
    assert sorted(left(made)) == ["litellm_settings.drop_params", "litellm_settings.turn_off_message_logging"]


def test_values_that_this_router_refuses_are_found_by_its_own_check() -> None:
    [problem] = problems_of(imported(one(temperature=3)))
    assert "policies.chat.rules[0].parameters.temperature" in problem


def test_the_page_on_migrating_is_current() -> None:
    assert (DOCS / "migrating-from-litellm.md").read_text() == reference()
