"""A call as its caller may make it."""

from __future__ import annotations

from dataclasses import replace

from router_service.domain.call import Call
from router_service.domain.deployment import Deployment
from router_service.identity.permission import check_model, permitted
from router_service.routing.table import RoutingTable


def permitted_call(call: Call, table: RoutingTable) -> Call:
    """The call with its caller's default tier where it claims none.

    Raises `PermissionDenied` for a feature, tier, policy or model that is not granted. It is raised before anything is
    looked up by that name, so that nobody learns which names exist.
    """
    identity, wishes = call.identity, call.wishes
    if identity is None:
        return call
    caller = permitted(identity, call.caller, wishes.policy or table.default_policy)
    if named := wishes.deployment or wishes.model:
        one = table.deployments.get(named)
        known = table.models.get(named, ()) if wishes.model else () if one is None else (one,)
        if not any(identity.may_use_model(deployment) for deployment in known):
            # A name that nobody knows is judged as what it says.
            check_model(identity, Deployment(id=named, model=named, provider="", upstream_name=""))
    return call if caller is call.caller else replace(call, caller=caller)
