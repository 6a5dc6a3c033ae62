"""The sections `storage` and `identity`: what they compile to, and what is refused before anybody is let in."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from router_service.config.configuration import Configuration
from router_service.config.identity import EVERYBODY, Algorithm
from router_service.config.problem import Problem
from router_service.domain.identity import Grants, Role

Problems = Callable[..., tuple[Problem, ...]]
Read = Callable[..., Configuration]

SMALL = """\
providers: {openai: {}}
models: {gpt-4o: {provider: openai}, mini: {provider: openai, model: gpt-4o-mini}}
policies: {default: {rules: [{use: gpt-4o}]}}
"""
KEY = f"rk_{'a' * 12}_{'S' * 48}"
OTHER_KEY = f"rk_{'b' * 12}_{'S' * 48}"
PEPPER = "0123456789abcdef"
HASH = f"rk_{'a' * 12}:{'0' * 64}"


def test_without_the_section_everybody_on_the_machine_may_everything(read: Read) -> None:
    settings = read(SMALL).identity
    assert not settings.authenticates
    assert settings.anonymous is EVERYBODY
    assert settings.anonymous.grants == Grants(features=None, models=None, policies=None, tiers=None)


def test_once_callers_can_be_known_the_others_are_refused(read: Read) -> None:
    settings = read(
        f"{SMALL}identity: {{api_keys: {{keys: {{a: {{key: '${{K}}', tenant: t}}}}}}}}", {"K": KEY}
    ).identity
    assert settings.authenticates
    assert settings.anonymous is None
    (key,) = settings.api_keys.declared
    assert key.key is not None
    assert key.key.reveal() == KEY
    assert KEY not in repr(settings)


def test_what_is_not_granted_is_denied(read: Read) -> None:
    text = f"{SMALL}identity: {{anonymous: {{tenant: t, features: [chat, draft], models: '*', roles: [tenant_admin]}}}}"
    anonymous = read(text).identity.anonymous
    assert anonymous is not None
    assert anonymous.tenant == "t"
    assert anonymous.grants == Grants(
        features=frozenset({"chat", "draft"}), models=None, roles=frozenset({Role.TENANT_ADMIN})
    )


def test_the_whole_section_compiles(read: Read, tmp_path: Path) -> None:
    (tmp_path / "keys.json").write_text('{"keys": [{"kty": "OKP"}]}')
    (tmp_path / "old.key").write_text(OTHER_KEY)
    text = f"""\
{SMALL}
storage: {{url: "${{DATABASE_URL}}", max_connections: 3}}
identity:
  api_keys:
    pepper: "${{PEPPER}}"
    previous_peppers: "${{OLD_PEPPER}}"
    database: true
    cache_ttl: 5s
    keys:
      hashed: {{hash: "{HASH}", tenant: acme, models: gpt-4o-mini}}
      filed: {{key_file: old.key, tenant: acme}}
  jwt:
    corp:
      issuer: https://login.example.com
      audience: llmrouter
      jwks_file: keys.json
      algorithms: [ES256]
      claims: {{tenant: org.id, tiers: plan}}
      features: "*"
