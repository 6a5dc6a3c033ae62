"""What a file may say and hardly means is told where it stands; what ships means what it says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from router_service.config.load import load, review
from router_service.config.problem import ConfigurationError
from router_service.domain.deployment import ModelFacts, Price, Rate
from router_service.spend.catalogue import catalogue_facts
from tests.service.running_router import ADMIN_KEY

ROOT = Path(__file__).parents[3]
Warnings = Callable[..., list[tuple[str, str]]]

BEGINNING = """\
providers: {openai: {api_key: "${KEY}"}, deepseek: {api_key: "${KEY}"}}
models:
  small: {provider: openai, model: gpt-x-mini}
  large: {provider: openai, model: gpt-x, region: eu}
  elsewhere: {provider: deepseek, model: gpt-x, region: cn}
  thinking: {provider: openai, model: o3-mini}
"""
SHADOW = "shadow: {{s: {{use: {}, share: 1, max_cost: {{usd: 1}}}}}}"
PLAIN = "policies: {default: {rules: [{use: small}]}}\n"


def priced(vendor: str, model: str) -> ModelFacts | None:
    rate = Rate(1)
    return ModelFacts(price=Price(input=rate, output=rate, cached_input=rate, cache_write=rate, version="today"))


def policy(*lines: str) -> str:
    return "policies:\n  default:\n" + "".join(f"    {line}\n" for line in lines)


@pytest.fixture
def warned(tmp_path: Path) -> Warnings:
    """What is told of a file that begins as above: each path with its message."""

    def warned(
        text: str, catalogue: Callable[[str, str], ModelFacts | None] = priced, beginning: str = BEGINNING
    ) -> list[tuple[str, str]]:
        file = tmp_path / "router.yaml"
        file.write_text(beginning + text)
        environ = {"KEY": "k", "LONG": "0123456789abcdef", "CALLER": ADMIN_KEY}
        configuration, warnings = review(file, catalogue, environ)
        assert configuration.fingerprint == load(file, catalogue, environ).fingerprint
        assert all(warning.line > 0 and warning.fix for warning in warnings)
        return [(warning.path, warning.message) for warning in warnings]

    return warned


@pytest.mark.parametrize(
    ("text", "path", "says"),
    [
        (
            policy("rules: [{use: [small, large]}]", "escalate: {gates: [{gate: judge, use: [thinking, small]}]}"),
            "policies.default.escalate.gates[0].use[1]",
            "small grades answers of its own",
        ),
        (
            policy("rules: [{use: small, escalate: {gates: [{gate: judge, use: elsewhere}], to: large}}]"),
            "policies.default.rules[0].escalate.gates[0].use",
            "elsewhere grades answers of its own",
        ),
        (
            policy(
                "rules: [{use: small}]",
                "escalate: {gates: [{gate: judge, use: large}]}",
                "experiments: {e: {arms: {a: {weight: 1}, b: {weight: 1, use: large}}}}",
            ),
            "policies.default.escalate.gates[0].use",
            "large grades answers of its own",
        ),
        (
            policy("rules: [{use: small}]", "classifier: {use: llm, llm: thinking}"),
            "policies.default.classifier.llm",
            "thinking may reason before it answers",
        ),
        (
            policy("rules:", "  - {when: {tier: free}, use: small}", "  - {when: {tier: free, turns: 2}, use: large}"),
            "policies.default.rules[1]",
            "is never reached: policies.default.rules[0] before it matches every such call",
        ),
        (
            policy("rules: [{use: small, then: elsewhere}]", "regions: eu", "escalate: {gates: [not_empty], to: large}")
            .replace("small", "large"),
            "policies.default.rules[0].then",
            "elsewhere is never asked: its region is cn, and the policy allows eu",
        ),
        (
            policy("rules: [{use: large}]", "regions: eu", "classifier: {use: llm, llm: small}"),
            "policies.default.classifier.llm",
            "small is never asked: it has no region, and the policy allows eu",
        ),
        (
            policy("rules: [{use: large}]", "regions: eu", "escalate: {gates: [{gate: judge, use: thinking}]}"),
            "policies.default.escalate.gates[0].use",
            "thinking is never asked: it has no region, and the policy allows eu",
        ),
        (
            policy("rules: [{use: large}]", "regions: eu", SHADOW.format("elsewhere")),
            "policies.default.shadow.s.use",
            "elsewhere is never asked: its region is cn",
        ),
        (
            policy("rules: [{use: small}]", "retention: none"),
            "policies.default.rules[0].use",
            "small is never asked: its provider keeps data (unlimited), and the policy allows none",
        ),
        (
            PLAIN + "redis: {url: redis://h, replicas: 2}\n",
            "redis.replicas",
            "has several routers share Redis, and each makes its own key for decision tokens",
        ),
        (PLAIN + "storage: {url: postgresql://u:p@h/d}\n", "storage.url", "is a secret in clear text"),
        (
            PLAIN + "redis: {url: redis://:p@h}\n",
            "redis.url",
            "is a secret in clear text",
        ),
        (
            PLAIN + "decision_tokens: {key: 0123456789abcdef}\n",
            "decision_tokens.key",
            "is a secret in clear text",
        ),
        (
            PLAIN + "telemetry: {otlp_headers: {Authorization: Bearer x, tenant: y}}\n",
            "telemetry.otlp_headers.Authorization",
            "is a secret in clear text",
        ),
        (
            PLAIN + 'identity: {api_keys: {pepper: 0123456789abcdef, keys: {k: {key: "${CALLER}", tenant: t, '
            'features: "*", models: "*", policies: "*"}}}}\n',
            "identity.api_keys.pepper",
            "is a secret in clear text",
        ),
        (
            "policies: {default: {rules: [{use: large}]}, other: {rules: [{use: small}]}}\n"
            'identity: {api_keys: {keys: {k: {key: "${CALLER}", tenant: t, models: "*", policies: [default]}}}}\n',
            "policies.other",
            "is granted to no caller",
        ),
        (
            PLAIN + 'identity: {api_keys: {keys: {k: {key: "${CALLER}", tenant: t, models: [gpt-x, small], '
            'policies: "*"}}}}\n',
            "models.thinking",
            "is granted to no caller",
        ),
    ],
)  # fmt: skip
def test_what_is_hardly_meant_is_told_where_it_stands(warned: Warnings, text: str, path: str, says: str) -> None:
    [(where, message)] = warned(text)
    assert (where, message[: len(says)]) == (path, says)


UNPRICED = """\
budgets:
  day: {usd: 1, period: day}
  of-x: {usd: 1, period: day, match: {model: gpt-x}}
  soft: {usd: 1, period: day, mode: soft}
  some: {usd: 1, period: day, match: {tenant: acme}}
  free: {usd: 1, period: day, match: {tier: free, model: gpt-x}}
