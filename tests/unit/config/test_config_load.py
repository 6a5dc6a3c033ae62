"""What a good file, or the environment, becomes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import trustme

from router_service.config.compilation import fingerprint
from router_service.config.configuration import Configuration
from router_service.config.load import from_environment, load
from router_service.domain.chat import Parameters, ReasoningEffort
from router_service.domain.deployment import Capability, ModelFacts, Price, Rate, Retention
from router_service.domain.policy import RangeMatch, Retries, StickyKey, Strategy, TextMatch, Timeouts
from router_service.domain.vendor import Auth, OnCancel

Read = Callable[..., Configuration]

FILE = """
server: {address: "[::1]:50051", grace: 1m30s, max_message_bytes: 8MiB, reflection: false}
telemetry: {otlp_endpoint: "https://otlp.example.com:4317/", slow: 250ms, costly_usd: 0.5}
decision_tokens: {key: "${SIGNING_KEY}", ttl: 2m}
providers:
  openai: {api_key: "${OPENAI_API_KEY}", region: EU, retention: 30d}
  mistral: {quirks: {unsupported: user}, on_cancel: drain, query: {a: b}}
  azure: {resource: acme, propagate_trace: true}
  own: {base_url: "http://127.0.0.1:9000/v1/", api_keys: [one, "${OPENAI_API_KEY}"], max_connections: 5}
models:
  gpt-eu: {provider: openai, model: gpt-4o, upstream_name: gpt-4o-2024-11-20, weight: 3}
  gpt-azure: {provider: azure, model: gpt-4o, region: de}
  small: {provider: mistral, model: mistral-small-latest, retention: none}
  llama:
    provider: own
    capabilities: [vision]
    context_window: 8192
    max_output_tokens: 1024
    price: {input: 0.27, output: "1.10", cached_input: 0.07, tiers: [{above_input_tokens: 2000, input: 0.5, output: 2}]}
features:
  chat: {max_output_tokens: 800, parameters: {temperature: 0.2, stop: END}}
  plain:
policies:
  main:
    baseline: gpt-4o
    sticky: conversation
    regions: [EU, DE]
    retention: 30d
    max_cost_usd: 0.01
    fallback_on_content_filter: true
    timeouts: {first_token: 8s, total: 60}
    retries: {same_deployment: 0, backoff_initial: 100ms}
    complexities: [Simple, complex]
    stream_upstream: false
    rules:
      - name: eu
        when:
          tier: Free
          feature: {not: [Agent, batch]}
          labels: {team: [Red, blue]}
          input_tokens: {min: 1000, max: 8000}
          turns: "> 10"
          needs: [tools, vision]
          complexity: COMPLEX
        use: [llama, gpt-4o, gpt-eu]
        strategy: weighted
        sticky: user
        parameters: {temperature: 0.1, reasoning_effort: low}
        max_output_tokens: 300
        max_cost_usd: "0.002"
      - {when: {turns: "2-4", needs: {not: tools}}, use: gpt-azure}
      - {use: small}
  other:
    rules: [{use: small}]
