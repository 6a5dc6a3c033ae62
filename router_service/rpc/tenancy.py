"""Whose call it is, found out once."""

from __future__ import annotations

from contextvars import ContextVar

from router_service.rpc.ports import Context, TenantOf

_known: ContextVar[tuple[Context, str] | None] = ContextVar("llmrouter_tenant", default=None)


class AskedOnce:
    """A `TenantOf` that asks another one once a call, so that admission and the servicer check credentials once."""

    def __init__(self, tenant_of: TenantOf) -> None:
        self._tenant_of = tenant_of

    def __call__(self, context: Context) -> str:
        """The tenant of the call in whose task this is; raises what the other one raises."""
        known = _known.get()
        # Compared with the call itself: a task that one call started for others must not lend them its tenant.
        if known is not None and known[0] is context:
            return known[1]
        tenant = self._tenant_of(context)
        _known.set((context, tenant))
        return tenant
