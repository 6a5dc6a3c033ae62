"""Whose client certificate this is: the one SPIFFE id in it, compared as a whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from router_service.config.identity import GrantedIdentity
from router_service.domain.error import Unauthenticated
from router_service.domain.identity import Identity, IdentityKind


def identity_of_certificate(uris: Sequence[str], known: Mapping[str, GrantedIdentity]) -> Identity | None:
    """Who a certificate with these URIs speaks for; `None` where that is nobody who is known.

    Raises `Unauthenticated` where there are several: a certificate is of one workload.
    """
    if len(uris) > 1:
        raise Unauthenticated(
            "The client certificate holds several URIs, where one SPIFFE id is expected. Present one with one."
        )
    if not uris or uris[0] not in known:
        return None
    granted = known[uris[0]]
    return Identity(
        tenant=granted.tenant, principal=uris[0], kind=IdentityKind.MTLS, name=granted.name, grants=granted.grants
    )
