"""What `model` may say here: a model, a deployment, a policy, or `auto`; and the list of all of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from router_service.domain.deployment import Deployment
from router_service.domain.error import NotFound
from router_service.domain.identity import Identity
from router_service.routing.table import RoutingTable

AUTO = "auto"
_POLICY, _MODEL, _DEPLOYMENT = "policy:", "model:", "deployment:"
_OURS = "llmrouter"


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What a name asks for; nothing is set where the router chooses by its default policy."""

    policy: str = ""
    model: str = ""
    deployment: str = ""


_KINDS = {
    "policy": lambda name: Choice(policy=name),
    "model": lambda name: Choice(model=name),
    "deployment": lambda name: Choice(deployment=name),
}


class Names:
    """The names of a routing table, which a reload replaces. `created` is in seconds since 1970."""

    def __init__(self, table: Callable[[], RoutingTable], *, created: int) -> None:
        self._table = table
        self._created = created

    def resolve(self, name: str, identity: Identity) -> Choice:
        """What the name asks for. A model's comes before a deployment's, for it includes the deployment; a policy's
        own counts only for those who may use it. A name that nobody has is a model's, which the engine refuses.
        """
        kind, _, named = name.partition(":")
        table = self._table()
        if name == AUTO:
            choice = Choice()
        elif named and kind in _KINDS:
            choice = _KINDS[kind](named)
        elif name in table.models:
            choice = Choice(model=name)
        elif name in table.deployments:
            choice = Choice(deployment=name)
        elif name in table.policies and identity.may_use_policy(name):
            choice = Choice(policy=name)
        else:
            choice = Choice(model=name)
        return choice

    def listing(self, identity: Identity) -> list[dict[str, Any]]:
        """Every name that the caller may use, as OpenAI lists models: `auto`, policies, models, other deployments."""
        table = self._table()
        listed: dict[str, dict[str, Any]] = {}
        if identity.may_use_policy(table.default_policy):
            listed[AUTO] = self._entry(AUTO, _OURS, {"kind": "policy", "policy": table.default_policy})
        for policy in sorted(table.policies):
            if identity.may_use_policy(policy):
                name = _POLICY + policy
                listed[name] = self._entry(name, _OURS, {"kind": "policy", "policy": policy})
        usable = [one for _, one in sorted(table.deployments.items()) if identity.may_use_model(one)]
        for model in sorted({deployment.model for deployment in usable}):
            among = [deployment for deployment in usable if deployment.model == model]
            listed[model] = self._entry(model, among[0].provider, {"kind": "model", **_facts(*among)})
        for deployment in usable:
            if deployment.id not in listed:
                facts = {"kind": "deployment", "model": deployment.model, **_facts(deployment)}
                listed[deployment.id] = self._entry(deployment.id, deployment.provider, facts)
        return list(listed.values())

    def entry(self, name: str, identity: Identity) -> dict[str, Any]:
        """One of the list, also under its explicit name. Raises `NotFound`."""
        plain = name.removeprefix(_MODEL).removeprefix(_DEPLOYMENT)
        for entry in self.listing(identity):
            if entry["id"] in (name, plain, _POLICY + name):
                return entry
        raise NotFound(f'There is no model "{name[:128]}" that you may use. GET /v1/models lists those that there are.')

    def _entry(self, name: str, owner: str, facts: dict[str, Any]) -> dict[str, Any]:
        return {"id": name, "object": "model", "created": self._created, "owned_by": owner, _OURS: facts}


def _facts(*deployments: Deployment) -> dict[str, Any]:
    first = deployments[0]
    facts: dict[str, Any] = {
        "deployments": [deployment.id for deployment in deployments],
        "providers": sorted({deployment.provider for deployment in deployments}),
        "capabilities": sorted({one.value for deployment in deployments for one in deployment.capabilities}),
        "context_window": first.context_window,
        "max_output_tokens": first.max_output_tokens,
    }
    if first.price is not None:
        facts["price_usd_per_million"] = {
            "input": first.price.input.base / 1e9,
            "output": first.price.output.base / 1e9,
        }
    return facts