"""
    environ = {"DATABASE_URL": "postgresql://u:hunter2@h/d", "PEPPER": PEPPER, "OLD_PEPPER": PEPPER * 2}
    configuration = read(text, environ)
    storage, keys = configuration.storage, configuration.identity.api_keys
    assert storage.url is not None
    assert storage.url.reveal() == environ["DATABASE_URL"]
    assert storage.max_connections == 3
    assert storage.directory == tmp_path
    assert [pepper.reveal() for pepper in keys.peppers] == [PEPPER, PEPPER * 2]
    assert (keys.database, keys.cache_ttl) == (True, 5.0)
    assert [(key.public_id, key.secret_hash) for key in keys.declared] == [("rk_" + "a" * 12, bytes(32)), ("", b"")]
    assert keys.declared[0].grants.models == frozenset({"gpt-4o-mini"})
    (issuer,) = configuration.identity.issuers
    assert issuer.algorithms == (Algorithm.ES256,)
    assert (issuer.claims.tenant, issuer.claims.tiers, issuer.claims.roles) == (("org", "id"), ("plan",), ())
    assert Path(issuer.jwks_file) == tmp_path / "keys.json"
    for secret in ("hunter2", PEPPER):
        assert secret not in repr(configuration)


ISSUER = "issuer: i, audience: a, tenant: t"


@pytest.mark.parametrize(
    ("section", "path", "message"),
    [
        ("api_keys: {database: true}", "api_keys.database", "there is no database"),
        ("api_keys: {database: true}", "api_keys.pepper", "is required where hashes"),
        ("api_keys: {pepper: short}", "api_keys.pepper", "is shorter than 16"),
        ("api_keys: {pepper: $PEPPER}", "api_keys.pepper", "is the name of a variable"),
        ("api_keys: {keys: {a: {tenant: t}}}", "api_keys.keys.a", "gives neither key nor hash"),
        (f"api_keys: {{keys: {{a: {{tenant: t, key: {KEY}}}}}}}", "api_keys.keys.a.key", "the key itself is written"),
        ("api_keys: {keys: {a: {tenant: t, key: '${SHORT}'}}}", "api_keys.keys.a.key", "holds no API key"),
        ("api_keys: {keys: {a: {tenant: t, hash: abc}}}", "api_keys.keys.a.hash", "is not the hash of a key"),
        ("api_keys: {keys: {a: {key: '${KEY}'}}}", "api_keys.keys.a.tenant", "is required"),
        (
            "api_keys: {keys: {a: {tenant: t, key: '${KEY}'}, b: {tenant: t, key: '${KEY}'}}}",
            "api_keys.keys.b",
            "is the same key as a",
        ),
        ("api_keys: {keys: {a: {tenant: 'a b', key: '${KEY}'}}}", "api_keys.keys.a.tenant", "cannot be a tenant"),
        ("anonymous: {tenant: t, models: gpt-4}", "anonymous.models", "there is no model or deployment gpt-4"),
        ("anonymous: {tenant: t, policies: [defualt]}", "anonymous.policies[0]", "there is no policy defualt"),
        ("anonymous: {tenant: t, tiers: ['*', pro]}", "anonymous.tiers", '"*" grants all'),
        (f"jwt: {{c: {{{ISSUER}}}}}", "jwt.c", "gives neither jwks_url nor jwks_file"),
        (f"jwt: {{c: {{{ISSUER}, jwks_url: 'http://h/k'}}}}", "jwt.c.jwks_url", "is not protected"),
        (f"jwt: {{c: {{{ISSUER}, jwks_file: nowhere}}}}", "jwt.c.jwks_file", "cannot read nowhere"),
        (
            f"jwt: {{c: {{{ISSUER}, jwks_url: 'https://h/k', algorithms: [HS256]}}}}",
            "jwt.c.algorithms[0]",
            "HS256 is not",
        ),
        (
            f"jwt: {{c: {{{ISSUER}, jwks_url: 'https://h/k', algorithms: [none]}}}}",
            "jwt.c.algorithms[0]",
            "none is not",
        ),
        (f"jwt: {{c: {{{ISSUER}, jwks_url: 'https://h/k', claims: {{tenant: t}}}}}}", "jwt.c", "gives both tenant"),
        ("jwt: {c: {issuer: i, audience: a, jwks_url: 'https://h/k'}}", "jwt.c", "gives no tenant"),
        ("jwt: {c: {issuer: i, audience: [], tenant: t, jwks_url: 'https://h/k'}}", "jwt.c.audience", "names nobody"),
        ("mtls: {identities: {'spiffe://h/a': {tenant: t}}}", "mtls", "client certificates are not asked for"),
    ],
)
def test_what_would_let_in_nobody_or_the_wrong_one_is_refused(
    problems: Problems, section: str, path: str, message: str
) -> None:
    found = problems(f"{SMALL}identity: {{{section}}}", {"KEY": KEY, "SHORT": "rk_x"})
    matching = [problem for problem in found if problem.path == f"identity.{path}"]
    assert [problem.message[: len(message)] for problem in matching] == [message]
    assert "S" * 48 not in "".join(map(str, found))


@pytest.mark.parametrize("name", ["billing", "spiffe://h/*", "spiffe://h/a b", "https://h/a"])
def test_a_certificate_is_named_in_full(problems: Problems, name: str) -> None:
    found = problems(f"{SMALL}identity: {{mtls: {{identities: {{{json.dumps(name)}: {{tenant: t}}}}}}}}")
    assert any("is no SPIFFE id" in problem.message for problem in found)


@pytest.mark.parametrize("url", ["mysql://u:hunter2@h/d", "sqlite:/x", "llmrouter.db", "postgresql://"])
def test_the_url_of_another_database_is_refused_without_repeating_it(problems: Problems, url: str) -> None:
    (found,) = problems(f"{SMALL}storage: {{url: '{url}'}}")
    assert found.path == "storage.url"
    assert "hunter2" not in str(found)
