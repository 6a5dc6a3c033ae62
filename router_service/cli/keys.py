"""`llmrouter keys`: make, list, rotate and revoke API keys, in the configuration's database."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar

import typer
import yaml
from rich.table import Table

from router_service.administration import AuditedKeys
from router_service.cli.configuration import configuration_or_exit
from router_service.cli.ending import MISUSED, end
from router_service.cli.options import ConfigFile
from router_service.cli.render import account, terminal
from router_service.config.configuration import Configuration
from router_service.domain.identity import Grants, Names, Role
from router_service.identity.administration import MICROSECONDS, IssuedKey, KeyNotFound
from router_service.identity.keys import KeyRecord, Peppers, new_key
from router_service.identity.store import grants_to_json
from router_service.storage.database import StorageError
from router_service.storage.migrate import migrate
from router_service.storage.opening import open_configured

T = TypeVar("T")

_DAY = 86_400
_ACTOR = "cli"

app = typer.Typer(help="Make, list, rotate and revoke API keys.", no_args_is_help=True)

PublicId = Annotated[str, typer.Argument(help="The key's public id, such as rk_3fZkq0aB91xY.")]
ExpiresDays = Annotated[float | None, typer.Option(min=0.0, help="Days until it expires. Default: never.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="What people call it.")],
    tenant: Annotated[str, typer.Option(help="Who pays.")],
    feature: Annotated[list[str], typer.Option(help='Feature it may name; may be repeated; "*" for all.')] = [],  # noqa: B006 - Typer's
    model: Annotated[list[str], typer.Option(help='Model or deployment; may be repeated; "*" for all.')] = [],  # noqa: B006
    policy: Annotated[list[str], typer.Option(help='Policy; may be repeated; "*" for all.')] = [],  # noqa: B006
    tier: Annotated[list[str], typer.Option(help='Tier it may claim; may be repeated; "*" for all.')] = [],  # noqa: B006
    default_tier: Annotated[str, typer.Option(help="Tier of calls that claim none.")] = "",
    role: Annotated[list[Role], typer.Option(help="What it may administer; may be repeated.")] = [],  # noqa: B006
    max_concurrent_calls: Annotated[int | None, typer.Option(min=1, help="Calls served at once.")] = None,
    expires_days: ExpiresDays = None,
    for_file: Annotated[
        bool, typer.Option("--for-file", help="Print lines for the configuration file; use no database.")
    ] = False,
    config: ConfigFile = None,
) -> None:
    """Make a key. It is printed this once; whatever is not granted is denied."""
    configuration = configuration_or_exit(config)
    grants = Grants(
        features=_names(feature),
        models=_names(model),
        policies=_names(policy),
        tiers=_names(tier),
        default_tier=default_tier,
        roles=frozenset(role),
        max_concurrent_calls=max_concurrent_calls,
    )
    _check_names("--model", grants.models, {*configuration.models, *configuration.deployments})
    _check_names("--policy", grants.policies, configuration.policies)
    if for_file:
        _print_for_file(configuration, name, tenant, grants, expires_days)
        return
    expires_at = _expiry(expires_days)
    issued = _administer(
        configuration,
        lambda keys: keys.create(actor=_ACTOR, name=name, tenant=tenant, grants=grants, expires_at=expires_at),
    )
    _print_issued(issued)


@app.command("list")
def list_keys(
    tenant: Annotated[str | None, typer.Option(help="Only this tenant's keys.")] = None,
    as_json: AsJson = False,
    config: ConfigFile = None,
) -> None:
    """List keys, the latest first, also those that no longer hold. Their secrets are nowhere."""
    records = _administer(configuration_or_exit(config), lambda keys: keys.list(tenant))
    if as_json:
        print(json.dumps([_as_json(record) for record in records], indent=2))
        return
    table = Table("public id", "name", "tenant", "state", "may use", box=None, pad_edge=False)
    for record in records:
        table.add_row(record.public_id, record.name, record.tenant, _state(record), _summary(record.grants))
    terminal().print(table)


@app.command()
def rotate(
    public_id: PublicId,
    overlap_hours: Annotated[float, typer.Option(min=0.0, help="Hours for which the old key still holds.")] = 24.0,
    expires_days: ExpiresDays = None,
    config: ConfigFile = None,
) -> None:
    """Make a key that may what the old one may; both hold until the overlap is over."""
    expires_at = _expiry(expires_days)
    _print_issued(
        _administer(
            configuration_or_exit(config),
            lambda keys: keys.rotate(public_id, actor=_ACTOR, overlap=overlap_hours * 3600, expires_at=expires_at),
        )
    )


@app.command()
def revoke(public_id: PublicId, config: ConfigFile = None) -> None:
    """End a key for good: in running routers within `identity.api_keys.cache_ttl`."""
    configuration = configuration_or_exit(config)
    _administer(configuration, lambda keys: keys.revoke(public_id, actor=_ACTOR))
    ttl = configuration.identity.api_keys.cache_ttl
    print(f"{public_id} is revoked; routers that know it refuse it within {ttl:g} s.")


def _administer(configuration: Configuration, act: Callable[[AuditedKeys], Awaitable[T]]) -> T:
    """Act on the keys of the configuration's database; ends the command where that cannot be done."""
    peppers = _peppers(configuration)

    async def run() -> T:
        database = await open_configured(configuration.storage)
        try:
            await migrate(database)
            return await act(AuditedKeys(database, peppers, wall=time.time))
        finally:
            await database.aclose()

    try:
        return asyncio.run(run())
    except (StorageError, KeyNotFound) as error:
        end(str(error))


