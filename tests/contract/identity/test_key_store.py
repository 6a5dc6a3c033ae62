"""Keys are made, rotated and revoked alike in every database, and none of them is ever in it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from benchmarks.postgres_server import PostgresServer
from router_service.config.identity import ApiKeySettings, IdentitySettings
from router_service.config.secret import LiteralSecret
from router_service.domain.error import StateUnavailable, Unauthenticated
from router_service.domain.identity import Grants, Role
from router_service.identity.administration import IssuedKey, KeyAdministration, KeyNotFound
from router_service.identity.authenticator import Authenticator, Credentials, open_authenticator
from router_service.identity.clock import Clocks
from router_service.identity.keys import Peppers
from router_service.identity.store import SqlKeyStore
from router_service.storage.database import Database
from router_service.storage.migrate import migrate
from router_service.storage.opening import open_database

PEPPER = "a pepper of at least 16 characters"
SETTINGS = IdentitySettings(
    api_keys=ApiKeySettings(peppers=(LiteralSecret(PEPPER),), database=True, cache_ttl=30.0, outage_grace=600.0)
)
GRANTS = Grants(
    features=frozenset({"chat", "naïve 你好"}),
    models=None,
    tiers=frozenset({"pro"}),
    default_tier="free",
    roles=frozenset({Role.TENANT_ADMIN}),
    max_concurrent_calls=7,
)


class Time:
    now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
async def who(database: Database, time: Time) -> AsyncIterator[Authenticator]:
    await migrate(database)
    opened = open_authenticator(SETTINGS, database, clocks=Clocks(monotonic=time, wall=time))
    yield opened
    await opened.aclose()


@pytest.fixture
def keys(database: Database, time: Time, who: Authenticator) -> KeyAdministration:
    peppers = Peppers(SETTINGS.api_keys.peppers)
    return KeyAdministration(SqlKeyStore(database), peppers, wall=time, revoked=who.forget)


def shown(issued: IssuedKey) -> Credentials:
    return Credentials(authorization=(f"Bearer {issued.key.reveal()}",))


async def create(keys: KeyAdministration, **more: object) -> IssuedKey:
    return await keys.create(**{"name": "billing", "tenant": "acme", "grants": GRANTS, **more})  # type: ignore[arg-type]


async def refused(who: Authenticator, issued: IssuedKey) -> str:
    with pytest.raises(Unauthenticated) as raised:
        await who.authenticate(shown(issued))
    return raised.value.message


async def test_a_key_opens_with_all_that_it_was_granted(keys: KeyAdministration, who: Authenticator) -> None:
    issued = await create(keys)
    identity = await who.authenticate(shown(issued))
    assert (identity.tenant, identity.principal, identity.name) == ("acme", issued.key.public_id, "billing")
    assert identity.grants == GRANTS
    assert await keys.list() == [issued.record]


async def test_keys_are_listed_by_tenant_the_latest_first(keys: KeyAdministration, time: Time) -> None:
    made = []
    for tenant in ("acme", "globex", "acme"):
        made.append((await create(keys, tenant=tenant)).key.public_id)
        time.now += 1
    assert [record.public_id for record in await keys.list("acme")] == [made[2], made[0]]
    assert [record.public_id for record in await keys.list()] == made[::-1]
    assert await keys.list("nobody") == []


async def test_both_keys_hold_while_a_rotation_overlaps(
    keys: KeyAdministration, who: Authenticator, time: Time
) -> None:
    old = await create(keys)
    await who.authenticate(shown(old))
    new = await keys.rotate(old.key.public_id, overlap=3600)
    assert new.record.replaces == old.key.public_id
    assert (new.record.tenant, new.record.name, new.record.grants) == ("acme", "billing", GRANTS)
    time.now += 3599
    for issued in (old, new):
        await who.authenticate(shown(issued))
    time.now += 1
    assert "has expired" in await refused(who, old)
    await who.authenticate(shown(new))
    with pytest.raises(KeyNotFound):
        await keys.rotate(old.key.public_id, overlap=3600)


async def test_a_rotation_never_prolongs_the_old_key(keys: KeyAdministration, who: Authenticator, time: Time) -> None:
    old = await create(keys, expires_at=time.now + 60)
    await keys.rotate(old.key.public_id, overlap=3600)
    time.now += 60
    await refused(who, old)


async def test_of_two_rotations_at_once_both_tell_the_truth(keys: KeyAdministration, who: Authenticator) -> None:
    old = await create(keys)
    outcomes = await asyncio.gather(
        *(keys.rotate(old.key.public_id, overlap=0) for _ in range(4)), return_exceptions=True
    )
    issued = [outcome for outcome in outcomes if isinstance(outcome, IssuedKey)]
    assert all(isinstance(outcome, IssuedKey | KeyNotFound) for outcome in outcomes)
    assert {record.public_id for record in await keys.list()} == {
        old.key.public_id,
        *(one.key.public_id for one in issued),
    }
    for one in issued:
        await who.authenticate(shown(one))


async def test_a_revoked_key_ends_at_once_and_once(keys: KeyAdministration, who: Authenticator) -> None:
    issued = await create(keys)
    await who.authenticate(shown(issued))
    revoked = await keys.revoke(issued.key.public_id)
    assert revoked == await keys.find(issued.key.public_id)
    assert revoked.revoked_at is not None
    assert "was revoked" in await refused(who, issued)
    for public_id in (issued.key.public_id, "rk_nothing"):
        with pytest.raises(KeyNotFound, match=public_id):
            await keys.revoke(public_id)
    with pytest.raises(KeyNotFound):
        await keys.rotate(issued.key.public_id, overlap=1)


async def test_a_key_expires(keys: KeyAdministration, who: Authenticator, time: Time) -> None:
    issued = await create(keys, expires_at=time.now + 86_400)
    await who.authenticate(shown(issued))
    time.now += 86_400
    assert "has expired" in await refused(who, issued)


async def test_another_replica_learns_of_a_revocation_within_the_ttl(
    keys: KeyAdministration, database: Database, time: Time
) -> None:
    other = open_authenticator(SETTINGS, database, clocks=Clocks(monotonic=time, wall=time))
    issued = await create(keys)
    await other.authenticate(shown(issued))
    await keys.revoke(issued.key.public_id)
    await other.authenticate(shown(issued))
    time.now += 30
    await refused(other, issued)
    await other.aclose()


async def test_another_pepper_opens_nothing(keys: KeyAdministration, database: Database, time: Time) -> None:
    issued = await create(keys)
    peppers = (LiteralSecret("another pepper that is long enough"),)
    stranger = open_authenticator(
        IdentitySettings(api_keys=ApiKeySettings(peppers=peppers, database=True)),
        database,
        clocks=Clocks(monotonic=time, wall=time),
    )
    await refused(stranger, issued)
    await stranger.aclose()


async def test_no_secret_is_in_the_database_file(tmp_path: Path) -> None:
    database = await open_database(f"sqlite:///{tmp_path}/keys.db")
    await migrate(database)
    keys = KeyAdministration(SqlKeyStore(database), Peppers([LiteralSecret(PEPPER)]), wall=lambda: 1.0)
    issued = [await create(keys) for _ in range(20)]
    issued += [await keys.rotate(one.key.public_id, overlap=1) for one in issued[:5]]
    # While it is open, most is in the write-ahead log; when it is closed, all is in the file.
    open_files = all_bytes(tmp_path)
    await database.aclose()
    for content in (open_files, all_bytes(tmp_path)):
        assert issued[0].key.public_id.encode() in content
        for one in issued:
            assert one.key.reveal()[16:].encode() not in content
        assert PEPPER.encode() not in content


def all_bytes(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in sorted(folder.iterdir()))


async def test_keys_live_through_an_outage_of_postgresql(postgres: PostgresServer) -> None:
    time = Time()
    database = await open_database(postgres.new_database())
    await migrate(database)
    keys = KeyAdministration(SqlKeyStore(database), Peppers(SETTINGS.api_keys.peppers), wall=time)
    who = open_authenticator(SETTINGS, database, clocks=Clocks(monotonic=time, wall=time))
    known, unknown = await create(keys), await create(keys)
    await who.authenticate(shown(known))
    postgres.stop()
    try:
        time.now += 599
        await who.authenticate(shown(known))
        with pytest.raises(StateUnavailable):
            await who.authenticate(shown(unknown))
        time.now += 1
        with pytest.raises(StateUnavailable):
            await who.authenticate(shown(known))
    finally:
        postgres.start()
    time.now += 5
    for issued in (known, unknown):
        await who.authenticate(shown(issued))
    await who.aclose()
    await database.aclose()
