"""What could not be served is found when the file is checked, and every problem says what to do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import trustme

from router_service.config.configuration import Configuration
from router_service.config.load import load
from router_service.config.problem import ConfigurationError, Problem

Problems = Callable[..., tuple[Problem, ...]]
Read = Callable[..., Configuration]
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


@pytest.mark.parametrize(
    ("settings", "path", "message"),
    [
        ('headers: {"x y": a}', "headers", "'x y' cannot be the name of a header"),
        ("headers: {größe: a}", "headers", "'größe' cannot be the name"),
        ('headers: {x: "a\\nb"}', "headers", "the header x holds a line feed"),
        ("proxy: 'socks5://h:1080'", "proxy", "a SOCKS proxy is not supported"),
        ("proxy: 'ftp://h'", "proxy", "is not a URL"),
        ("base_url: 'https://me:pw@h/v1'", "base_url", "the URL holds a user"),
        ("base_url: 'https://h/v1?a=b'", "base_url", "the URL holds a query"),
        ("base_url: 'https://h/v1#a'", "base_url", "the URL holds a query"),
        ("base_url: 'https://h/v1/chat/completions/'", "base_url", "ends in /chat/completions"),
        ("base_url: 'https://h/v 1'", "base_url", "is not a URL"),
        ("api_key: $OPENAI_API_KEY", "api_key", "is the name of a variable"),
        ("api_keys: [os.environ/OPENAI_API_KEY]", "api_keys[0]", "is the name of a variable"),
        ('api_key: "sk-ü"', "api_key", "a key holds characters beyond ASCII"),
        ("max_connections: 2147483648", "max_connections", "is more than 2147483647"),
        ("resource: foo.openai.azure.com", "resource", "is not the name of a resource"),
        ("quirks: {path: chat}", "quirks.path", "does not start with /"),
    ],
)
def test_a_provider_that_could_not_be_called_is_reported(
    problems: Problems, settings: str, path: str, message: str
) -> None:
    (found,) = problems(SMALL.replace("openai: {}", f"openai: {{{settings}}}"))
    assert (found.line, found.path) == (2, f"providers.openai.{path}")
    assert found.message.startswith(message)
    assert found.fix
    assert "pw" not in str(found)


@pytest.mark.parametrize(
    ("old", "new", "path", "message"),
    [
        ("openai}", "openai, context_window: 128k}", "models.gpt-4o.context_window", "is not a whole number"),
        ("openai}", "openai, context_window: 1e6}", "models.gpt-4o.context_window", "is not a whole number"),
        ("openai}", "openai, context_window: 9999999999}", "models.gpt-4o.context_window", "is more than"),
        ("openai}", "openai, price: {input: 1}}", "models.gpt-4o.price.output", "is required"),
        ("openai}", "openai, weight: .inf}", "models.gpt-4o.weight", "should be a finite number"),
        ("openai}", "openai, weight: much}", "models.gpt-4o.weight", "should be a valid number"),
        ("openai}", "openai, weight: !!int x}", "models.gpt-4o.weight", "is not what its YAML tag"),
        ("{use: gpt-4o}", "{use: gpt-4o, when: {tier: []}}", "policies.default.rules[0].when.tier", "never matches"),
        ("{use: gpt-4o}", "{use: gpt-4o, when: {needs: []}}", "policies.default.rules[0].when.needs", "the list is"),
        ("{use: gpt-4o}", "{use: gpt-4o, name: ''}", "policies.default.rules[0].name", "string should have"),
        ("rules:", "rules: []\n    unused:", "policies.default.rules", "list should have at least 1"),
        ("policies:", "server: {tls: {cert_file: c}}\npolicies:", "server.tls.key_file", "is required"),
        ("policies:", "server: {reflection: maybe}\npolicies:", "server.reflection", "should be a valid boolean"),
        (
            "policies:",
            "server: {max_connection_age: 30d}\npolicies:",
            "server.max_connection_age",
            "a duration may not",
        ),
        ("policies:", "server: {max_message_bytes: 3GiB}\npolicies:", "server.max_message_bytes", "a size may not be"),
        ("policies:", "telemetry: {otlp_headers: {'a+b': c}}\npolicies:", "telemetry.otlp_headers", "'a+b' cannot be"),
        ("policies:", "telemetry: {otlp_headers: {a: ü}}\npolicies:", "telemetry.otlp_headers", "the header a holds"),
        ("policies:", "decision_tokens: {key: $LONG_NAME_OF_KEY}\npolicies:", "decision_tokens.key", "is the name of"),
    ],
)
def test_a_mistake_says_what_to_do(problems: Problems, old: str, new: str, path: str, message: str) -> None:
    found = [one for one in problems(SMALL.replace(old, new, 1)) if one.path == path]
    assert [one.message.startswith(message) for one in found] == [True], found
    assert found[0].fix


def test_a_missing_key_is_described(problems: Problems) -> None:
    (found,) = problems(SMALL.replace("openai}", "openai, price: {input: 1}}"))
    assert found.fix == "Write `output:` and its value: USD per million output tokens, reasoning included"


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("providers:\n  openai: {api_key: ${X}}\n", 2, "${X} between braces or brackets needs quotes"),
        ("providers:\n  openai: {api_keys: [${X:-a}]}\n", 2, "${X:-a} between braces"),
        ("providers:\n\topenai: {}\n", 2, "a tab is used for indentation"),
        ("providers:\n  openai: {}\n\tazure: {}\n", 3, "a tab is used for indentation"),
        ('providers:\n  openai: {region: "\x07"}\n', 2, "the character U+0007 is not allowed"),
    ],
)
def test_yaml_that_cannot_be_read_names_the_cause(problems: Problems, text: str, line: int, message: str) -> None:
    (found,) = problems(text)
    assert (found.line, found.message[: len(message) + 16]) == (line, f"not valid YAML: {message}")
    assert found.fix


LAUGHS = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12))
MERGES = "a0: &a0 {k: x}\n" + "".join(
    f"a{n}: &a{n} {{k{n}: x, <<: [{', '.join([f'*a{n - 1}'] * 9)}]}}\n" for n in range(1, 40)
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (LAUGHS, "the file holds more than 100000 values"),
        ("a: [" + "x, " * 250_000 + "]\n", "the file holds more than 100000 values"),
        ("a: " + "[" * 3000 + "]" * 3000, "is nested deeper than 64 levels"),
        ("a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}]\n" for n in range(1, 90)), "is nested deeper than"),
    ],
    ids=["laughs", "long", "deep", "chain"],
)
def test_a_file_without_measure_is_refused_at_once(problems: Problems, text: str, message: str) -> None:
    assert [one.message.startswith(message) for one in problems(text)] == [True]


@pytest.mark.parametrize("text", [MERGES, "a: &a {<<: *a}\n"], ids=["exponential", "endless"])
def test_merges_of_merges_end(problems: Problems, text: str) -> None:
    assert problems(text)


def test_the_first_of_several_merged_mappings_wins_and_the_own_key_wins_over_all(read: Read) -> None:
    text = """
        providers: {openai: }
        models:
          a: &a {provider: openai, weight: 2, region: a}
          b: &b {weight: 3, <<: *a}
          c: {<<: [*b, *a]}
          d: {<<: [*a, *b], region: d}
        policies: {only: {rules: [{use: [a, b, c, d]}]}}
        """
    found = read(text).deployments.values()
    assert [(one.weight, one.region) for one in found] == [(2, "a"), (3, "a"), (3, "a"), (2, "d")]


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A directory with a certificate and key, the key of another one, their authority, and junk."""
    ca = trustme.CA()
    ca.cert_pem.write_to_path(tmp_path / "ca.pem")
    for name in ("own", "other"):
        certificate = ca.issue_cert("localhost")
        certificate.cert_chain_pems[0].write_to_path(tmp_path / f"{name}.pem")
        certificate.private_key_pem.write_to_path(tmp_path / f"{name}.key")
    (tmp_path / "junk").write_text("junk")
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    (tmp_path / "lines").write_text("one\ntwo\n")
    return tmp_path


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize(
    ("settings", "key", "message"),
    [
        ("ca_file: junk", "ca_file", "junk holds no certificate"),
        ("ca_file: own.key", "ca_file", "own.key holds no certificate"),
        ("client_cert_file: junk, client_key_file: own.key", "client_cert_file", "junk and own.key are not"),
        ("client_cert_file: own.pem, client_key_file: junk", "client_cert_file", "own.pem and junk are not"),
        (
            "client_cert_file: own.pem, client_key_file: other.key",
            "client_cert_file",
            "the key in other.key does not belong to the certificate in own.pem",
        ),
        ("api_key_file: bytes", "api_key_file", "bytes holds bytes that are no UTF-8 text"),
        ("api_key_file: lines", "api_key_file", "lines holds white space"),
        ('api_key_file: "a\\0b"', "api_key_file", "cannot read"),
    ],
)
def test_a_providers_unusable_file_is_reported(problems: Problems, settings: str, key: str, message: str) -> None:
    (found,) = problems(SMALL.replace("openai: {}", f"openai: {{{settings}}}"))
    assert found.path == f"providers.openai.{key}"
    assert found.message.startswith(message)
    assert found.fix


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize(
    ("tls", "path", "message"),
    [
        ("cert_file: junk, key_file: own.key", "server.tls.cert_file", "junk and own.key are not a certificate"),
        ("cert_file: own.pem, key_file: other.key", "server.tls.cert_file", "the key in other.key does not belong"),
        ("cert_file: own.pem, key_file: own.key, client_ca_file: junk", "server.tls.client_ca_file", "junk holds no"),
    ],
)
def test_the_servers_unusable_certificate_is_reported(problems: Problems, tls: str, path: str, message: str) -> None:
    (found,) = problems(SMALL + f"server: {{tls: {{{tls}}}}}\n")
    assert found.path == path
    assert found.message.startswith(message)