def _peppers(configuration: Configuration) -> Peppers:
    peppers = configuration.identity.api_keys.peppers
    if not peppers:
        end(
            "No pepper is configured, which hashes of keys are made with. Make one with `openssl rand -hex 32` "
            'and write identity: {api_keys: {pepper: "${LLMROUTER_KEY_PEPPER}"}} into the configuration file.'
        )
    return Peppers(peppers)


def _names(listed: list[str]) -> Names:
    if "*" in listed and len(listed) > 1:
        end('"*" grants all: give it alone.', MISUSED)
    return None if listed == ["*"] else frozenset(listed)


def _check_names(option: str, names: Names, known: Iterable[str]) -> None:
    from router_service.config.document import nearest  # noqa: PLC0415 - pydantic takes its time

    known = sorted(known)
    for name in sorted(names or ()):
        if name not in known:
            fix = nearest(name, known) or f"It has {', '.join(known)}."
            end(f"{option}: the configuration has no {name}. {fix}", MISUSED)


def _expiry(days: float | None) -> float | None:
    return None if days is None else time.time() + days * _DAY


def _print_issued(issued: IssuedKey) -> None:
    # The key alone goes to standard output, for whoever reads it into a variable or a vault.
    print(issued.key.reveal())
    account().print(f"{issued.record.public_id} for tenant {issued.record.tenant}, {_state(issued.record)}.")
    account().print("This is the only time the key is shown: keep it where your service reads its secrets.")


def _print_for_file(
    configuration: Configuration, name: str, tenant: str, grants: Grants, expires_days: float | None
) -> None:
    if expires_days is not None:
        end("A key of the file has no end of its own: remove it there.", MISUSED)
    key = new_key()
    digest = _peppers(configuration).hash(key.reveal()).hex()
    settings = {"hash": f"{key.public_id}:{digest}", "tenant": tenant, **grants_to_json(grants)}
    print(key.reveal())
    account().print("This is the only time the key is shown. Put these lines into the configuration file:")
    lines = yaml.safe_dump({"identity": {"api_keys": {"keys": {name: settings}}}}, sort_keys=False, allow_unicode=True)
    account().print(lines, markup=False, highlight=False, soft_wrap=True)


def _state(record: KeyRecord) -> str:
    if record.revoked_at is not None:
        return f"revoked {_day(record.revoked_at)}"
    if record.expires_at is None:
        return "holds"
    return (
        f"{'holds until' if record.holds(round(time.time() * MICROSECONDS)) else 'expired'} {_day(record.expires_at)}"
    )


def _day(at: int) -> str:
    return f"{datetime.fromtimestamp(at / MICROSECONDS, UTC):%Y-%m-%d %H:%M}"


def _summary(grants: Grants) -> str:
    written: Mapping[str, Any] = grants_to_json(grants)
    texts = (f"{field}: {', '.join(value) if isinstance(value, list) else value}" for field, value in written.items())
    return "; ".join(texts) or "nothing"


def _as_json(record: KeyRecord) -> dict[str, Any]:
    def at(time_: int | None) -> str | None:
        return None if time_ is None else datetime.fromtimestamp(time_ / MICROSECONDS, UTC).isoformat()

    return {
        "public_id": record.public_id,
        "name": record.name,
        "tenant": record.tenant,
        "grants": grants_to_json(record.grants),
        "created_at": at(record.created_at),
        "expires_at": at(record.expires_at),
        "revoked_at": at(record.revoked_at),
        "replaces": record.replaces,
    }
