"""What leaves the client: requests, metadata and deadlines, the same for the async and the sync client."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from math import ceil
from typing import Any, Generic, TypeVar
from uuid import uuid4

from google.protobuf.duration_pb2 import Duration

from llmrouter.administration import budget_request, key_request, usage_request
from llmrouter.checks import check_labels, check_metadata, check_names, check_timeout
from llmrouter.conversation import chat_of
from llmrouter.feedback import feedback_request
from llmrouter.options import (
    BudgetOptions,
    CallOptions,
    CompleteOptions,
    FeedbackOptions,
    KeyOptions,
    Prompt,
    RouteOptions,
    UsageOptions,
)
from llmrouter.trace import trace_metadata
from llmrouter.v1.admin_service_pb2 import CreateKeyRequest, ListKeysRequest, RevokeKeyRequest, RotateKeyRequest
from llmrouter.v1.call_pb2 import Caller, Routing
from llmrouter.v1.router_service_pb2 import (
    CompleteRequest,
    GetBudgetRequest,
    GetReceiptRequest,
    ListModelsRequest,
    QueryUsageRequest,
    RecordFeedbackRequest,
    RouteRequest,
    StreamCompleteRequest,
)

RequestT = TypeVar("RequestT")

_CALLER = ("feature", "tier", "task_type", "user", "conversation_id", "language", "complexity", "labels")
_CALL_OPTIONS = CallOptions.__optional_keys__
_ROUTE_OPTIONS = RouteOptions.__optional_keys__
_COMPLETE_OPTIONS = CompleteOptions.__optional_keys__
_FEEDBACK_OPTIONS = FeedbackOptions.__optional_keys__
_USAGE_OPTIONS = UsageOptions.__optional_keys__
_BUDGET_OPTIONS = BudgetOptions.__optional_keys__
_KEY_OPTIONS = KeyOptions.__optional_keys__
_ROUTING = ("policy", "max_cost_nano_usd", "decision_token", "accept_discard")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing(Generic[RequestT]):
    """One call, ready to be sent. `timeout` is in seconds."""

    request: RequestT
    metadata: tuple[tuple[str, str], ...]
    timeout: float
    request_id: str


class Calls:
    """Builds calls with one client's credentials and default timeout (seconds).

    Raises `TypeError` for options that do not exist and `ValueError` for values that cannot be sent.
    """

    def __init__(self, *, api_key: str | None, timeout: float) -> None:
        self._credentials = {"authorization": f"Bearer {api_key}"} if api_key else {}
        self._timeout = timeout

    def route(self, prompt: Prompt, options: RouteOptions) -> Outgoing[RouteRequest]:
        check_names(options, _ROUTE_OPTIONS)
        return self._outgoing(RouteRequest(**_shared(prompt, options)), options, options.get("request_id"))

    def complete(self, prompt: Prompt, options: CompleteOptions) -> Outgoing[CompleteRequest]:
        check_names(options, _COMPLETE_OPTIONS)
        request = CompleteRequest(**_shared(prompt, options), idempotency_key=_idempotency_key(options))
        return self._outgoing(request, options, options.get("request_id"))

    def stream(self, prompt: Prompt, options: CompleteOptions) -> Outgoing[StreamCompleteRequest]:
        check_names(options, _COMPLETE_OPTIONS)
        request = StreamCompleteRequest(**_shared(prompt, options), idempotency_key=_idempotency_key(options))
        return self._outgoing(request, options, options.get("request_id"))

    def receipt(self, request_id: str, options: CallOptions) -> Outgoing[GetReceiptRequest]:
        check_names(options, _CALL_OPTIONS)
        return self._outgoing(GetReceiptRequest(request_id=request_id), options)

    def record_feedback(self, request_id: str, options: FeedbackOptions) -> Outgoing[RecordFeedbackRequest]:
        check_names(options, _FEEDBACK_OPTIONS)
        return self._outgoing(feedback_request(request_id, options), options)

    def models(self, page_token: str, options: CallOptions) -> Outgoing[ListModelsRequest]:
        check_names(options, _CALL_OPTIONS)
        return self._outgoing(ListModelsRequest(page_size=1000, page_token=page_token), options)

    def usage(self, page_token: str, options: UsageOptions) -> Outgoing[QueryUsageRequest]:
        check_names(options, _USAGE_OPTIONS)
        return self._outgoing(usage_request(page_token, options), options)

    def budget(self, options: BudgetOptions) -> Outgoing[GetBudgetRequest]:
        check_names(options, _BUDGET_OPTIONS)
        return self._outgoing(budget_request(options), options)

    def shadow_caps(self, options: CallOptions) -> Outgoing[GetBudgetRequest]:
        check_names(options, _CALL_OPTIONS)
        return self._outgoing(GetBudgetRequest(), options)

    def create_key(self, name: str, options: KeyOptions) -> Outgoing[CreateKeyRequest]:
        check_names(options, _KEY_OPTIONS)
        return self._outgoing(key_request(name, options), options)

    def keys(self, tenant: str, page_token: str, options: CallOptions) -> Outgoing[ListKeysRequest]:
        check_names(options, _CALL_OPTIONS)
        return self._outgoing(ListKeysRequest(tenant=tenant, page_size=1000, page_token=page_token), options)

    def rotate_key(self, public_id: str, overlap: float, options: CallOptions) -> Outgoing[RotateKeyRequest]:
        check_names(options, _CALL_OPTIONS)
        return self._outgoing(RotateKeyRequest(public_id=public_id, overlap_seconds=max(1, ceil(overlap))), options)

    def revoke_key(self, public_id: str, options: CallOptions) -> Outgoing[RevokeKeyRequest]:
        check_names(options, _CALL_OPTIONS)
        return self._outgoing(RevokeKeyRequest(public_id=public_id), options)

    def _outgoing(self, request: RequestT, options: CallOptions, request_id: str | None = None) -> Outgoing[RequestT]:
        request_id = request_id or uuid4().hex
        given = options.get("timeout")
        timeout = self._timeout if given is None else given
        check_timeout(timeout)
        metadata = {
            **self._credentials,
            "x-request-id": request_id,
            **trace_metadata(options.get("traceparent")),
        }
        check_metadata(metadata.items())
        return Outgoing(request=request, metadata=tuple(metadata.items()), timeout=timeout, request_id=request_id)


def _shared(prompt: Prompt, options: RouteOptions) -> dict[str, Any]:
    """The fields that all requests for a decision or an answer have."""
    check_labels(options.get("labels"))
    return {
        "caller": Caller(**_given(options, _CALLER)),
        "chat": chat_of(prompt, options),
        "routing": _routing(options),
    }


def _routing(options: RouteOptions) -> Routing:
    if options.get("model") and options.get("deployment"):
        raise ValueError(f"Name a model or a deployment, not both: {options['model']!r} and {options['deployment']!r}")
    routing = Routing(**_given(options, (*_ROUTING, "model", "deployment")))
    latency_target = options.get("latency_target")
    if latency_target is not None:
        duration = Duration()
        duration.FromTimedelta(timedelta(seconds=latency_target))
        routing.latency_target.CopyFrom(duration)
    return routing


def _given(options: RouteOptions, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: value for name in names if (value := options.get(name)) is not None}


def _idempotency_key(options: CompleteOptions) -> str:
    return options.get("idempotency_key") or uuid4().hex
