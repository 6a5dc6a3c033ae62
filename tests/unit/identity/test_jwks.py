"""An issuer's keys are fetched when they are needed, not when a stranger wishes, and outlive its outage."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import issuer
import pytest
from identity_values import Time

from router_service.config.identity import Algorithm, IssuerSettings
from router_service.domain.error import StateUnavailable
from router_service.identity.jwks import IssuerKeys, JwksClient

ES = Algorithm.ES256


class Place:
    """A URL whose content, failure and pace the test decides."""

    def __init__(self, *keys: dict[str, object]) -> None:
        self.content = json.dumps({"keys": keys}).encode()
        self.error: Exception | None = None
        self.fetched = 0
        self.slow: asyncio.Event | None = None

    async def fetch(self, url: str) -> bytes:
        self.fetched += 1
        if self.slow is not None:
            await self.slow.wait()
        if self.error is not None:
            raise self.error
        return self.content


def keys_of(place: Place, time: Time) -> IssuerKeys:
    (settings,) = issuer.issuer_settings("", jwks_url="https://login.example.com/keys").issuers
    assert isinstance(settings, IssuerSettings)
    return IssuerKeys(settings, fetch=place.fetch, monotonic=lambda: time.now)


FIRST = issuer.jwk(issuer.EC_KEY, "first")
SECOND = issuer.jwk(issuer.STRANGERS_KEY, "second")


async def test_keys_are_fetched_once_for_all_who_wait() -> None:
    place = Place(FIRST)
    place.slow = asyncio.Event()
    keys = keys_of(place, Time())
    waiting = [asyncio.create_task(keys.key("first", ES)) for _ in range(10)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    await asyncio.sleep(0)
    place.slow.set()
    found = await asyncio.gather(*waiting, return_exceptions=True)
    assert isinstance(found[0], asyncio.CancelledError)
    assert all(key is not None and not isinstance(key, BaseException) for key in found[1:])
    assert place.fetched == 1


async def test_a_rotated_key_is_found_at_once() -> None:
    place, time = Place(FIRST), Time()
    keys = keys_of(place, time)
    assert await keys.key("first", ES)
    place.content = json.dumps({"keys": [FIRST, SECOND]}).encode()
    time.pass_by(10)
    assert await keys.key("second", ES)
    assert place.fetched == 2


async def test_invented_key_ids_do_not_make_us_ask_each_time() -> None:
    place, time = Place(FIRST), Time()
    keys = keys_of(place, time)
    for number in range(100):
        assert await keys.key(f"invented {number}", ES) is None
    assert place.fetched == 1
    assert await keys.key("first", ES)


async def test_keys_are_renewed_in_their_time_without_waiting() -> None:
    place, time = Place(FIRST), Time()
    keys = keys_of(place, time)
    await keys.key("first", ES)
    place.slow = asyncio.Event()
    time.pass_by(600)
    assert await asyncio.wait_for(keys.key("first", ES), 30)
    await asyncio.sleep(0)
    assert place.fetched == 2
    place.content = json.dumps({"keys": [SECOND]}).encode()
    place.slow.set()
    assert await keys.key("second", ES)
    assert await keys.key("first", ES) is None


@pytest.mark.parametrize("error", [OSError("refused"), ValueError("the issuer answered 500")])
async def test_keys_outlive_an_outage_of_their_issuer_for_an_hour(error: Exception) -> None:
    place, time = Place(FIRST), Time()
    keys = keys_of(place, time)
    await keys.key("first", ES)
    place.error = error
    time.pass_by(600 + 3599)
    assert await keys.key("first", ES)
    time.pass_by(1)
    with pytest.raises(StateUnavailable) as raised:
        await keys.key("first", ES)
    assert raised.value.retry_after
    place.error = None
    time.pass_by(10)
    assert await keys.key("second", ES) is None
    assert await keys.key("first", ES)


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b'{"keys": 7}', b"<html>", b'{"keys": [' + b"1," * 101 + b"1]}", b" " * 300_000, b'{"k": []}'],
)
async def test_what_is_no_key_set_replaces_nothing(content: bytes) -> None:
    place, time = Place(FIRST), Time()
    keys = keys_of(place, time)
    await keys.key("first", ES)
    place.content = content
    time.pass_by(600)
    await keys.key("first", ES)
    for _ in range(3):
        await asyncio.sleep(0)
    assert place.fetched == 2
    assert await keys.key("first", ES)


# Over a real socket

Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def serving(head: bytes, body: bytes) -> AsyncIterator[str]:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(head + f"\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n".encode() + body)
        try:
            await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/keys"


async def test_keys_come_over_http() -> None:
    client = JwksClient()
    async with serving(b"HTTP/1.1 200 OK", b'{"keys": []}') as url:
        assert await client.fetch(url) == b'{"keys": []}'
    with pytest.raises(OSError, match="ConnectError"):
        await client.fetch(url)
    await client.aclose()


@pytest.mark.parametrize(
    ("head", "body", "why"),
    [
        (b"HTTP/1.1 302 Found\r\nlocation: https://evil.example/", b"", "302"),
        (b"HTTP/1.1 500 Error", b"no", "500"),
        (b"HTTP/1.1 200 OK", b"x" * 300_000, "256 KiB"),
    ],
)
async def test_redirects_failures_and_floods_are_refused(head: bytes, body: bytes, why: str) -> None:
    client = JwksClient()
    async with serving(head, body) as url:
        with pytest.raises(ValueError, match=why):
            await client.fetch(url)
    await client.aclose()
