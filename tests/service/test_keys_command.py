"""`llmrouter keys` as people run it, and that what it makes opens a router's door."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import Result
from typer.testing import CliRunner

from router_service.cli.main import app
from router_service.config.load import load
from router_service.domain.error import Unauthenticated
from router_service.domain.identity import Identity
from router_service.identity.authenticator import Credentials, open_authenticator
from router_service.identity.clock import Clocks
from router_service.storage.opening import open_configured

ENVIRON = {"LLMROUTER_KEY_PEPPER": "a pepper of at least 16 characters"}
CONFIGURATION: dict[str, Any] = {
    "providers": {"openai": {"api_key": "sk-one"}},
    "models": {"gpt-4o": {"provider": "openai"}},
    "policies": {"default": {"rules": [{"use": "gpt-4o"}]}},
    "storage": {"url": "sqlite:///llmrouter.db"},
    "identity": {"api_keys": {"database": True, "pepper": "${LLMROUTER_KEY_PEPPER}"}},
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "router.yaml"
    write(file, {})
    return file


def write(file: Path, change: dict[str, Any]) -> None:
    file.write_text(yaml.safe_dump({**CONFIGURATION, **change}))


def keys(file: Path, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["keys", *arguments, "--config", str(file)], env=ENVIRON)


def who_calls(file: Path, key: str) -> Identity:
    return asyncio.run(_who_calls(file, key))


async def _who_calls(file: Path, key: str) -> Identity:
    configuration = load(file, lambda *_: None, ENVIRON)
    database = await open_configured(configuration.storage)
    clocks = Clocks(monotonic=time.monotonic, wall=time.time)
    who = open_authenticator(configuration.identity, database, clocks=clocks)
    try:
        return await who.authenticate(Credentials(authorization=(f"Bearer {key}",)))
    finally:
        await who.aclose()
        await database.aclose()


def test_a_key_lives_from_its_making_to_its_end(file: Path) -> None:
    made = keys(
        file, "create", "billing", "--tenant", "acme", "--feature", "chat", "--model", "*", "--policy", "default"
    )
    assert made.exit_code == 0, made.stderr
    # The key alone is on standard output: `KEY=$(llmrouter keys create ...)`.
    key = made.stdout.strip()
    assert key not in made.stderr
    identity = who_calls(file, key)
    assert (identity.tenant, identity.name) == ("acme", "billing")
    assert identity.grants.models is None
    assert identity.grants.features == frozenset({"chat"})

    new = keys(file, "rotate", identity.principal, "--expires-days", "90").stdout.strip()
    for one in (key, new):
        assert (who_calls(file, one)).tenant == "acme"

    assert "is revoked; routers that know it refuse it within 30 s." in keys(file, "revoke", identity.principal).stdout
    with pytest.raises(Unauthenticated, match="revoked"):
        who_calls(file, key)
    again = keys(file, "revoke", identity.principal)
    assert (again.exit_code, again.stderr.strip()) == (
        1,
        f"There is no key {identity.principal} to revoke, or it was revoked before.",
    )

    listed = json.loads(keys(file, "list", "--json").stdout)
    assert [one["replaces"] for one in listed] == [identity.principal, None]
    assert [one["revoked_at"] is None for one in listed] == [True, False]
    told = keys(file, "list").stdout
    assert "features: chat; models: *; policies: default" in told
    for one in (key, new):
        assert one[16:] not in told


def test_a_key_for_the_file_needs_no_database(file: Path) -> None:
    made = keys(file, "create", "edge", "--tenant", "acme", "--feature", "*", "--for-file")
    assert made.exit_code == 0, made.stderr
    lines = yaml.safe_load(made.stderr.partition("file:\n")[2])
    declared = lines["identity"]["api_keys"]["keys"]
    write(file, {"identity": {"api_keys": {"pepper": "${LLMROUTER_KEY_PEPPER}", "keys": declared}}})
    identity = who_calls(file, made.stdout.strip())
    assert (identity.name, identity.grants.features) == ("edge", None)
    assert made.stdout.strip()[16:] not in made.stderr


@pytest.mark.parametrize(
    ("change", "arguments", "told"),
    [
        ({"storage": {}, "identity": {"api_keys": {"pepper": "x" * 16}}}, ("list",), "No database is configured"),
        ({"identity": {}}, ("list",), "No pepper is configured"),
        ({}, ("create", "x", "--tenant", "t", "--model", "gpt-4"), "no gpt-4. Did you mean gpt-4o?"),
        ({}, ("create", "x", "--tenant", "t", "--feature", "*", "--feature", "y"), "give it alone"),
        ({}, ("rotate", "rk_nobody"), "There is no key rk_nobody"),
    ],
)
def test_what_cannot_be_done_is_told_in_a_line(
    file: Path, change: dict[str, Any], arguments: tuple[str, ...], told: str
) -> None:
    write(file, change)
    result = keys(file, *arguments)
    assert result.exit_code
    assert told in result.stderr
    assert isinstance(result.exception, SystemExit)
    assert not result.stdout
