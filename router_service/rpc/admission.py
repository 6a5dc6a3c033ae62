"""The layer in which RPCs are counted, or refused."""

from __future__ import annotations

from typing import Any

from router_service.edge.admission import Admission
from router_service.rpc.handlers import Handler, Layer, behavior_of, with_behavior
from router_service.rpc.ports import Context, IdentityOf


class AdmissionLayer(Layer):
    """Has an `Admission` count the RPCs of some services. Their methods are coroutines.

    Other services, such as health, are not its business.
    """

    def __init__(self, *services: str, admission: Admission, identity_of: IdentityOf) -> None:
        super().__init__()
        self._prefixes = tuple(f"/{service}/" for service in services)
        self._admission = admission
        self._identity_of = identity_of

    def wrap(self, method: str, handler: Handler) -> Handler:
        """The handler, counted and refused where it is one of the services'."""
        if not method.startswith(self._prefixes):
            return handler
        behavior = behavior_of(handler)

        async def counted(request: Any, context: Context) -> Any:
            async with self._admission.entered(lambda: self._identity_of(context)):
                return await behavior(request, context)

        return with_behavior(handler, counted, handler.request_deserializer)
