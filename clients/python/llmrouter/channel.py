"""How a channel to the router is set up: the same for the async and the sync client."""

from __future__ import annotations

import re
from functools import cache
from importlib.metadata import version
from importlib.resources import files

_SCHEMES = ("dns:", "unix:", "unix-abstract:", "vsock:", "ipv4:", "ipv6:", "xds:")
_HOST_AND_PORT = re.compile(r"(\[[^\[\]/]+\]|[^\[\]:/\s]+):\d{1,5}")
_MIB = 1024 * 1024


def target_of(address: str) -> str:
    """The gRPC target of "host:port": every address of the host is used. A target with a scheme stays as it is.

    Raises `ValueError` for anything else.
    """
    if address.startswith(_SCHEMES):
        return address
    if not _HOST_AND_PORT.fullmatch(address):
        raise ValueError(f"A router's address is host:port, such as 127.0.0.1:50051, not {address!r}")
    return f"dns:///{address}"


@cache
def service_config() -> str:
    """The service config that the project publishes for clients of all languages, as JSON."""
    return files("llmrouter").joinpath("service_config.json").read_text("utf-8")


def channel_options() -> list[tuple[str, str | int]]:
    """Channel arguments; times are milliseconds, sizes bytes."""
    return [
        ("grpc.service_config", service_config()),
        ("grpc.primary_user_agent", f"llmrouter-client/{version('llmrouter-client')}"),
        ("grpc.max_send_message_length", 4 * _MIB),
        ("grpc.max_receive_message_length", 16 * _MIB),
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 2_000),
        # Despite its name this bounds one attempt to connect (gRPC's default is 20 s).
        ("grpc.min_reconnect_backoff_ms", 5_000),
        # Servers answer more than two pings within five silent minutes with GOAWAY: a long silence must fit between.
        ("grpc.keepalive_time_ms", 120_000),
        ("grpc.keepalive_timeout_ms", 20_000),
        # gRPC never starts the timer of the former; this one, a minute by default, is what ends a dead connection.
        ("grpc.http2.ping_timeout_ms", 20_000),
    ]
