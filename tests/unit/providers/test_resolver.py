"""Slow name servers are the matter of the provider they belong to."""

import asyncio
import socket
import threading

import pytest

from router_service.providers.resolver import OwnThreadsResolver


@pytest.fixture
def slow_names(monkeypatch):
    """Lookups of names under slow.invalid wait until the event is set."""
    answered = threading.Event()
    real = socket.getaddrinfo

    def lookup(host, port, *hints, **named):
        if str(host).endswith("slow.invalid"):
            answered.wait(10)
            raise socket.gaierror(socket.EAI_NONAME, "unknown name")
        return real(host, port, *hints, **named)

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    yield answered
    answered.set()


async def test_a_name_is_resolved_to_addresses_that_can_be_connected_to():
    resolver = OwnThreadsResolver()
    (found, *_) = await resolver.resolve("localhost", 8080)
    await resolver.close()
    assert (found["host"], found["port"], found["hostname"]) == ("127.0.0.1", 8080, "localhost")


async def test_one_providers_slow_lookups_do_not_hold_up_anothers(slow_names):
    slow, quick = OwnThreadsResolver(), OwnThreadsResolver()
    waiting = [asyncio.ensure_future(slow.resolve(f"{number}.slow.invalid", 443)) for number in range(40)]
    assert (await quick.resolve("localhost", 443))[0]["host"] == "127.0.0.1"
    assert await asyncio.get_running_loop().getaddrinfo("127.0.0.1", 443)
    assert not any(one.done() for one in waiting)
    slow_names.set()
    for one in waiting:
        with pytest.raises(socket.gaierror):
            await one
    await slow.close()
    await quick.close()
