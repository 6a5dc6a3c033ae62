"""The options of a call. All are optional; what is unset is the router's policy to decide."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, TypedDict

from llmrouter.v1.chat_pb2 import Message, ResponseFormat, Tool, ToolChoice

Prompt = str | Sequence[Message | Mapping[str, Any]]
"""One user message, or a conversation: `Message`s or mappings in OpenAI's shape (`{"role": ..., "content": ...}`)."""


class CallOptions(TypedDict, total=False):
    """Of every call.

    `timeout` is in seconds and defaults to the client's. `traceparent` is a W3C trace context; without it the current
    OpenTelemetry span is used, if there is one.
    """

    timeout: float | None
    traceparent: str | None


class RouteOptions(CallOptions, total=False):
    """Of a decision: who asks, what for, what they wish of the routing and of the model.

    `model` or `deployment` overrides the policy's candidates. `latency_target` is seconds to the first token;
    `max_cost_nano_usd` bounds one attempt. `tools`, `tool_choice` and `response_format` take the API's messages or
    OpenAI's shapes; `response_format` also takes "text" and "json_object". `logprobs` asks for the log-probability of
    each token, `top_logprobs` for those of up to 20 others in its place. `extra` is merged into the provider's
    request as it is. `request_id` finds the receipt again and is generated where absent.
    """

    request_id: str | None

    feature: str | None
    tier: str | None
    task_type: str | None
    user: str | None
    conversation_id: str | None
    language: str | None
    complexity: str | None
    labels: Mapping[str, str] | None

    policy: str | None
    model: str | None
    deployment: str | None
    latency_target: float | None
    max_cost_nano_usd: int | None

    max_output_tokens: int | None
    temperature: float | None
    top_p: float | None
    frequency_penalty: float | None
    presence_penalty: float | None
    seed: int | None
    stop: str | Sequence[str] | None
    reasoning_effort: str | None
    logprobs: bool | None
    top_logprobs: int | None

    tools: Sequence[Tool | Mapping[str, Any]] | None
    tool_choice: ToolChoice | Mapping[str, Any] | str | None
    response_format: ResponseFormat | Mapping[str, Any] | str | None
    extra: Mapping[str, Any] | None


class CompleteOptions(RouteOptions, total=False):
    """Of an answer. `decision_token` redeems what `route` decided. `idempotency_key` is generated where absent; under
    one key a call is made once, and a repeat gets its answer or its receipt. `accept_discard` says that you handle
    `AttemptDiscarded`, and so lets a stream that broke start anew where the policy says `recovery: restart`."""

    idempotency_key: str | None
    decision_token: str | None
    accept_discard: bool


class UsageOptions(CallOptions, total=False):
    """Of a question about usage. `group_by` and the keys of `only` are dimensions: feature, tier, tenant, model,
    provider, key, day. Without `since` the current month is meant, in UTC. Times have a zone."""

    group_by: str | Sequence[str] | None
    only: Mapping[str, str | Sequence[str]] | None
    since: datetime | None
    until: datetime | None


class BudgetOptions(CallOptions, total=False):
    """Of a question about limits and budgets: for which calls. Without a `model` those of models are left out."""

    feature: str | None
    tier: str | None
    model: str | None


class KeyOptions(CallOptions, total=False):
    """Of a new API key. What is not granted is denied; "*" grants all. Without a `tenant` it is the caller's own.
    `expires_at` has a zone; without one the key does not end."""

    tenant: str | None
    features: Sequence[str] | None
    models: Sequence[str] | None
    policies: Sequence[str] | None
    tiers: Sequence[str] | None
    default_tier: str | None
    roles: Sequence[str] | None
    max_concurrent_calls: int | None
    expires_at: datetime | None
