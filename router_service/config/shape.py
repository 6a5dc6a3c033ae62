"""The shape of the YAML file: what may be written where. `policy_shape` has the policies; `load` compiles both."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from router_service.config.endpoint import BaseUrl, Headers, Metadata, Proxy, Url
from router_service.config.quantity import (
    NANO,
    Count,
    CountFromZero,
    Duration,
    NanoUsd,
    Timeout,
    matching,
    refuse,
)
from router_service.domain.chat import ReasoningEffort
from router_service.domain.deployment import Capability, Retention
from router_service.domain.vendor import Auth, OnCancel, Prefill


class Shape(BaseModel):
    """A mapping of the file; unknown keys are mistakes."""

    # Inputs may be secrets: pydantic must not repeat them in its messages.
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, allow_inf_nan=False)


def listed(value: Any) -> Any:
    """One value as a list of one."""
    return [value] if isinstance(value, str) else value


def _named(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9-]+", value):
        refuse("is not the name of a resource", "Write only the name, such as acme for https://acme.openai.azure.com")
    return value


def _path(value: str) -> str:
    if not value.startswith("/"):
        refuse("does not start with /", "Write a path such as /chat/completions")
    return value


_TEXTS_SCHEMA = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}

SOME_TEXTS_SCHEMA = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}
"""JSON Schema of a text or a list that is not empty."""

Texts = Annotated[list[str], BeforeValidator(listed), WithJsonSchema(_TEXTS_SCHEMA)]
"""A list of texts; one text stands for a list of one."""

Resource = Annotated[str, AfterValidator(_named), WithJsonSchema(matching("^[A-Za-z0-9-]+$"))]
"""Name of a cloud resource, which becomes part of a host name."""

Path = Annotated[str, AfterValidator(_path), WithJsonSchema(matching("^/"))]
"""Path below a base URL."""


class TelemetryShape(Shape):
    """Traces and metrics."""

    service_name: str | None = Field(
        default=None, description="`service.name` of traces and metrics. Default: OTEL_SERVICE_NAME, else llmrouter."
    )
    otlp_endpoint: Url | None = Field(
        default=None,
        description="OTLP/gRPC receiver such as http://127.0.0.1:4317. "
        "Default: OTEL_EXPORTER_OTLP_ENDPOINT, else nothing is exported.",
    )
    otlp_insecure: bool | None = Field(
        default=None, description="Speak plaintext to the receiver. Default: true unless the endpoint is https."
    )
    otlp_headers: Metadata = Field(
        default_factory=dict, description="Headers for the receiver, such as an API key from ${ENV}."
    )
    sample_ratio: float = Field(
        default=1.0,
        ge=0,
        le=1,
        description="Share of uneventful traces that is kept, 0 to 1. "
        "Errors, fallbacks, escalations, slow and costly calls are always kept.",
    )
    slow: Duration = Field(default=30.0, description="Calls that take longer are always kept as traces. A duration.")
    costly_usd: NanoUsd = Field(
        default=NANO,
        description="Calls that cost more are always kept as traces. In USD.",
        json_schema_extra={"default": 1.0},
    )
    metrics_interval: Timeout = Field(default=30.0, description="Time between exports of metrics. A duration.")
    mirror_cost_keys: bool = Field(
        default=False, description="Repeat the cost under the attribute names that other vendors' tools read."
    )


class DecisionTokensShape(Shape):
    """How the decision tokens of Route are signed."""

    key: str | None = Field(
        default=None,
        description="Signing key, the same in all replicas; at least 16 characters, best from ${ENV}. "
        "Default: made at start, which is fine for one replica.",
    )
    key_file: str | None = Field(default=None, description="File with the signing key, read again when it changes.")
    ttl: Timeout = Field(default=300.0, description="How long a decision may be redeemed. A duration.")


class QuirksShape(Shape):
    """How a provider differs from OpenAI's chat completions; what is not given is the preset's."""

    auth: Auth | None = Field(
        default=None, description="How the key travels: a bearer token, an `api-key` header, or not."
    )
    path: Path | None = Field(
        default=None, description="Path of chat completions below `base_url`, such as /chat/completions."
    )
    max_tokens_field: str | None = Field(
        default=None, min_length=1, description="Request field of the token limit: max_completion_tokens or max_tokens."
    )
    stream_usage: bool | None = Field(default=None, description="Ask for usage in streams with `stream_options`.")
    requires_finish_reason: bool | None = Field(
        default=None, description="False for a provider that ends streams with [DONE] alone."
    )
    seed_field: str | None = Field(
        default=None, min_length=1, description="Request field of the seed: seed or random_seed."
    )
    required_tool_choice: str | None = Field(
        default=None, min_length=1, description="What the provider calls the tool choice `required`, such as any."
    )
    developer_role: bool | None = Field(default=None, description="Send system messages with the role `developer`.")
    reasoning_field: str | None = Field(
        default=None, description="Message field in which earlier reasoning is sent back. Empty: it is not sent back."
    )
    unsupported: Texts | None = Field(
        default=None, description="Request fields that the provider refuses; they are left out. A name or a list."
    )
    prefill: Prefill | None = Field(
        default=None,
        description="How the provider is asked to go on from the beginning of an answer: by a last message of the "
        'assistant alone (plain), with `"prefix": true` or `"partial": true` in it, or with `continue_final_message` '
        "(continue_final). `none`: not at all. What is given here holds for all its models. Default: what the preset "
        "knows of the model.",
    )
    echoes_prefix: bool | None = Field(
        default=None, description="The provider repeats that beginning before it goes on: it is taken away."
    )
    logprobs_as_count: bool | None = Field(
        default=None,
        description="The request field `logprobs` is the number of alternatives at each token, and there is no "
        "`top_logprobs`.",
    )
    most_top_logprobs: CountFromZero | None = Field(
        default=None, description="The most alternatives at each token that the provider gives. Default: 20."
    )


class ProviderShape(Shape):
    """Where a provider is and how it is called."""

    preset: str | None = Field(
        default=None,
        description="Row of the preset table, which gives base URL, key variable, dialect and capabilities. "
        "Default: the provider's own name where that is a preset, else custom.",
    )
    base_url: BaseUrl | None = Field(
        default=None,
        description="URL up to, but without, /chat/completions. Without a path it gets the preset's, such as /v1. "
        "Default: the preset's; custom needs one.",
    )
    resource: Resource | None = Field(
        default=None,
        description="Name put into a preset's URL where it has a {resource}, as Azure's has.",
    )
    api_key: str | None = Field(
        default=None,
        description='The key, best as "${ENV}". Default: the environment variable of the preset, where it is set and '
        "`base_url` is at the preset's own host.",
    )
    api_keys: Texts = Field(default_factory=list, description="Several keys, used in turn.")
    api_key_file: Texts = Field(
        default_factory=list, description="File, or files, with a key each; read again when they change."
    )
    headers: Headers = Field(default_factory=dict, description="Headers added to every request.")
    query: dict[str, str] = Field(
        default_factory=dict, description="Query parameters added to every request, such as api-version."
    )
    proxy: Proxy | None = Field(
        default=None, description="http or https URL of the proxy to reach the provider by. Default: none."
    )
    ca_file: str | None = Field(default=None, description="PEM bundle to trust instead of the system's authorities.")
    client_cert_file: str | None = Field(
        default=None, description="PEM file of the certificate to present to the provider."
    )
    client_key_file: str | None = Field(default=None, description="PEM file of that certificate's private key.")
    region: str | None = Field(
        default=None,
        description="Where prompts are processed, such as eu; policies may ask for it. Default: the preset's.",
    )
    retention: Retention | None = Field(
        default=None, description="How long the provider keeps prompts: none, 30d or unlimited. Default: unlimited."
    )
    on_cancel: OnCancel = Field(
        default=OnCancel.CANCEL,
        description="When the caller leaves: cancel closes the connection at once, drain reads the answer to its end.",
    )
    propagate_trace: bool = Field(default=False, description="Send the trace context (`traceparent`) to the provider.")
    max_connections: Count = Field(default=1000, description="Connections open at once. From 1.")
    quirks: QuirksShape = Field(
        default_factory=QuirksShape, description="Differences from OpenAI's dialect, over those of the preset."
    )


class PriceTierShape(Shape):
    """Rates for the whole call once its prompt is longer than a number of tokens."""

    above_input_tokens: Count = Field(description="The rates apply to prompts of more tokens than this.")
    input: NanoUsd = Field(description="USD per million input tokens.")
    output: NanoUsd = Field(description="USD per million output tokens.")
    cached_input: NanoUsd | None = Field(
        default=None,
        description="USD per million input tokens read from the provider's cache. Default: as without the tier.",
    )
    cache_write: NanoUsd | None = Field(
        default=None, description="USD per million input tokens written to the cache. Default: as without the tier."
    )


class PriceShape(Shape):
    """What a deployment charges, in USD per million tokens."""

    input: NanoUsd = Field(description="USD per million input tokens.")
    output: NanoUsd = Field(description="USD per million output tokens, reasoning included.")
    cached_input: NanoUsd | None = Field(
        default=None, description="USD per million input tokens read from the provider's cache. Default: `input`."
    )
    cache_write: NanoUsd | None = Field(
        default=None, description="USD per million input tokens written to the provider's cache. Default: `input`."
    )
    tiers: list[PriceTierShape] = Field(default_factory=list, description="Other rates for long prompts.")


class ModelShape(Shape):
    """A deployment: a model at a provider."""

    provider: str = Field(description="Name of one of `providers`.")
    model: str | None = Field(
        default=None,
        min_length=1,
        description="Name of the weights; several deployments may share it. Default: the key.",
    )
    upstream_name: str | None = Field(
        default=None, min_length=1, description="What the provider calls the model. Default: `model`."
    )
    capabilities: list[Capability] | None = Field(
        default=None, description="All that it can do beyond text. Default: what the preset knows of the model."
    )
    context_window: Count | None = Field(
        default=None, description="Tokens of prompt and answer together. Default: the price catalogue's, else unknown."
    )
    max_output_tokens: Count | None = Field(
        default=None, description="Most tokens of one answer. Default: the price catalogue's, else unknown."
    )
    price: PriceShape | None = Field(
        default=None, description="Overrides the price catalogue. A model that neither knows is `unpriced`, never free."
    )
    region: str | None = Field(default=None, description="Where prompts are processed. Default: the provider's.")
    retention: Retention | None = Field(default=None, description="How long prompts are kept. Default: the provider's.")
    weight: float = Field(default=1.0, gt=0, description="Share under the strategy `weighted`, more than 0.")
    rpm: Count | None = Field(
        default=None, description="Requests per minute that the provider allows; then others are asked first. From 1."
    )
    tpm: Count | None = Field(default=None, description="Tokens per minute that the provider allows. From 1.")
    max_concurrent: Count | None = Field(default=None, description="Calls at once that the provider allows. From 1.")


class ParametersShape(Shape):
    """Sampling parameters; what the caller sets wins."""

    temperature: float | None = Field(default=None, ge=0, le=2, description="Randomness, 0 to 2.")
    top_p: float | None = Field(default=None, ge=0, le=1, description="Nucleus sampling, 0 to 1.")
    frequency_penalty: float | None = Field(default=None, ge=-2, le=2, description="-2 to 2.")
    presence_penalty: float | None = Field(default=None, ge=-2, le=2, description="-2 to 2.")
    seed: int | None = Field(
        default=None, description="For answers that can be repeated, where the provider supports it."
    )
    stop: Texts = Field(default_factory=list, description="Texts that end the answer: one, or a list.")
    reasoning_effort: ReasoningEffort | None = Field(
        default=None, description="How hard a reasoning model should think."
    )


class FeatureShape(Shape):
    """A product feature."""

    max_output_tokens: Count | None = Field(
        default=None, description="Ceiling on the tokens of one answer. From 1. Default: no ceiling of its own."
    )
    parameters: ParametersShape = Field(
        default_factory=ParametersShape, description="Defaults under the caller's and the rule's."
    )