def test_an_encrypted_key_is_reported_without_asking_for_its_password(problems: Problems, files: Path) -> None:
    text = (files / "own.key").read_text()
    first, *rest = text.splitlines()
    head = [first, "Proc-Type: 4,ENCRYPTED", "DEK-Info: AES-128-CBC,00112233445566778899AABBCCDDEEFF", ""]
    (files / "locked.key").write_text("\n".join([*head, *rest]) + "\n")
    (found,) = problems(SMALL + "server: {tls: {cert_file: own.pem, key_file: locked.key}}\n")
    assert found.message == "the key in locked.key is encrypted"


@pytest.mark.usefixtures("files")
def test_files_that_belong_together_load(read: Read) -> None:
    tls = "server: {tls: {cert_file: own.pem, key_file: own.key, client_ca_file: ca.pem}}\n"
    own = "openai: {ca_file: ca.pem, client_cert_file: own.pem, client_key_file: own.key, proxy: 'http://me:pw@h:1'}"
    assert read(SMALL.replace("openai: {}", own) + tls).server.tls is not None


@pytest.mark.parametrize(
    ("provider", "base_url"),
    [
        ("azure: {base_url: 'https://acme.openai.azure.com/'}", "https://acme.openai.azure.com/openai/v1"),
        ("ollama: {base_url: 'http://gpu:11434'}", "http://gpu:11434/v1"),
        ("ollama: {base_url: 'http://gpu:11434/api'}", "http://gpu:11434/api"),
        ("own: {base_url: 'http://gpu:1'}", "http://gpu:1"),
        ("ollama: {base_url: 'http://gpu:1', quirks: {path: /chat}}", "http://gpu:1"),
    ],
)
def test_a_base_url_without_a_path_gets_the_presets(read: Read, provider: str, base_url: str) -> None:
    name = provider.partition(":")[0]
    configuration = read(SMALL.replace("openai: {}", provider).replace("provider: openai", f"provider: {name}"))
    assert configuration.providers[name].base_url == base_url


def test_a_file_that_is_missing_reads_without_a_traceback(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError):
        load(tmp_path, lambda *_: None, {})
