"""Whose call it is: found out once, from its credentials alone."""

from __future__ import annotations

from contextvars import ContextVar

from router_service.domain.identity import Identity
from router_service.edge.ports import Authenticate
from router_service.identity.authenticator import Credentials
from router_service.rpc.ports import Context, IdentityOf

_known: ContextVar[tuple[Context, Identity] | None] = ContextVar("llmrouter_identity", default=None)

_HEADERS = ("authorization", "x-api-key")
_CERTIFICATE_URIS = "peer_uri"


class AskedOnce:
    """An `IdentityOf` that asks another one once a call, so that admission and the servicer check credentials once."""

    def __init__(self, identity_of: IdentityOf) -> None:
        self._identity_of = identity_of

    async def __call__(self, context: Context) -> Identity:
        """Who makes the call in whose task this is; raises what the other one raises."""
        known = _known.get()
        # Compared with the call itself: a task that one call started for others must not lend them its identity.
        if known is not None and known[0] is context:
            return known[1]
        identity = await self._identity_of(context)
        _known.set((context, identity))
        return identity


class Authentication:
    """An `IdentityOf` that reads what a caller presents and has it verified."""

    def __init__(self, authenticate: Authenticate) -> None:
        self._authenticate = authenticate

    async def __call__(self, context: Context) -> Identity:
        """Raises `Unauthenticated` where the credentials do not hold."""
        return await self._authenticate(credentials_of(context))


def credentials_of(context: Context) -> Credentials:
    """The headers that carry credentials, and the URIs of the client certificate that gRPC verified; nothing else."""
    headers: dict[str, list[str]] = {name: [] for name in _HEADERS}
    for name, value in context.invocation_metadata() or ():
        if name in headers:
            headers[name].append(value if isinstance(value, str) else value.decode("latin-1"))
    uris = context.auth_context().get(_CERTIFICATE_URIS, ())
    return Credentials(
        authorization=tuple(headers["authorization"]),
        api_key=tuple(headers["x-api-key"]),
        certificate_uris=tuple(uri.decode("utf-8", "replace") for uri in uris),
    )
