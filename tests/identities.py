"""Callers that may do everything, for tests that are about something else."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from router_service.domain.identity import Grants, Identity, IdentityKind

EVERYTHING = Grants(features=None, models=None, policies=None, tiers=None)


def caller(tenant: str = "acme", *, principal: str = "rk_test", grants: Grants = EVERYTHING) -> Identity:
    """Somebody of this tenant."""
    return Identity(tenant=tenant, principal=principal, kind=IdentityKind.API_KEY, grants=grants)


def identified(tenant_of: Callable[[Any], str]) -> Callable[[Any], Awaitable[Identity]]:
    """An `IdentityOf` by a function that tells the tenant."""

    async def identity_of(context: Any) -> Identity:
        return caller(tenant_of(context))

    return identity_of
