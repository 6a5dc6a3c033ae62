"""A port that workers of one supervisor listen on together, and nobody else."""

from __future__ import annotations

import contextlib
import errno
import socket

# Addresses of every interface: gRPC listens on both families, whichever of them is named.
_ALL_IPV4, _ALL_IPV6 = "0.0.0.0", "::"  # noqa: S104 - compared with
_ABSENT = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)


class PortTaken(Exception):
    """The port cannot be held. The message says why and what to do."""


class HeldPort:
    """Keeps the port for processes of this user that listen with SO_REUSEPORT, until it is closed.

    `address` is "host:port" or "[::1]:port". With port 0 a free one is chosen: `address` then has its number. No
    connection ever comes here, for nothing listens. Raises `PortTaken`, also where a program listens that would share
    the port: half of the calls would be its own.
    """

    def __init__(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        self._sockets: list[socket.socket] = []
        number = int(port)
        try:
            for family, name in _names(host.strip("[]"), address):
                held = _held(family, name, number, address)
                if held is not None:
                    self._sockets.append(held)
                    number = held.getsockname()[1]
            if not self._sockets:
                raise PortTaken(f"Cannot listen on {address}: this machine has no such address.")
        except PortTaken:
            self.close()
            raise
        self.address = f"{host}:{number}"

    def close(self) -> None:
        """Let the port go."""
        for held in self._sockets:
            held.close()


def _names(host: str, address: str) -> list[tuple[int, str]]:
    if host in (_ALL_IPV4, _ALL_IPV6):
        return [(socket.AF_INET, _ALL_IPV4), (socket.AF_INET6, _ALL_IPV6)]
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError as error:
        raise PortTaken(f"Cannot listen on {address}: {host} is not known ({error.strerror}).") from error
    return list(dict.fromkeys((family, str(where[0])) for family, _, _, _, where in found))


def _held(family: int, name: str, number: int, address: str) -> socket.socket | None:
    """A socket bound to the port, `None` where the machine lacks this kind of address."""
    failure: OSError | None = None
    # Second with SO_REUSEADDR: connections of a router that ended keep the port for a minute. Not at once, for
    # another's hold that is seconds old would be overlooked.
    for reuse in (0, 1):
        try:
            bound = socket.socket(family, socket.SOCK_STREAM)
        except OSError:
            return None
        with contextlib.ExitStack() as unless_held:
            unless_held.callback(bound.close)
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, reuse)
            if family == socket.AF_INET6:
                bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            try:
                bound.bind((name, number))
            except OSError as error:
                failure = error
                continue
            # Only now, so that the above fails where anybody listens; from here on workers may join.
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            unless_held.pop_all()
            return bound
    assert failure is not None
    if failure.errno in _ABSENT:
        return None
    if failure.errno == errno.EADDRINUSE:
        why = "another program does already. Stop it, or serve on another port (`server.address`, --address)."
    else:
        why = f"{failure.strerror}."
    raise PortTaken(f"Cannot listen on {address}: {why}")
