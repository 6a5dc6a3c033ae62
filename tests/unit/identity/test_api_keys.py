"""API keys are verified: fast where they are known, never where they are not, and through an outage."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from identity_values import (
    GRANTS,
    PEPPERS,
    MemoryKeyStore,
    Time,
    a_key,
    authenticator,
    bearer,
    database_settings,
    declared_settings,
    kept,
)

from router_service.config.secret import LiteralSecret
from router_service.domain.error import Overloaded, RouterError, StateUnavailable, Unauthenticated
from router_service.domain.identity import Identity, IdentityKind
from router_service.identity.authenticator import Authenticator, Credentials
from router_service.identity.keys import NewKey, Peppers, public_id_of


async def refused(who: Authenticator, credentials: Credentials) -> Unauthenticated:
    with pytest.raises(Unauthenticated) as raised:
        await who.authenticate(credentials)
    return raised.value


async def test_a_key_of_the_database_says_who_calls() -> None:
    key = a_key()
    who = authenticator(database_settings(), MemoryKeyStore([kept(key)]))
    identity = await who.authenticate(bearer(key.reveal()))
    assert identity == Identity(
        tenant="acme", principal=key.public_id, kind=IdentityKind.API_KEY, name="billing", grants=GRANTS
    )
    assert await who.authenticate(Credentials(api_key=(key.reveal(),))) == identity


@pytest.mark.parametrize("hashed", [True, False])
async def test_a_key_of_the_file_needs_no_database(hashed: bool) -> None:
    key = a_key()
    who = authenticator(declared_settings(key, hashed=hashed))
    identity = await who.authenticate(bearer(key.reveal()))
    assert (identity.tenant, identity.principal, identity.name) == ("acme", key.public_id, "batch")
    await refused(who, bearer(wrong_secret(key)))


def wrong_secret(key: NewKey) -> str:
    text = key.reveal()
    return text[:-1] + ("a" if text[-1] != "a" else "b")


async def test_a_wrong_secret_and_an_unknown_key_are_refused_alike() -> None:
    key, unknown = a_key(), a_key()
    who = authenticator(database_settings(), MemoryKeyStore([kept(key)]))
    told = {
        (await refused(who, bearer(text))).message
        for text in (wrong_secret(key), unknown.reveal(), "rk_", "rk_nothing", key.reveal() + "\n2", key.reveal()[:-1])
    }
    assert len(told) == 1
    assert key.public_id not in told.pop()


async def test_a_miss_compares_as_a_hit_does(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[int] = []
    match = Peppers.match

    def counted(self: Peppers, text: str, expected: bytes) -> bool:
        compared.append(len(expected))
        return match(self, text, expected)

    monkeypatch.setattr(Peppers, "match", counted)
    key = a_key()
    who = authenticator(database_settings(), MemoryKeyStore([kept(key), kept(revoked := a_key(), revoked_at=1)]))
    await who.authenticate(bearer(key.reveal()))
    for text in (a_key().reveal(), wrong_secret(key), revoked.reveal()):
        await refused(who, bearer(text))
    assert compared == [32] * 4


async def test_what_ended_is_told_to_its_holder_only() -> None:
    time = Time()
    expired, revoked = a_key(), a_key()
    store = MemoryKeyStore([kept(expired, expires_at=time.now), kept(revoked, revoked_at=5)])
    who = authenticator(database_settings(), store, time)
    assert f"{expired.public_id} has expired" in (await refused(who, bearer(expired.reveal()))).message
    assert f"{revoked.public_id} was revoked" in (await refused(who, bearer(revoked.reveal()))).message
    assert "not valid" in (await refused(who, bearer(wrong_secret(revoked)))).message


async def test_a_verified_key_is_not_asked_for_again_within_its_time() -> None:
    time, key = Time(), a_key()
    store = MemoryKeyStore([kept(key)])
    who = authenticator(database_settings(cache_ttl=30.0), store, time)
    for _ in range(5):
        await who.authenticate(bearer(key.reveal()))
    assert store.asked == 1
    time.pass_by(30)
    await who.authenticate(bearer(key.reveal()))
    assert store.asked == 2


async def test_nothing_is_awaited_for_a_known_key() -> None:
    key = a_key()
    who = authenticator(database_settings(), MemoryKeyStore([kept(key)]))
    await who.authenticate(bearer(key.reveal()))
    steps = who.authenticate(bearer(key.reveal())).__await__()
    with pytest.raises(StopIteration):
        next(steps)


async def test_a_key_that_another_replica_revoked_ends_within_the_ttl() -> None:
    time, key = Time(), a_key()
    store = MemoryKeyStore([kept(key)])
    who = authenticator(database_settings(cache_ttl=30.0), store, time)
    await who.authenticate(bearer(key.reveal()))
    store.records[key.public_id] = kept(key, revoked_at=time.now)
    time.pass_by(29.9)
    await who.authenticate(bearer(key.reveal()))
    time.pass_by(0.1)
    assert "revoked" in (await refused(who, bearer(key.reveal()))).message


async def test_a_key_revoked_here_ends_at_once() -> None:
    key = a_key()
    store = MemoryKeyStore([kept(key)])
    who = authenticator(database_settings(), store)
    await who.authenticate(bearer(key.reveal()))
    store.records[key.public_id] = kept(key, revoked_at=1)
    who.forget(key.public_id)
    assert "revoked" in (await refused(who, bearer(key.reveal()))).message


async def test_a_key_revoked_during_its_lookup_is_not_remembered() -> None:
    key = a_key()
    store = MemoryKeyStore([kept(key)])
    store.slow = asyncio.Event()
    who = authenticator(database_settings(), store)
    call = asyncio.create_task(who.authenticate(bearer(key.reveal())))
    await store.begun.wait()
    who.forget(key.public_id)
    store.slow.set()
    await call
    store.records[key.public_id] = kept(key, revoked_at=1)
    await refused(who, bearer(key.reveal()))


async def test_nobody_joins_a_lookup_that_began_before_the_key_was_revoked() -> None:
    key = a_key()
    store = MemoryKeyStore([kept(key)])
    store.slow = asyncio.Event()
    who = authenticator(database_settings(), store)
    early = asyncio.create_task(who.authenticate(bearer(key.reveal())))
    await store.begun.wait()
    store.records[key.public_id] = kept(key, revoked_at=1)
    who.forget(key.public_id)
    late = asyncio.create_task(refused(who, bearer(key.reveal())))
    await asyncio.sleep(0)
    store.slow.set()
    assert "revoked" in (await late).message
    await asyncio.gather(early, return_exceptions=True)


async def test_a_key_ends_at_its_time_also_where_it_is_remembered() -> None:
    time, key = Time(), a_key()
    who = authenticator(database_settings(), MemoryKeyStore([kept(key, expires_at=time.now + 10)]), time)
    await who.authenticate(bearer(key.reveal()))
    time.pass_by(10)
    assert "expired" in (await refused(who, bearer(key.reveal()))).message


async def test_one_lookup_serves_all_who_wait_for_it() -> None:
    key = a_key()
    store = MemoryKeyStore([kept(key)])
    store.slow = asyncio.Event()
    who = authenticator(database_settings(), store)
    calls = [asyncio.create_task(who.authenticate(bearer(key.reveal()))) for _ in range(20)]
    await store.begun.wait()
    # Who leaves does not take the lookup along.
    calls[0].cancel()
    await asyncio.sleep(0)
    store.slow.set()
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert isinstance(outcomes[0], asyncio.CancelledError)
    assert all(isinstance(outcome, Identity) for outcome in outcomes[1:])
    assert store.asked == 1


# Outages


async def test_an_outage_logs_out_nobody_and_lets_in_nobody() -> None:
    time, key, stranger = Time(), a_key(), a_key()
    store = MemoryKeyStore([kept(key), kept(stranger)])
    who = authenticator(database_settings(cache_ttl=30.0, outage_grace=3600.0), store, time)
    await who.authenticate(bearer(key.reveal()))
    store.away = True
    time.pass_by(3599)
    assert (await who.authenticate(bearer(key.reveal()))).principal == key.public_id
    for text in (stranger.reveal(), wrong_secret(key), a_key().reveal()):
        with pytest.raises(StateUnavailable) as raised:
            await who.authenticate(bearer(text))
        assert raised.value.retry_after
        assert raised.value.metadata == {"state": "api_keys"}
    time.pass_by(1)
    with pytest.raises(StateUnavailable):
        await who.authenticate(bearer(key.reveal()))
    store.away = False
    time.pass_by(10)
    assert (await who.authenticate(bearer(stranger.reveal()))).principal == stranger.public_id


async def test_a_database_that_is_away_is_not_asked_by_every_call() -> None:
    time, key = Time(), a_key()
    store = MemoryKeyStore([kept(key)])
    who = authenticator(database_settings(cache_ttl=1.0), store, time)
    await who.authenticate(bearer(key.reveal()))
    store.away = True
    time.pass_by(2)
    for _ in range(10):
        await who.authenticate(bearer(key.reveal()))
    assert store.asked == 2


async def test_a_silent_database_delays_known_callers_but_briefly() -> None:
    time, key = Time(), a_key()
    store = MemoryKeyStore([kept(key)])
    who = authenticator(database_settings(cache_ttl=1.0), store, time)
    await who.authenticate(bearer(key.reveal()))
    store.slow = asyncio.Event()
    time.pass_by(2)
    async with asyncio.timeout(30):
        for _ in range(10):
            await who.authenticate(bearer(key.reveal()))
    # What the database says in the end still counts.
    store.records[key.public_id] = kept(key, revoked_at=1)
    store.slow.set()
    time.pass_by(0.5)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    time.pass_by(10)
    assert "revoked" in (await refused(who, bearer(key.reveal()))).message
    await who.aclose()


async def test_a_key_beyond_its_grace_waits_for_the_database_like_any_other() -> None:
    time, key = Time(), a_key()
    store = MemoryKeyStore([kept(key)])
    who = authenticator(database_settings(cache_ttl=1.0, outage_grace=10.0), store, time)
    await who.authenticate(bearer(key.reveal()))
    store.slow = asyncio.Event()
    time.pass_by(10)
    call = asyncio.create_task(who.authenticate(bearer(key.reveal())))
    # Longer than a caller would wait whom the grace covers.
    assert not (await asyncio.wait({call}, timeout=0.4))[0]
    store.slow.set()
    assert (await call).principal == key.public_id


async def test_guesses_do_not_take_the_database_from_everybody_else() -> None:
    store = MemoryKeyStore()
    store.slow = asyncio.Event()
    who = authenticator(database_settings(), store)
    calls = [asyncio.create_task(who.authenticate(bearer(a_key().reveal()))) for _ in range(100)]
    done, waiting = await asyncio.wait(calls, timeout=5, return_when=asyncio.FIRST_COMPLETED)
    while len(done) < 36:
        done, waiting = await asyncio.wait(calls, timeout=0.01)
    assert {type(task.exception()) for task in done} == {Overloaded}
    assert store.asked == len(waiting) == 64
    store.slow.set()
    await asyncio.wait(waiting)
    assert {type(task.exception()) for task in waiting} == {Unauthenticated}


# Reload and memory


async def test_a_reload_keeps_what_the_database_confirmed_and_drops_what_the_file_declared() -> None:
    time, kept_key, declared = Time(), a_key(), a_key()
    store = MemoryKeyStore([kept(kept_key)])
    who = authenticator(database_settings(), store, time)
    await who.authenticate(bearer(kept_key.reveal()))
    store.away = True
    both = declared_settings(declared)
    who.use(type(both)(api_keys=type(both.api_keys)(declared=both.api_keys.declared, peppers=(), database=True)))
    await who.authenticate(bearer(kept_key.reveal()))
    await who.authenticate(bearer(declared.reveal()))
    who.use(database_settings())
    await who.authenticate(bearer(kept_key.reveal()))
    with pytest.raises(StateUnavailable):
        await who.authenticate(bearer(declared.reveal()))
    who.use(declared_settings(declared))
    await refused(who, bearer(kept_key.reveal()))


async def test_a_key_in_a_variable_may_be_rotated_under_the_process() -> None:
    class Changing(LiteralSecret):
        value = ""

        def reveal(self) -> str:
            return self.value

    time, first, second = Time(), a_key(), a_key()
    secret = Changing("")
    settings = declared_settings(first)
    (declared,) = settings.api_keys.declared
    renewed = type(declared)(name="batch", tenant="acme", grants=GRANTS, key=secret)
    secret.value = first.reveal()
    who = authenticator(type(settings)(api_keys=type(settings.api_keys)(declared=(renewed,))), time=time)
    await who.authenticate(bearer(first.reveal()))
    secret.value = second.reveal()
    await who.authenticate(bearer(second.reveal()))
    time.pass_by(30)
    await refused(who, bearer(first.reveal()))


async def test_memory_of_keys_is_bounded() -> None:
    keys = [a_key() for _ in range(50)]
    store = MemoryKeyStore(map(kept, keys))
    who = authenticator(database_settings(cache_size=10), store)
    for key in keys:
        await who.authenticate(bearer(key.reveal()))
    assert len(who._cache) == 10
    await who.authenticate(bearer(keys[-1].reveal()))
    assert store.asked == 50


@given(
    text=st.text() | st.from_regex(r"(rk_|Bearer )?[!-~]{0,100}", fullmatch=True),
    scheme=st.sampled_from(["Bearer ", "bearer ", "Basic ", ""]),
)
def test_no_text_but_the_key_itself_ever_authenticates(text: str, scheme: str) -> None:
    key = a_key()

    async def attempt() -> None:
        for who in (
            authenticator(database_settings(), MemoryKeyStore([kept(key)])),
            authenticator(declared_settings(key)),
        ):
            for credentials in (Credentials(authorization=(scheme + text,)), Credentials(api_key=(text,))):
                with pytest.raises(RouterError) as raised:
                    await who.authenticate(credentials)
                assert type(raised.value) is Unauthenticated
                assert public_id_of(text) != key.public_id

    asyncio.run(attempt())


def test_the_pepper_is_what_opens() -> None:
    assert PEPPERS.match("rk", PEPPERS.hash("rk"))
