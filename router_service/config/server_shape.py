"""The shape of `server`: both edges, and where each listens."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, WithJsonSchema

from router_service.config.endpoint import Address
from router_service.config.quantity import REFERENCE, Count, CountFromZero, Duration, Size, Timeout, refuse
from router_service.config.shape import Shape


def _host_and_port(value: str) -> str:
    if value.startswith("unix"):
        refuse("is a socket, and HTTP is served on a port", "Write host:port such as 127.0.0.1:8080")
    return value


_PORT_SCHEMA = {"type": "string", "pattern": rf"^(\[[0-9A-Fa-f:.%]+\]|(?!unix:)[^:\[\]\s]*):[0-9]+$|{REFERENCE}"}

Port = Annotated[Address, AfterValidator(_host_and_port), WithJsonSchema(_PORT_SCHEMA)]
"""host:port."""


class TlsShape(Shape):
    """PEM files of a server."""

    cert_file: str = Field(description="PEM file with the server's certificate chain. Read again when it changes.")
    key_file: str = Field(description="PEM file with the server's private key. Read again when it changes.")
    client_ca_file: str | None = Field(
        default=None,
        description="PEM bundle of the authorities of client certificates. Given, clients must present one.",
    )


class HttpShape(Shape):
    """The OpenAI-compatible edge: chat completions, models, health and metrics over HTTP/1.1."""

    address: Port = Field(
        default="127.0.0.1:8080",
        description="Where to listen: host:port. Without authentication only loopback is allowed.",
    )
    admin_address: Port | None = Field(
        default=None,
        description="Where `/metrics` and `/health` are served to whoever reaches it, in plaintext: host:port that "
        "only the platform reaches. Default: `/health` at `address`, and `/metrics` there to callers with the role "
        "`admin`, or where `address` is on loopback to all.",
    )
    metrics: bool = Field(
        default=True,
        description="Keep metrics for `/metrics`, which shows those of all workers, whichever of them is asked.",
    )
    tls: TlsShape | None = Field(
        default=None, description="Serve TLS with these files. Default: those of `server.tls`, else plaintext."
    )
    max_body_bytes: Size = Field(
        default=8 * 1024 * 1024, description="Largest request body. A size such as 8MiB, or bytes."
    )
    keep_alive: Timeout = Field(
        default=75.0,
        description="How long an idle connection is kept: longer than a balancer before it does. A duration.",
    )


class ServerShape(Shape):
    """The servers: gRPC, and the OpenAI-compatible one beside it."""

    address: Address = Field(
        default="127.0.0.1:50051",
        description="Where to listen: host:port or unix:path. Without authentication only loopback is allowed.",
    )
    workers: Count = Field(
        default=1,
        description="Processes that serve the address together: about one for each core. From 1. More than one need "
        "`redis` and a key in `decision_tokens`.",
    )
    tls: TlsShape | None = Field(default=None, description="Serve TLS with these files. Default: plaintext.")
    http: HttpShape | None = Field(
        default=None, description="Serve the OpenAI-compatible API too; `{}` takes the defaults. Default: off."
    )
    reflection: bool | None = Field(default=None, description="Serve gRPC reflection. Default: on loopback only.")
    lame_duck: Duration = Field(
        default=1.0, description="Wait between NOT_SERVING and the stop, at shutdown. A duration."
    )
    grace: Duration = Field(default=30.0, description="Time for calls in flight to end at shutdown. A duration.")
    max_message_bytes: Size = Field(
        default=4 * 1024 * 1024, description="Largest request and response. A size such as 4MiB, or bytes."
    )
    max_connection_age: Timeout = Field(
        default=300.0, description="Age at which clients are asked to reconnect, which spreads them anew. A duration."
    )
    max_concurrent_calls: Count = Field(default=2000, description="Calls served at once; more are refused. From 1.")
    max_concurrent_calls_per_tenant: Count | None = Field(
        default=None,
        description="Calls of one tenant served at once, so that it leaves room for others. From 1. Default: no limit.",
    )
    default_deadline: Timeout = Field(default=120.0, description="Deadline of calls that bring none. A duration.")
    receipts_kept: CountFromZero = Field(
        default=10_000,
        description="How many receipts are at hand for GetReceipt; others are looked up in the ledger. From 0.",
    )
