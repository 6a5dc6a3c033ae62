"""Protobuf requests to the domain's calls, checked."""

from __future__ import annotations

from typing import TypeAlias

from google.protobuf.timestamp_pb2 import Timestamp

from llmrouter.v1 import call_pb2, router_service_pb2
from router_service.domain.call import Call, Caller, Wishes
from router_service.domain.identity import Identity
from router_service.edge.bounds import MAX_ID, MAX_LABELS, MAX_NAME, MAX_TOKEN, check_caller
from router_service.edge.violations import Violations
from router_service.rpc.chats import chat_of

CallRequest: TypeAlias = (
    router_service_pb2.RouteRequest | router_service_pb2.CompleteRequest | router_service_pb2.StreamCompleteRequest
)

END_OF_TIME = 253_402_300_799
"""The last second that a timestamp can say, since 1970."""

_CACHE_BYPASS = {call_pb2.CACHE_MODE_UNSPECIFIED: False, call_pb2.CACHE_MODE_BYPASS: True}
_ANONYMOUS = Caller()
_NO_WISHES = Wishes()


def call_of(
    request: CallRequest, *, request_id: str, identity: Identity, deadline: float | None, stream: bool, trace_id: str
) -> Call:
    """The request as a call. Raises `InvalidRequest` with every bad field.

    `deadline` is on the event loop's clock in seconds.
    """
    violations = Violations()
    idempotency_key = ""
    if not isinstance(request, router_service_pb2.RouteRequest):
        idempotency_key = request.idempotency_key
        if idempotency_key:
            violations.identifier("idempotency_key", idempotency_key, MAX_ID)
    call = Call(
        request_id=request_id,
        tenant=identity.tenant,
        identity=identity,
        caller=_caller(request.caller, violations) if request.HasField("caller") else _ANONYMOUS,
        chat=chat_of(request.chat, violations),
        wishes=_wishes(request.routing, violations) if request.HasField("routing") else _NO_WISHES,
        idempotency_key=idempotency_key,
        deadline=deadline,
        stream=stream,
        trace_id=trace_id,
    )
    violations.raise_any()
    return call


def seconds_of(moment: Timestamp) -> float:
    """A point in time in seconds since 1970; what lies beyond the years 1 to 9999 is their end."""
    return min(max(moment.seconds + moment.nanos / 1e9, -END_OF_TIME), END_OF_TIME)


def _caller(wire: call_pb2.Caller, violations: Violations) -> Caller:
    labels = wire.labels
    caller = Caller(
        feature=wire.feature,
        tier=wire.tier,
        task_type=wire.task_type,
        user=wire.user,
        conversation_id=wire.conversation_id,
        language=wire.language,
        complexity=wire.complexity,
        labels=dict(labels) if violations.at_most("caller.labels", len(labels), MAX_LABELS) else {},
    )
    check_caller(caller, violations, "caller.{}".format)
    return caller


def _wishes(routing: call_pb2.Routing, violations: Violations) -> Wishes:
    choice = routing.WhichOneof("choice")
    chosen = getattr(routing, choice) if choice else ""
    if choice:
        if not chosen:
            violations.add(f"routing.{choice}", "must not be empty")
        violations.identifier(f"routing.{choice}", chosen, MAX_NAME)
    violations.identifier("routing.policy", routing.policy, MAX_NAME)
    violations.identifier("routing.decision_token", routing.decision_token, MAX_TOKEN)
    latency_target: float | None = None
    if routing.HasField("latency_target"):
        latency_target = routing.latency_target.seconds + routing.latency_target.nanos / 1e9
        if latency_target <= 0:
            violations.add("routing.latency_target", "must be over 0")
    max_cost = routing.max_cost_nano_usd if routing.HasField("max_cost_nano_usd") else None
    if max_cost is not None and max_cost < 0:
        violations.add("routing.max_cost_nano_usd", "must not be negative")
    if routing.cache_mode not in _CACHE_BYPASS:
        violations.add("routing.cache_mode", "is not a mode of this API")
    return Wishes(
        policy=routing.policy,
        model=chosen if choice == "model" else "",
        deployment=chosen if choice == "deployment" else "",
        latency_target=latency_target,
        max_cost_nano_usd=max_cost,
        bypass_cache=_CACHE_BYPASS.get(routing.cache_mode, False),
        decision_token=routing.decision_token,
        accept_discard=routing.accept_discard,
    )
