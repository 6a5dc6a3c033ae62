"""Every mistake is reported at once, at its line, with what to do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from router_service.config.configuration import Configuration
from router_service.config.load import from_environment, load
from router_service.config.problem import ConfigurationError, Problem

Problems = Callable[..., tuple[Problem, ...]]
SMALL = """\
providers:
  openai: {}
models:
  gpt-4o: {provider: openai}
policies:
  default:
    rules:
      - {use: gpt-4o}
"""


def test_five_mistakes_of_different_kinds_are_reported_together_with_their_lines(problems: Problems) -> None:
    found = problems(
        """\
        providers:
          openai: {api_key: "${OPENAI_KEY}"}
          deepseek: {bse_url: "https://api.deepseek.com"}
        models:
          gpt-4o: {provider: openai}
          cheap: {provider: deepsek}
        policies:
          default:
            timeouts: {total: quick}
            rules:
              - {when: {tier: free}, use: [cheap, gpt-4o-mni]}
              - {use: gpt-4o}
        """
    )
    assert [(one.line, one.path, one.message) for one in found] == [
        (2, "providers.openai.api_key", "the environment variable OPENAI_KEY is not set"),
        (3, "providers.deepseek.bse_url", "unknown key"),
        (6, "models.cheap.provider", "there is no provider deepsek"),
        (9, "policies.default.timeouts.total", "is not a duration"),
        (11, "policies.default.rules[0].use[1]", "there is no model or deployment gpt-4o-mni"),
    ]
    assert all(one.fix for one in found)


def test_an_error_reads_as_file_line_column_path_message_and_fix(problems: Problems, tmp_path: Path) -> None:
    (found,) = problems(SMALL + "default_polcy: default\n")
    assert str(found) == f"{tmp_path}/router.yaml:9:1: default_polcy: unknown key. Did you mean default_policy?"


@pytest.mark.parametrize(
    ("old", "new", "line", "path", "message"),
    [
        ("use: gpt-4o", "use: gpt-4o, then: [gpt-5o]", 8, "policies.default.rules[0].then[0]", "there is no model or"),
        ("openai: {}", "openai: {preset: opnai}", 2, "providers.openai.preset", "there is no preset opnai"),
        ("openai: {}", "opennai: {}", 2, "providers.opennai.base_url", "is required: the provider is no preset"),
        (
            "openai: {}",
            "openai: {on_cancel: stop}",
            2,
            "providers.openai.on_cancel",
            "stop is not one of cancel, drain",
        ),
        ("openai: {}", "openai: {base_url: example.com}", 2, "providers.openai.base_url", "is not a URL"),
        ("openai: {}", "openai: 3", 2, "providers.openai", "is not a mapping"),
        ("openai: {}", "openai: {ca_file: no.pem}", 2, "providers.openai.ca_file", "cannot read no.pem"),
        ("openai: {}", "openai: {api_key_file: gone}", 2, "providers.openai.api_key_file", "cannot read gone"),
        ("openai: {}", "openai: {api_key: 'a b'}", 2, "providers.openai.api_key", "a key holds white space"),
        ("openai: {}", "openai: {api_key: '${'}", 2, "providers.openai.api_key", "a `${` is not followed"),
        ("openai: {}", "openai: {client_key_file: k}", 2, "providers.openai.client_cert_file", "is required"),
        ("openai: {}", "openai: {headers: {x: 1}}", 2, "providers.openai.headers.x", "is not text"),
        ("openai: {}", "openai: {quirks: {sed_field: x}}", 2, "providers.openai.quirks.sed_field", "unknown key"),
        ("openai: {}", "openai: {}\n  azure: {}", 3, "providers.azure.resource", "is required"),
        ("openai: {}", "openai: {}\n  openai: {}", 3, "providers.openai", "the key is given twice"),
        ("openai: {}", "openai: !!binary aGk=", 2, "providers.openai", "the YAML tag"),
        ("openai: {}", "openai: &o {query: *o}", 2, "providers.openai.query", "an alias holds itself"),
        ("provider: openai", "", 4, "models.gpt-4o.provider", "is required"),
        ("provider: openai", "provider: groq", 4, "models.gpt-4o.provider", "there is no provider groq"),
        ("openai}", "openai, capabilities: [vison]}", 4, "models.gpt-4o.capabilities[0]", "vison is not one of"),
        ("openai}", "openai, weight: 0}", 4, "models.gpt-4o.weight", "should be greater than 0"),
        ("openai}", "openai, max_output_tokens: -1}", 4, "models.gpt-4o.max_output_tokens", "should be greater"),
        ("openai}", "openai, max_output_tokens: yes}", 4, "models.gpt-4o.max_output_tokens", "is not a whole number"),
        (
            "openai}",
            "openai, context_window: 10, max_output_tokens: 11}",
            4,
            "models.gpt-4o.max_output_tokens",
            "11 is more than the context window of 10",
        ),
        ("openai}", "openai, price: {input: 1}}", 4, "models.gpt-4o.price.output", "is required"),
        ("openai}", "openai, price: {input: -1, output: 1}}", 4, "models.gpt-4o.price.input", "an amount may not"),
        ("{use: gpt-4o}", "{use: gpt-4}", 8, "policies.default.rules[0].use", "there is no model or deployment gpt-4"),
        ("{use: gpt-4o}", "{use: []}", 8, "policies.default.rules[0].use", "names no model"),
        ("{use: gpt-4o}", "{when: {}}", 8, "policies.default.rules[0].use", "is required"),
        ("{use: gpt-4o}", "{use: gpt-4o, when: {teir: x}}", 8, "policies.default.rules[0].when.teir", "unknown key"),
        ("{use: gpt-4o}", "{use: gpt-4o, when: {tier: no}}", 8, "policies.default.rules[0].when.tier", "is not text"),
        (
            "{use: gpt-4o}",
            "{use: gpt-4o, when: {complexity: hard}}",
            8,
            "policies.default.rules[0].when.complexity",
            "hard is no complexity of this policy",
        ),
        (
            "{use: gpt-4o}",
            "{use: gpt-4o, when: {language: zh-CN}}",
            8,
            "policies.default.rules[0].when.language",
            "zh-CN never matches",
        ),
        (
            "{use: gpt-4o}",
            "{use: gpt-4o, when: {turns: {min: 3, max: 2}}}",
            8,
            "policies.default.rules[0].when.turns",
            "the range is empty",
        ),
        ("{use: gpt-4o}", "{use: gpt-4o, when: {turns: many}}", 8, "policies.default.rules[0].when.turns", "is not a"),
        ("rules:", "baseline: gpt-5\n    rules:", 7, "policies.default.baseline", "there is no model or deployment"),
        ("rules:", "rule:", 7, "policies.default.rule", "unknown key"),
        (
            "  default:",
            "  a: {rules: [{use: gpt-4o}]}\n  b:",
            1,
            "default_policy",
            "is required where there are several",
        ),
        ("policies:", "default_policy: other\npolicies:", 5, "default_policy", "there is no policy other"),
        ("policies:", "server: {address: here}\npolicies:", 5, "server.address", "is not an address"),
        ("policies:", "server: {grace: -1s}\npolicies:", 5, "server.grace", "is not a duration"),
        (
            "policies:",
            "server: {default_deadline: 0}\npolicies:",
            5,
            "server.default_deadline",
            "must be longer than 0",
        ),
        ("policies:", "server: {max_message_bytes: big}\npolicies:", 5, "server.max_message_bytes", "is not a size"),
        (
            "policies:",
            "server: {tls: {cert_file: c.pem, key_file: k.pem}}\npolicies:",
            5,
            "server.tls.cert_file",
            "cannot read c.pem",
        ),
        ("policies:", "telemetry: {sample_ratio: 2}\npolicies:", 5, "telemetry.sample_ratio", "should be less than"),
        ("policies:", "decision_tokens: {key: short}\npolicies:", 5, "decision_tokens.key", "is shorter than 16"),
        (
            "policies:",
            "features: {chat: {max_output_tokens: 0}}\npolicies:",
            5,
            "features.chat.max_output_tokens",
            "should",
        ),
    ],
)
def test_each_mistake_is_found_at_its_line(
    problems: Problems, old: str, new: str, line: int, path: str, message: str
) -> None:
    found = problems(SMALL.replace(old, new, 1))
    matching = [one for one in found if one.path == path and one.message.startswith(message)]
    assert [one.line for one in matching] == [line], "\n".join(map(str, found))


def test_a_rule_behind_one_that_matches_always_is_never_reached(problems: Problems) -> None:
    (found,) = problems(SMALL + "      - {when: {tier: free}, use: gpt-4o}\n")
    assert found.line == 9
    assert found.message == "is never reached: policies.default.rules[0] before it matches every call"


def test_a_rule_whose_condition_is_wrong_does_not_count_as_matching_always(problems: Problems) -> None:
    text = SMALL.replace("{use: gpt-4o}", "{use: gpt-4o, when: {teir: free}}") + "      - {use: gpt-4o}\n"
    assert [one.path for one in problems(text)] == ["policies.default.rules[0].when.teir"]


def test_a_limit_above_that_of_every_model_of_the_rule_is_a_mistake(problems: Problems) -> None:
    text = SMALL.replace("openai}", "openai, max_output_tokens: 4096}").replace(
        "{use: gpt-4o}", "{use: gpt-4o, max_output_tokens: 5000}"
    )
    (found,) = problems(text)
    assert (found.line, found.path) == (8, "policies.default.rules[0].max_output_tokens")


def test_a_mistake_in_a_model_is_not_reported_again_where_the_model_is_used(problems: Problems) -> None:
    (found,) = problems(SMALL.replace("provider: openai", "provider: 3"))
    assert found.path == "models.gpt-4o.provider"


def test_broken_yaml_is_reported_at_its_line(problems: Problems) -> None:
    (found,) = problems("providers:\n  openai: {api_key: [}\n")
    assert (found.line, found.message.startswith("not valid YAML")) == (2, True)


@pytest.mark.parametrize(
    ("text", "message"),
    [("", "the file is empty"), ("{}", "the file is empty"), ("- a\n", "the file is not a mapping")],
)
def test_a_file_without_a_mapping_is_reported(problems: Problems, text: str, message: str) -> None:
    assert [one.message for one in problems(text)] == [message]


def test_missing_sections_are_reported_with_an_example(problems: Problems) -> None:
    found = problems("server: {}\n")
    assert [one.path for one in found] == ["providers", "models", "policies"]
    assert all("Write for example" in one.fix for one in found)


def test_a_missing_file_and_one_that_is_not_text_are_configuration_errors(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="No such file"):
        load(tmp_path / "gone.yaml", lambda *_: None, {})
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"\xff\xfe\x00x")
    with pytest.raises(ConfigurationError, match="not UTF-8"):
        load(binary, lambda *_: None, {})


def test_an_environment_without_keys_says_what_to_set() -> None:
    with pytest.raises(ConfigurationError, match="Set one of OPENAI_API_KEY"):
        from_environment({}, lambda *_: None)


def test_no_secret_appears_in_a_problem_or_in_a_configuration(
    problems: Problems, read: Callable[..., Configuration]
) -> None:
    canary = "sk-canary-0123456789abcdef"
    environ: Mapping[str, str] = {"KEY": canary}
    text = SMALL.replace("openai: {}", 'openai: {api_key: "${KEY}", on_cancel: "${KEY}", headers: ["${KEY}"]}')
    assert canary not in "\n".join(map(str, problems(text, environ)))
    good = SMALL.replace("openai: {}", f'openai: {{api_keys: ["${{KEY}}", {canary}]}}')
    configuration = read(good, environ)
    assert [key.reveal() for key in configuration.providers["openai"].keys] == [canary, canary]
    assert canary not in repr(configuration)
