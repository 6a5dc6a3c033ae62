"""Looks up the names of one provider's hosts, in threads of its own.

The loop's own lookups share a small pool with each other, and under uvloop with every new connection: one provider
whose name server is slow would keep all the others from being connected to.
"""

from __future__ import annotations

import asyncio
import socket
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from aiohttp.abc import AbstractResolver, ResolveResult

_THREADS = 4


class OwnThreadsResolver(AbstractResolver):
    """At most four lookups at a time; raises `OSError` where a name cannot be resolved."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="lookup")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """The addresses of `host`, in the order the system prefers them."""
        lookup = partial(
            socket.getaddrinfo, host, port, family=family, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG
        )
        found = await asyncio.get_running_loop().run_in_executor(self._threads, lookup)
        return [
            ResolveResult(
                hostname=host,
                host=str(address[0]),
                port=int(address[1]),
                family=address_family,
                proto=protocol,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for address_family, _, protocol, _, address in found
        ]

    async def close(self) -> None:
        """Forget lookups that have not begun."""
        self._threads.shutdown(wait=False, cancel_futures=True)
