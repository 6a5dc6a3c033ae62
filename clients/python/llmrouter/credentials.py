"""Which API key a client calls with, and that it does not travel in plaintext."""

from __future__ import annotations

import ipaddress
import os

_VARIABLE = "LLMROUTER_API_KEY"
_ON_THIS_MACHINE = ("unix:", "unix-abstract:")
_ADDRESSES = ("ipv4:", "ipv6:")


def key_for(target: str, api_key: str | None, *, tls: bool, plaintext: bool) -> str | None:
    """The key to call this gRPC target with: the one given, else the environment's; "" means none.

    Raises `ValueError` where it would be readable on the way, unless `plaintext` says that this is meant.
    """
    key = os.environ.get(_VARIABLE) if api_key is None else api_key
    if key and not (tls or plaintext or _is_local(target)):
        raise ValueError(
            f"The API key would travel unencrypted to {target}: speak TLS (tls=grpc.ssl_channel_credentials(), or "
            "--ca-file of the command), or allow it with plaintext_key=True where a proxy or mesh here encrypts"
        )
    return key or None


def _is_local(target: str) -> bool:
    if target.startswith(_ON_THIS_MACHINE):
        return True
    if target.startswith(_ADDRESSES):
        return all(_is_loopback(one) for one in target[5:].split(","))
    return target.startswith("dns:") and _is_loopback(target.rpartition("/")[2].removeprefix("dns:"))


def _is_loopback(host_and_port: str) -> bool:
    host = host_and_port.rpartition(":")[0].strip("[]")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
