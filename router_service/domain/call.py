"""A call: who asks, what for, and what they wish of the routing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from router_service.domain.chat import Chat
from router_service.domain.deployment import Deployment
from router_service.domain.identity import Identity, IdentityKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who asks and what for. Every field may be empty; the tenant is never in it."""

    feature: str = ""
    tier: str = ""
    task_type: str = ""
    user: str = ""
    conversation_id: str = ""
    language: str = ""
    complexity: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What the caller asks of the routing: at most one of `model` and `deployment` is set.

    `latency_target` is in seconds to the first token; `max_cost_nano_usd` bounds the estimate of one attempt.
    """

    policy: str = ""
    model: str = ""
    deployment: str = ""
    latency_target: float | None = None
    max_cost_nano_usd: int | None = None
    bypass_cache: bool = False
    decision_token: str = ""
    accept_discard: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ShadowOf:
    """What a shadow call is a copy of: the operation of its `parent`, for the shadow of that id."""

    shadow: str
    parent: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call as it entered the router.

    `deadline` is on the monotonic clock of the event loop, in seconds; `None` where the caller set none.
    `stream` says whether the caller reads events. `trace_id` is hex, empty where the call is not traced. `identity` is
    who calls, and pays; what it does not grant is denied. Without one everything is granted, as on one's own machine.
    `shadow_of` is set for calls that the router makes itself, to compare; nobody waits for them and no caller pays.
    """

    request_id: str
    tenant: str
    identity: Identity | None = None
    caller: Caller
    chat: Chat
    wishes: Wishes = Wishes()
    idempotency_key: str = ""
    deadline: float | None = None
    stream: bool = False
    trace_id: str = ""
    shadow_of: ShadowOf | None = None

    @property
    def principal(self) -> str:
        """What names the caller: the public id of its API key, say. Limits and budgets may be scoped to it."""
        identity = self.identity
        return "" if identity is None or identity.kind is IdentityKind.ANONYMOUS else identity.principal

    def may_use(self, deployment: Deployment) -> bool:
        """Whether the deployment may serve this call."""
        return self.identity is None or self.identity.may_use_model(deployment)