default_policy: main
"""
ENVIRON = {"OPENAI_API_KEY": "sk-1", "SIGNING_KEY": "0123456789abcdef", "MISTRAL_API_KEY": "m"}


@pytest.fixture
def configuration(read: Read) -> Configuration:
    return read(FILE, ENVIRON)


def test_settings_of_the_server_are_in_seconds_and_bytes(configuration: Configuration) -> None:
    server = configuration.server
    assert (server.address, server.grace, server.max_message_bytes) == ("[::1]:50051", 90.0, 8 * 2**20)
    assert (server.reflection, server.lame_duck, server.tls) == (False, 1.0, None)
    telemetry = configuration.telemetry
    assert (telemetry.otlp_endpoint, telemetry.otlp_insecure) == ("https://otlp.example.com:4317", False)
    assert (telemetry.slow_seconds, telemetry.costly_nano_usd) == (0.25, 500_000_000)
    assert configuration.decision_tokens.key is not None
    assert (configuration.decision_tokens.key.reveal(), configuration.decision_tokens.ttl) == ("0123456789abcdef", 120)


def test_a_provider_is_its_preset_under_the_files_settings(configuration: Configuration) -> None:
    mistral, azure, own = (configuration.providers[name] for name in ("mistral", "azure", "own"))
    assert (mistral.base_url, mistral.vendor, mistral.on_cancel) == (
        "https://api.mistral.ai/v1",
        "mistral",
        OnCancel.DRAIN,
    )
    assert (mistral.quirks.seed_field, mistral.quirks.unsupported) == ("random_seed", frozenset({"user"}))
    assert mistral.query == {"a": "b"}
    assert (azure.base_url, azure.quirks.auth) == ("https://acme.openai.azure.com/openai/v1", Auth.API_KEY_HEADER)
    assert (azure.query, azure.propagate_trace) == ({"api-version": "v1"}, True)
    assert (own.vendor, own.base_url, own.max_connections) == ("custom", "http://127.0.0.1:9000/v1", 5)


def test_keys_form_a_pool_and_come_from_the_preset_where_the_file_says_nothing(configuration: Configuration) -> None:
    keys = {name: [key.reveal() for key in one.keys] for name, one in configuration.providers.items()}
    assert keys == {"openai": ["sk-1"], "mistral": ["m"], "azure": [], "own": ["one", "sk-1"]}
    having = {name: one.has_credentials for name, one in configuration.deployments.items()}
    assert having == {"gpt-eu": True, "gpt-azure": False, "small": True, "llama": True}


def test_a_deployment_has_what_its_provider_and_preset_say(configuration: Configuration) -> None:
    gpt, azure, small, llama = configuration.deployments.values()
    assert (gpt.model, gpt.upstream_name, gpt.region, gpt.retention) == (
        "gpt-4o",
        "gpt-4o-2024-11-20",
        "eu",
        Retention.DAYS_30,
    )
    assert (gpt.server_address, gpt.server_port, gpt.weight) == ("api.openai.com", 443, 3.0)
    assert Capability.VISION in gpt.capabilities
    assert (azure.region, small.region, small.retention) == ("de", "eu", Retention.NONE)
    assert (llama.capabilities, llama.context_window, llama.max_output_tokens) == (
        frozenset({Capability.VISION}),
        8192,
        1024,
    )
    assert (llama.server_address, llama.server_port, llama.region) == ("127.0.0.1", 9000, "")


def test_prices_are_exact_nano_usd_per_million_tokens(configuration: Configuration) -> None:
    assert configuration.deployments["llama"].price == Price(
        input=Rate(270_000_000, ((2000, 500_000_000),)),
        output=Rate(1_100_000_000, ((2000, 2_000_000_000),)),
        cached_input=Rate(70_000_000, ((2000, 70_000_000),)),
        cache_write=Rate(270_000_000, ((2000, 500_000_000),)),
        version="configuration",
    )


def test_a_models_deployments_keep_the_files_order(configuration: Configuration) -> None:
    assert {name: [one.id for one in found] for name, found in configuration.models.items()} == {
        "gpt-4o": ["gpt-eu", "gpt-azure"],
        "mistral-small-latest": ["small"],
        "llama": ["llama"],
    }


def test_a_rule_is_compiled_to_lower_case_sets_and_inclusive_ranges(configuration: Configuration) -> None:
    first, second, third = configuration.policies["main"].rules
    assert first.when.tier == TextMatch(any_of=frozenset({"free"}))
    assert first.when.feature == TextMatch(none_of=frozenset({"agent", "batch"}))
    assert first.when.labels == {"team": TextMatch(any_of=frozenset({"red", "blue"}))}
    assert first.when.input_tokens == RangeMatch(at_least=1000, at_most=8000)
    assert first.when.turns == RangeMatch(at_least=11)
    assert first.when.needs == frozenset({Capability.TOOLS, Capability.VISION})
    assert first.when.complexity == TextMatch(any_of=frozenset({"complex"}))
    assert [one.id for one in first.candidates] == ["llama", "gpt-eu", "gpt-azure"]
    assert (first.strategy, first.sticky) == (Strategy.WEIGHTED, StickyKey.USER)
    assert first.parameters == Parameters(temperature=0.1, reasoning_effort=ReasoningEffort.LOW)
    assert (first.max_output_tokens, first.max_cost_nano_usd) == (300, 2_000_000)
    assert (second.name, second.when.turns) == ("rule-2", RangeMatch(at_least=2, at_most=4))
    assert second.when.needs_none_of == frozenset({Capability.TOOLS})
    assert (third.name, third.strategy) == ("rule-3", Strategy.ORDER)


def test_fallbacks_come_after_the_others_each_once(read: Read) -> None:
    policy = read(
        """
        providers: {openai: {}}
        models: {a: {provider: openai}, b: {provider: openai}, c: {provider: openai}}
        policies: {default: {rules: [{use: [b], then: [c, b, a], strategy: weighted}]}}
        """
    ).policies["default"]
    assert [one.id for one in policy.rules[0].candidates] == ["b", "c", "a"]
    assert policy.rules[0].fallbacks == ("c", "a")


def test_a_policy_carries_its_limits(configuration: Configuration) -> None:
    policy = configuration.policies["main"]
    assert policy.baseline is configuration.deployments["gpt-eu"]
    assert (policy.sticky, policy.regions, policy.retention) == (
        StickyKey.CONVERSATION,
        frozenset({"eu", "de"}),
        Retention.DAYS_30,
    )
    assert (policy.max_cost_nano_usd, policy.fallback_on_content_filter) == (10_000_000, True)
    assert policy.timeouts == Timeouts(first_token=8, total=60)
    assert policy.retries == Retries(same_deployment=0, backoff_initial=0.1)
    assert (policy.complexities, policy.stream_upstream) == (frozenset({"simple", "complex"}), False)
    assert configuration.policies["other"].complexities == frozenset({"simple", "moderate", "complex"})
    assert configuration.default_policy == "main"


def test_features_carry_their_limit_and_defaults(configuration: Configuration) -> None:
    chat = configuration.features["chat"]
    assert (chat.max_output_tokens, chat.parameters) == (800, Parameters(temperature=0.2, stop=("END",)))
    assert configuration.features["plain"].max_output_tokens is None


def _facts(vendor: str, model: str) -> ModelFacts | None:
    rate = Rate(5)
    price = Price(input=rate, output=rate, cached_input=rate, cache_write=rate, version="catalogue")
    return {
        ("openai", "gpt-4o"): ModelFacts(price=price, context_window=128_000),
        ("custom", "llama"): ModelFacts(price=price, context_window=1),
    }.get((vendor, model))


def test_the_catalogue_fills_in_what_the_file_does_not_say(read: Read) -> None:
    configuration = read(FILE, ENVIRON, _facts)
    gpt, azure, _, llama = configuration.deployments.values()
    assert gpt.price is not None
    assert (gpt.price.version, gpt.context_window) == ("catalogue", 128_000)
    assert azure.price is None
    assert llama.price is not None
    assert (llama.price.version, llama.context_window) == ("configuration", 8192)


def test_a_name_that_is_both_a_model_and_a_deployment_is_the_model(read: Read) -> None:
    configuration = read(
        """
        providers: {openai: {}, azure: {resource: acme}}
        models:
          gpt-4o: {provider: openai}
          gpt-azure: {provider: azure, model: gpt-4o}
        policies: {default: {rules: [{use: gpt-4o}]}}
        """
    )
    (rule,) = configuration.policies["default"].rules
    assert [one.id for one in rule.candidates] == ["gpt-4o", "gpt-azure"]


def test_a_presets_key_is_not_sent_to_another_host(read: Read) -> None:
    text = """
        providers: {{openai: {{base_url: "{url}"}}}}
        models: {{gpt-4o: {{provider: openai}}}}
        policies: {{default: {{rules: [{{use: gpt-4o}}]}}}}
        """
    elsewhere = read(text.format(url="https://proxy.example.com/v1"), ENVIRON)
    assert elsewhere.providers["openai"].keys == ()
    assert not elsewhere.deployments["gpt-4o"].has_credentials
    europe = read(text.format(url="https://eu.api.openai.com/v1"), ENVIRON)
    assert [key.reveal() for key in europe.providers["openai"].keys] == ["sk-1"]


def test_environment_references_have_defaults_and_an_escape(read: Read) -> None:
    configuration = read(
        """
        providers:
          openai: {api_key: "${UNSET:-}", headers: {a: "x-${SET:-no}-${EMPTY:-dflt}", b: "$${SET} $5"}}
        models: {gpt-4o: {provider: openai}}
        policies: {default: {rules: [{use: gpt-4o}]}}
        """,
        {"SET": "yes", "EMPTY": ""},
    )
    assert configuration.providers["openai"].headers == {"a": "x-yes-dflt", "b": "${SET} $5"}
    assert not configuration.deployments["gpt-4o"].has_credentials


def test_the_environment_gives_the_receiver_of_traces_and_the_service_name(read: Read) -> None:
    small = "providers: {ollama: }\nmodels: {m: {provider: ollama}}\npolicies: {p: {rules: [{use: m}]}}\n"
    environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4317", "OTEL_SERVICE_NAME": "edge"}
    telemetry = read(small, environ).telemetry
    assert (telemetry.otlp_endpoint, telemetry.otlp_insecure, telemetry.service_name) == (
        "http://collector:4317",
        True,
        "edge",
    )


def test_anchors_and_merges_work(read: Read) -> None:
    configuration = read(
        """
        providers: {openai: }
        models:
          a: &a {provider: openai, weight: 2}
          b: {<<: *a, weight: 4}
        policies: {only: {rules: [{use: [a, b]}]}}
        """
    )
    assert [one.weight for one in configuration.deployments.values()] == [2.0, 4.0]
    assert configuration.default_policy == "only"


def test_relative_files_start_at_the_configuration_files_directory(read: Read, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("from-file\n")
    trustme.CA().cert_pem.write_to_path(tmp_path / "ca.pem")
    configuration = read(
        """
        providers: {openai: {api_key_file: key, ca_file: ca.pem}}
        models: {m: {provider: openai}}
        policies: {p: {rules: [{use: m}]}}
        """
    )
    provider = configuration.providers["openai"]
    assert [key.reveal() for key in provider.keys] == ["from-file"]
    assert provider.ca_file == str(tmp_path / "ca.pem")
    assert configuration.watched_files == (str(tmp_path / "router.yaml"), str(tmp_path / "ca.pem"))


def test_a_file_named_relatively_is_watched_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "conf").mkdir()
    small = "providers: {ollama: }\nmodels: {m: {provider: ollama}}\npolicies: {p: {rules: [{use: m}]}}\n"
    (tmp_path / "conf" / "router.yaml").write_text(small)
    monkeypatch.chdir(tmp_path)
    configuration = load(Path("conf/router.yaml"), lambda *_: None, {})
    assert configuration.watched_files == ("conf/router.yaml",)


def test_the_fingerprint_follows_routing_and_not_secrets(read: Read) -> None:
    usual = read(FILE, ENVIRON).fingerprint
    assert read(FILE, {**ENVIRON, "OPENAI_API_KEY": "sk-2", "MISTRAL_API_KEY": ""}).fingerprint == usual
    assert read(FILE.replace("weight: 3", "weight: 2"), ENVIRON).fingerprint != usual
    assert fingerprint(frozenset("abc"), {"x": (1, Capability.TOOLS)}) == fingerprint(
        frozenset("cba"), {"x": (1, Capability.TOOLS)}
    )


def test_without_a_file_every_provider_with_a_key_serves_with_the_others_behind_it() -> None:
    configuration = from_environment(
        {"OPENAI_API_KEY": "a", "DEEPSEEK_API_KEY": "b", "XAI_API_KEY": ""}, lambda *_: None
    )
    assert list(configuration.providers) == ["openai", "deepseek"]
    strongest, cheapest = configuration.policies["default"].rules
    assert strongest.when.complexity == TextMatch(any_of=frozenset({"complex"}))
    assert {one.provider for one in strongest.candidates} == {"openai", "deepseek"}
    assert (cheapest.strategy, set(cheapest.candidates)) == (Strategy.CHEAPEST, set(strongest.candidates))
    assert configuration.policies["default"].baseline is strongest.candidates[0]
    assert all(one.has_credentials for one in configuration.deployments.values())


@pytest.mark.parametrize(
    ("environ", "base_url", "deployments"),
    [
        ({"OLLAMA_HOST": "localhost"}, "http://localhost:11434/v1", ["ollama/llama3.2"]),
        ({"OLLAMA_HOST": "gpu:9999", "OLLAMA_MODEL": "qwen3, x"}, "http://gpu:9999/v1", ["ollama/qwen3", "ollama/x"]),
        ({"VLLM_BASE_URL": "https://gpu/v1/", "VLLM_MODEL": "m"}, "https://gpu/v1", ["vllm/m"]),
        ({"LLM_BASE_URL": "http://h:1/v1", "LLM_MODEL": "m", "LLM_API_KEY": "k"}, "http://h:1/v1", ["custom/m"]),
        (
            {
                "AZURE_OPENAI_API_KEY": "k",
                "AZURE_OPENAI_ENDPOINT": "https://acme.openai.azure.com/",
                "AZURE_OPENAI_DEPLOYMENT": "chat",
            },
            "https://acme.openai.azure.com/openai/v1",
            ["azure/chat"],
        ),
    ],
)
def test_local_and_private_servers_come_from_their_address(
    environ: dict[str, str], base_url: str, deployments: list[str]
) -> None:
    configuration = from_environment(environ, lambda *_: None)
    (provider,) = configuration.providers.values()
    assert provider.base_url == base_url
    assert list(configuration.deployments) == deployments
    assert len(provider.keys) == sum("KEY" in name for name in environ)


@pytest.mark.parametrize(
    ("provider", "model", "prefills"),
    [
        ("anthropic: {}", "claude-haiku-4-5", True),
        ("anthropic: {}", "claude-opus-4-6", False),
        ("anthropic: {quirks: {prefill: none}}", "claude-haiku-4-5", False),
        ("deepseek: {}", "deepseek-chat", False),
        ('deepseek: {base_url: "https://api.deepseek.com/beta", quirks: {prefill: prefix}}', "deepseek-chat", True),
        ('custom: {base_url: "http://127.0.0.1:8080/v1", quirks: {prefill: plain}}', "anything", True),
    ],
)
def test_whether_a_deployment_continues_answers_is_the_presets_unless_given(
    tmp_path: Path, provider: str, model: str, prefills: bool
) -> None:
    name = provider.partition(":")[0]
    text = f"""
providers: {{{provider}}}
models: {{m: {{provider: {name}, upstream_name: {model}}}}}
policies: {{default: {{rules: [{{use: m}}]}}}}
"""
    (tmp_path / "router.yaml").write_text(text)
    (deployment,) = load(tmp_path / "router.yaml", lambda *_: None, {}).deployments.values()
    assert deployment.prefills is prefills
