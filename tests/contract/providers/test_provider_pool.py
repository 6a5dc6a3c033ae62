"""Providers over reloads: what is unchanged stays connected, what is gone ends its calls first."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import trustme
from provider_calls import Key, Outcome, a_request, idle, some_settings
from scripted_upstream import Connection, running
from wild_streams import DONE, FINISH, chunk

from router_service.domain.error import UpstreamError, UpstreamFault
from router_service.domain.upstream import Reply
from router_service.providers import ProviderPool


async def quick(connection: Connection) -> None:
    await connection.sse(chunk("a") + FINISH + DONE)


async def ask(pool: ProviderPool) -> Reply:
    outcome = Outcome()
    await pool["acme"].stream(a_request(), outcome.reply, outcome.receive)
    return outcome.reply


async def test_an_unchanged_provider_keeps_its_connection_and_takes_new_keys() -> None:
    async with running(quick) as upstream:
        pool = ProviderPool({"acme": some_settings(upstream.base_url, keys=(Key("old"),))})
        before = pool["acme"]
        await ask(pool)
        pool.update({"acme": some_settings(upstream.base_url, keys=(Key("new"),))})
        assert pool["acme"] is before
        await idle(before)
        await ask(pool)
        await pool.aclose()
        assert upstream.connections == 1
        assert [request.headers["authorization"] for request in upstream.requests] == ["Bearer old", "Bearer new"]


class Sleeping:
    """A sleep that lasts until it is told to end."""

    def __init__(self) -> None:
        self.asked: list[float] = []
        self.over = asyncio.Event()

    async def __call__(self, seconds: float) -> None:
        self.asked.append(seconds)
        await self.over.wait()


async def test_a_replaced_provider_serves_older_calls_until_its_linger_is_over() -> None:
    sleeping = Sleeping()
    async with running(quick) as upstream:
        pool = ProviderPool({"acme": some_settings(upstream.base_url)}, linger_seconds=7.0, sleep=sleeping)
        before = pool["acme"]
        pool.update({"acme": some_settings(upstream.base_url, headers={"x": "y"})})
        assert pool["acme"] is not before
        # Long enough for a provider that closes once it is idle.
        await asyncio.sleep(0.02)
        assert sleeping.asked == [7.0]
        outcome = Outcome()
        await before.stream(a_request(), outcome.reply, outcome.receive)
        assert outcome.text == "a"
        sleeping.over.set()
        async with asyncio.timeout(30):
            while pool._closing:  # noqa: ASYNC110 - it has no event
                await asyncio.sleep(0.001)
        with pytest.raises(UpstreamError) as caught:
            await before.complete(a_request(), Reply())
        assert caught.value.fault is UpstreamFault.CONNECT
        await pool.aclose()


async def test_a_call_in_flight_outlasts_the_linger() -> None:
    half, go_on, closed = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def script(connection: Connection) -> None:
        await connection.sse(chunk("a"), end=False)
        half.set()
        await go_on.wait()
        await connection.chunk(FINISH + DONE)
        await connection.send(b"0\r\n\r\n")
        await connection.closed()
        closed.set()

    sleeping = Sleeping()
    sleeping.over.set()
    async with running(script) as upstream:
        pool = ProviderPool({"acme": some_settings(upstream.base_url)}, sleep=sleeping)
        call = asyncio.create_task(ask(pool))
        await half.wait()
        pool.update({})
        await asyncio.sleep(0.01)
        assert not closed.is_set()
        go_on.set()
        assert (await call).message().text == "a"
        await asyncio.wait_for(closed.wait(), 30)
        await pool.aclose()


async def test_closing_the_pool_closes_what_lingers() -> None:
    async with running(quick) as upstream:
        pool = ProviderPool({"acme": some_settings(upstream.base_url)}, sleep=Sleeping())
        before = pool["acme"]
        pool.update({})
        await asyncio.wait_for(pool.aclose(), 30)
        with pytest.raises(UpstreamError) as caught:
            await before.complete(a_request(), Reply())
        assert caught.value.fault is UpstreamFault.CONNECT


async def test_a_removed_provider_is_gone() -> None:
    pool = ProviderPool({"a": some_settings("http://a.invalid"), "b": some_settings("http://b.invalid")})
    pool.update({"b": some_settings("http://b.invalid")})
    assert list(pool) == ["b"]
    assert len(pool) == 1
    with pytest.raises(KeyError):
        pool["a"]
    await pool.aclose()


async def test_a_renewed_ca_file_replaces_the_provider(tmp_path: Path) -> None:
    ca_file = tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(ca_file)
    settings = {"acme": some_settings("https://a.invalid", ca_file=str(ca_file))}
    pool = ProviderPool(settings)
    before = pool["acme"]
    pool.update(settings)
    assert pool["acme"] is before
    ca_file.write_bytes(trustme.CA().cert_pem.bytes() + b"\n")
    pool.update(settings)
    assert pool["acme"] is not before
    await pool.aclose()


async def test_a_provider_that_cannot_be_opened_changes_nothing() -> None:
    pool = ProviderPool({"acme": some_settings("http://a.invalid")})
    before = pool["acme"]
    with pytest.raises(OSError, match="No such file"):
        pool.update({"new": some_settings("http://b.invalid", ca_file="/does/not/exist.pem")})
    assert dict(pool) == {"acme": before}
    await pool.aclose()


async def test_closing_the_pool_does_not_wait_for_calls_in_flight() -> None:
    asked = asyncio.Event()

    async def script(connection: Connection) -> None:
        asked.set()
        await connection.closed()

    async with running(script) as upstream:
        pool = ProviderPool({"acme": some_settings(upstream.base_url)})
        call = asyncio.create_task(ask(pool))
        await asked.wait()
        pool.update({})
        await asyncio.wait_for(pool.aclose(), 30)
        with pytest.raises(UpstreamError):
            await call
