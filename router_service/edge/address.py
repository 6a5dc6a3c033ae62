"""Where the server listens, and whether it may without knowing its callers."""

from __future__ import annotations

import ipaddress
import re

_HOST_AND_PORT = re.compile(r"(?:\[(?P<v6>[^\[\]]+)\]|(?P<host>[^\[\]:]+)):(?P<port>\d{1,5})")


class CannotServe(Exception):
    """The server cannot start as configured. The message says why and what to do."""


def check_address(address: str, *, authenticated: bool = False, anonymous: bool = True) -> None:
    """Raise `CannotServe` unless only programs of this machine can reach the address, or callers are authenticated.

    It is "host:port" ("[::1]:port" for IPv6, port 0 for any free one) or "unix:/path". `authenticated` says that
    callers can prove who they are, `anonymous` that those who do not may call all the same.
    """
    if is_local(address):
        return
    if not authenticated:
        raise CannotServe(
            f"Refused to serve on {address}: whoever reaches it could spend the providers' credit, for callers are not "
            "authenticated. Configure `identity` (docs/authentication.md), or serve on 127.0.0.1, [::1] or unix:/path."
        )
    if anonymous:
        raise CannotServe(
            f"Refused to serve on {address}: `identity.anonymous` lets in whoever reaches it. Remove it, or serve on "
            "127.0.0.1, [::1] or unix:/path."
        )


def exposure(address: str, *, tls: bool) -> str:
    """What is dangerous about serving there, as a warning; empty where nothing is."""
    if tls or is_local(address):
        return ""
    return (
        f"API KEYS AND PROMPTS TRAVEL UNENCRYPTED to {address}: whoever can listen on the way can call as your "
        "services do. Set server.tls, unless a proxy or mesh on this very machine encrypts."
    )


def is_local(address: str) -> bool:
    """Whether only programs of this machine can reach the address. Raises `CannotServe` where it is none."""
    if address.startswith(("unix:", "unix-abstract:")):
        return True
    match = _HOST_AND_PORT.fullmatch(address)
    if match is None or int(match["port"]) > 65_535:
        raise CannotServe(
            f"{address!r} is not an address to serve on. Give host:port such as 127.0.0.1:50051, or unix:/path."
        )
    return _is_loopback(match["v6"] or match["host"])


def _is_loopback(host: str) -> bool:
    # Only numbers say for sure: what another name resolves to may change behind our back.
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
