"""Where the server listens, and whether it may without knowing its callers."""

from __future__ import annotations

import ipaddress
import re

_HOST_AND_PORT = re.compile(r"(?:\[(?P<v6>[^\[\]]+)\]|(?P<host>[^\[\]:]+)):(?P<port>\d{1,5})")


class CannotServe(Exception):
    """The server cannot start as configured. The message says why and what to do."""


def check_address(address: str) -> None:
    """Raise `CannotServe` unless only programs of this machine can reach the address.

    It is "host:port" ("[::1]:port" for IPv6, port 0 for any free one) or "unix:/path".
    """
    if address.startswith(("unix:", "unix-abstract:")):
        return
    match = _HOST_AND_PORT.fullmatch(address)
    if match is None or int(match["port"]) > 65_535:
        raise CannotServe(
            f"{address!r} is not an address to serve on. Give host:port such as 127.0.0.1:50051, or unix:/path."
        )
    host = match["v6"] or match["host"]
    if not _is_loopback(host):
        raise CannotServe(
            f"Refused to serve on {address}: whoever reaches it could spend the providers' credit, for callers are not "
            "authenticated yet; API keys come in a later release. Until then serve on 127.0.0.1, [::1] or unix:/path, "
            "behind a proxy on this machine that authenticates callers from elsewhere."
        )


def _is_loopback(host: str) -> bool:
    # Only numbers say for sure: what another name resolves to may change behind our back.
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