"""


def test_models_without_a_price_are_told_where_money_is_bounded(warned: Warnings) -> None:
    def known(vendor: str, model: str) -> ModelFacts | None:
        return None if model in ("gpt-x", "gpt-x-mini") else priced(vendor, model)

    assert warned(PLAIN, known) == []
    assert warned(PLAIN + UNPRICED, known) == [
        ("models.small", "has no price, so that its calls are not counted on day, soft"),
        ("models.large", "has no price, so that its calls are not counted on day, of-x, soft"),
        ("models.elsewhere", "has no price, so that its calls are not counted on day, of-x, soft"),
    ]
    capped = policy("rules: [{use: [thinking, large], max_cost_usd: 1}]")
    why = "it has no price, and `max_cost_usd` lets pass only what is known to cost less"
    assert warned(capped, known) == [("policies.default.rules[0].use[1]", f"large is never asked: {why}")]
    assert warned(policy("rules: [{use: thinking}]", SHADOW.format("[large, thinking]")), known) == []
    [(where, message)] = warned(policy("rules: [{use: thinking}]", SHADOW.format("[large, small]")), known)
    assert where == "policies.default.shadow.s.use"
    assert "without a price, which are not shadowed" in message


@pytest.mark.parametrize(
    "text",
    [
        PLAIN,
        # Other conditions, or fewer: each is reached by some call.
        policy("rules:", "  - {when: {tier: free, feature: x}, use: small}", "  - {when: {tier: free}, use: large}"),
        policy("rules:", "  - {when: {tier: {not: free}}, use: small}", "  - {when: {tier: [paid, free]}, use: large}"),
        policy("rules:", '  - {when: {turns: ">= 3"}, use: small}', '  - {when: {turns: ">= 2"}, use: large}'),
        policy("rules:", "  - {when: {labels: {a: b}}, use: small}", "  - {when: {labels: {c: b}}, use: large}"),
        # A model of which a deployment may serve, and a judge that answers under other rules only.
        policy("rules: [{use: gpt-x}]", "regions: eu"),
        policy(
            "rules:",
            "  - {when: {tier: free}, use: small, escalate: {gates: [{gate: judge, use: large}]}}",
            "  - {use: large}",
        ),
        policy("rules: [{use: small}]", "classifier: {use: llm, llm: [small, large]}"),
        # Secrets from elsewhere, and what is none.
        PLAIN + 'storage: {url: "postgresql://u:${KEY}@h/d"}\nredis: {url: "redis://h/0"}\n',
        PLAIN + 'decision_tokens: {key: "${LONG:-0123456789abcdef}"}\nredis: {url: redis://h, replicas: 2}\n',
        # A database, or tokens, may grant whatever.
        PLAIN + 'identity: {api_keys: {database: true, pepper: "${LONG}", keys: {k: {key: "${CALLER}", tenant: t}}}}\n'
        "storage: {url: sqlite:///x.db}\n",
        # A judge needs no caller's grant.
        policy("rules: [{use: small}]", "escalate: {gates: [{gate: judge, use: [large, elsewhere, thinking]}]}")
        + 'identity: {api_keys: {keys: {k: {key: "${CALLER}", tenant: t, models: small, policies: "*"}}}}\n',
        # Nor does what costs are compared with.
        policy("baseline: large", "rules: [{use: small}]")
        + 'identity: {api_keys: {keys: {k: {key: "${CALLER}", tenant: t, models: [small, elsewhere, thinking], '
        'policies: "*"}}}}\n',
    ],
)  # fmt: skip
def test_what_may_well_be_meant_is_not_told(warned: Warnings, text: str) -> None:
    assert warned(text) == []


def test_a_capability_that_the_file_denies_is_not_told(warned: Warnings) -> None:
    denied = BEGINNING.replace("model: o3-mini", "model: o3-mini, capabilities: [tools]")
    assert warned(policy("rules: [{use: small}]", "classifier: {use: llm, llm: thinking}"), beginning=denied) == []


def test_keys_in_clear_text_are_told_without_their_text(warned: Warnings) -> None:
    keys = BEGINNING.replace(
        'openai: {api_key: "${KEY}"}', "openai: {api_keys: [sk-1, '${KEY}', sk-3], headers: {X-Api-Key: sk-4, a: b}}"
    )
    found = warned(PLAIN, beginning=keys)
    at = "providers.openai"
    assert [path for path, _ in found] == [f"{at}.api_keys[0]", f"{at}.api_keys[2]", f"{at}.headers.X-Api-Key"]
    assert "sk-" not in str(found)


@pytest.mark.parametrize(
    ("header", "told"),
    [
        ("Authorization", True),
        ("Helicone-Auth", True),
        ("Ocp-Apim-Subscription-Key", True),
        ("X_Access_Token", True),
        ("X-Max-Tokens", False),
        ("X-Tokenizer", False),
        ("X-Monkey", False),
        ("X-Author", False),
    ],
)
def test_headers_that_sound_of_a_secret_are_told(warned: Warnings, header: str, told: bool) -> None:
    text = PLAIN + f"telemetry: {{otlp_headers: {{{header}: x}}}}\n"
    assert [path for path, _ in warned(text)] == [f"telemetry.otlp_headers.{header}"] * told


@pytest.mark.parametrize(
    "provider",
    [
        'preset: openai, api_key: any, base_url: "http://[::1]:1/v1"',
        "preset: openai, api_key: any, base_url: http://10.1.2.3:8000/v1",
        "preset: openai, api_key: any, base_url: http://vllm:8000/v1",
        "preset: custom, api_key: any, base_url: http://host.docker.internal:8000/v1",
        "preset: custom, api_key: any, base_url: http://vllm.models.svc:8000/v1",
        "preset: custom, api_key: any, base_url: http://vllm.models.svc.cluster.local/v1",
        "preset: custom, api_key: any, base_url: https://llm.example.com/v1, quirks: {auth: none}",
        "preset: ollama, api_key: any",
    ],
)
def test_a_word_for_a_key_of_ones_own_server_is_not_told(warned: Warnings, provider: str) -> None:
    own = BEGINNING.replace("providers: {", f"providers: {{own: {{{provider}}}, ")
    assert warned(PLAIN, beginning=own) == []


@pytest.mark.parametrize(
    "provider",
    [
        "preset: custom, api_key: sk-1, base_url: https://llm.example.com/v1",
        "preset: custom, api_key: sk-1, base_url: http://8.8.8.8/v1",
        "preset: ollama, api_key: sk-1, base_url: https://svc.example.com/v1",
    ],
)
def test_a_key_that_leaves_the_network_is_told_whoevers_it_is(warned: Warnings, provider: str) -> None:
    away = BEGINNING.replace("providers: {", f"providers: {{own: {{{provider}}}, ")
    assert [path for path, _ in warned(PLAIN, beginning=away)] == ["providers.own.api_key"]


@pytest.mark.parametrize(
    ("section", "url"),
    [
        ("redis", "redis://:pa[ssword@h:6379/0"),
        ("redis", "redis://:pa#ssword@h:6379/0"),
        ("storage", "postgresql://u:pa[ssword@h:5432/d"),
        ("storage", "postgresql://u:pa/ssword@h:5432/d"),
    ],
)
@pytest.mark.parametrize("of_environment", [False, True])
def test_a_password_that_breaks_its_url_is_a_mistake_told_without_it(
    tmp_path: Path, section: str, url: str, of_environment: bool
) -> None:
    file = tmp_path / "router.yaml"
    file.write_text(BEGINNING + PLAIN + f'{section}: {{url: "{"${WHERE}" if of_environment else url}"}}\n')
    with pytest.raises(ConfigurationError) as caught:
        review(file, priced, {"KEY": "k", "WHERE": url})
    [problem] = caught.value.problems
    assert (problem.path, problem.message) == (f"{section}.url", "the URL cannot be read")
    assert problem.fix.startswith("Percent-encode the password")
    assert "ssword@" not in str(caught.value)


SHIPPED = [
    ROOT / "router_service" / "demo_data" / "router.yaml",
    *sorted((ROOT / "docs" / "examples").glob("*.yaml")),
    *sorted((ROOT / "router_service" / "policies").glob("*.yaml")),
    ROOT / "deploy" / "compose" / "router" / "router.yaml",
    ROOT / "deploy" / "helm" / "llmrouter" / "files" / "router.yaml",
]


class Everything(Mapping[str, str]):
    """An environment that has every variable that an example asks for."""

    def __getitem__(self, name: str) -> str:
        known = {
            "LLMROUTER_API_KEY": ADMIN_KEY,
            "REDIS_URL": "redis://h",
            "DATABASE_URL": "postgresql://h/d",
        }
        return known.get(name) or ("http://127.0.0.1:1" if name.endswith("URL") else "of-enough-letters")

    def __iter__(self):  # type: ignore[no-untyped-def]
        return iter(())

    def __len__(self) -> int:
        return 0


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.stem)
def test_of_what_ships_nothing_is_told(file: Path) -> None:
    _, warnings = review(file, catalogue_facts, Everything())
    assert [str(warning) for warning in warnings] == []
