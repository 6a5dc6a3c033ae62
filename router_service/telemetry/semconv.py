"""Every name telemetry writes: spans, attributes, events, metrics, buckets.

`gen_ai.*`, `rpc.*`, `server.*` and `error.*` follow the OpenTelemetry semantic conventions v1.41.1, the last tagged
text that holds the GenAI part. All else is ours, under `llm_router.*`: an invented `gen_ai.*` key would make trace
viewers take a span for something it is not.
"""

from __future__ import annotations

from typing import Final

SCHEMA_URL: Final = "https://opentelemetry.io/schemas/1.41.1"
SCOPE: Final = "router_service"

# Spans and their events
ROUTE_SPAN: Final = "llm_router.route"
QUALITY_SPAN: Final = "llm_router.quality_gate"
SHADOW_SPAN: Final = "llm_router.shadow"
CHAT: Final = "chat"
EVENT_RETRY: Final = "llm_router.retry"
EVENT_FALLBACK: Final = "llm_router.fallback"
EVENT_ESCALATE: Final = "llm_router.escalate"
EVENT_HEDGE: Final = "llm_router.hedge"
EVENT_FIRST_TOKEN: Final = "first_token"  # noqa: S105 - an event's name
AUDIT_RECORD: Final = "llm_router.request.completed"

# RPC
RPC_SYSTEM: Final = "rpc.system.name"
RPC_METHOD: Final = "rpc.method"
RPC_STATUS: Final = "rpc.response.status_code"
"""Behind this one name because the conventions are renaming it."""

# HTTP
HTTP_METHOD: Final = "http.request.method"
HTTP_ROUTE: Final = "http.route"
HTTP_STATUS: Final = "http.response.status_code"
URL_PATH: Final = "url.path"
URL_SCHEME: Final = "url.scheme"

# Shared
ERROR_TYPE: Final = "error.type"
ERROR_OTHER: Final = "_OTHER"
SERVER_ADDRESS: Final = "server.address"
SERVER_PORT: Final = "server.port"
WORKER: Final = "llm_router.worker"
"""Of the resource, where there are several: which of them, from 1."""

# Generative AI
OPERATION: Final = "gen_ai.operation.name"
PROVIDER: Final = "gen_ai.provider.name"
CONVERSATION: Final = "gen_ai.conversation.id"
OUTPUT_TYPE: Final = "gen_ai.output.type"
TOKEN_TYPE: Final = "gen_ai.token.type"  # noqa: S105 - an attribute's name
REQUEST_MODEL: Final = "gen_ai.request.model"
REQUEST_MAX_TOKENS: Final = "gen_ai.request.max_tokens"
REQUEST_TEMPERATURE: Final = "gen_ai.request.temperature"
REQUEST_TOP_P: Final = "gen_ai.request.top_p"
REQUEST_STREAM: Final = "gen_ai.request.stream"
REQUEST_SEED: Final = "gen_ai.request.seed"
REQUEST_STOP: Final = "gen_ai.request.stop_sequences"
RESPONSE_ID: Final = "gen_ai.response.id"
RESPONSE_MODEL: Final = "gen_ai.response.model"
RESPONSE_FINISH_REASONS: Final = "gen_ai.response.finish_reasons"
RESPONSE_FIRST_CHUNK: Final = "gen_ai.response.time_to_first_chunk"
USAGE_INPUT: Final = "gen_ai.usage.input_tokens"
USAGE_OUTPUT: Final = "gen_ai.usage.output_tokens"
USAGE_CACHE_READ: Final = "gen_ai.usage.cache_read.input_tokens"
USAGE_CACHE_CREATION: Final = "gen_ai.usage.cache_creation.input_tokens"
USAGE_REASONING: Final = "gen_ai.usage.reasoning.output_tokens"

# Ours: the request, on the local root
REQUEST_ID: Final = "llm_router.request.id"
REQUEST_STATUS: Final = "llm_router.request.status"
REQUEST_ERROR: Final = "llm_router.request.error"
REQUEST_COST_TOTAL: Final = "llm_router.request.cost.total"
REQUEST_COST_BASELINE: Final = "llm_router.request.cost.baseline"
REQUEST_COST_SAVED: Final = "llm_router.request.cost.saved"
REQUEST_COST_STATUS: Final = "llm_router.request.cost.status"
FEATURE: Final = "llm_router.feature"
TENANT: Final = "llm_router.tenant.id"
TIER: Final = "llm_router.user.tier"
FALLBACK_PATH: Final = "llm_router.fallback.path"
FALLBACK_COUNT: Final = "llm_router.fallback.count"
RETRY_COUNT: Final = "llm_router.retry.count"
ESCALATION_COUNT: Final = "llm_router.escalation.count"
QUALITY: Final = "llm_router.quality"
SAMPLING_REASON: Final = "llm_router.sampling.reason"

# Ours: the decision
ROUTE_POLICY: Final = "llm_router.route.policy"
ROUTE_RULE: Final = "llm_router.route.rule"
ROUTE_CAUSE: Final = "llm_router.route.cause"
ROUTE_STRATEGY: Final = "llm_router.route.strategy"
ROUTE_FINGERPRINT: Final = "llm_router.route.policy_fingerprint"
ROUTE_COMPLEXITY: Final = "llm_router.route.complexity.tier"
ROUTE_COMPLEXITY_SCORE: Final = "llm_router.route.complexity.score"
ROUTE_COMPLEXITY_SOURCE: Final = "llm_router.route.complexity.source"
ROUTE_COMPLEXITY_CAUSE: Final = "llm_router.route.complexity.cause"
ROUTE_CLASSIFIER: Final = "llm_router.route.classifier"
ROUTE_CLASSIFIER_DEPLOYMENT: Final = "llm_router.route.classifier.deployment"
ROUTE_INPUT_TOKENS: Final = "llm_router.route.input_tokens"
ROUTE_CANDIDATES: Final = "llm_router.route.candidates"
ROUTE_REJECTED: Final = "llm_router.route.rejected"
ROUTE_REQUESTED: Final = "llm_router.route.model.requested"
ROUTE_SELECTED: Final = "llm_router.route.model.selected"
EXPERIMENT: Final = "llm_router.experiment.name"
EXPERIMENT_ARM: Final = "llm_router.experiment.arm"
EXPERIMENT_HONOURED: Final = "llm_router.experiment.arm_honoured"
LIMIT_REQUESTED: Final = "llm_router.limit.max_output_tokens.requested"
LIMIT_APPLIED: Final = "llm_router.limit.max_output_tokens.applied"
LIMIT_REASON: Final = "llm_router.limit.max_output_tokens.reason"

# Ours: one attempt
PROVIDER_ID: Final = "llm_router.provider.id"
"""What the file calls it: one vendor may be several providers."""
DEPLOYMENT: Final = "llm_router.deployment.id"
ATTEMPT_ID: Final = "llm_router.attempt.id"
ATTEMPT_NUMBER: Final = "llm_router.attempt.number"
ATTEMPT_REASON: Final = "llm_router.attempt.reason"
ATTEMPT_CONTINUES: Final = "llm_router.attempt.continues"
ATTEMPT_JUDGES: Final = "llm_router.attempt.judges"
"""The number of the attempt whose answer is judged."""
ATTEMPT_OUTCOME: Final = "llm_router.attempt.outcome"
COST_TOTAL: Final = "llm_router.cost.total"
COST_INPUT: Final = "llm_router.cost.input"
COST_OUTPUT: Final = "llm_router.cost.output"
COST_CACHE_READ: Final = "llm_router.cost.cache_read"
COST_CACHE_WRITE: Final = "llm_router.cost.cache_write"
COST_CURRENCY: Final = "llm_router.cost.currency"
COST_SOURCE: Final = "llm_router.cost.source"
COST_STATUS: Final = "llm_router.cost.status"
COST_PRICE_VERSION: Final = "llm_router.cost.price_version"
COST_TOTAL_MICROUSD: Final = "llm_router.cost.total_microusd"
"""An integer beside the double, because tail samplers compare integers only."""

MIRRORED_TOTAL: Final = ("gen_ai.cost.total_cost", "llm.cost.total", "operation.cost")
MIRRORED_INPUT: Final = ("gen_ai.cost.input_cost", "llm.cost.prompt")
MIRRORED_OUTPUT: Final = ("gen_ai.cost.output_cost", "llm.cost.completion")
"""What LiteLLM, OpenInference and Logfire call the same costs; written only where the operator asks."""

# Ours: what gates made of an answer
GATE: Final = "llm_router.gate"
GATE_PASSED: Final = "llm_router.gate.passed"
GATE_SCORE: Final = "llm_router.gate.score"
GATE_THRESHOLD: Final = "llm_router.gate.threshold"
GATE_REFUSED_BY: Final = "llm_router.gate.refused_by"

# Ours: feedback, in metrics only
FEEDBACK_SOURCE: Final = "llm_router.feedback.source"
FEEDBACK_THUMBS: Final = "llm_router.feedback.thumbs"
# Ours: limits and budgets, in metrics only
LIMIT_NAME: Final = "llm_router.limit.name"
LIMIT_KIND: Final = "llm_router.limit.kind"
BUDGET_NAME: Final = "llm_router.budget.name"

# Ours: a shadow call
SHADOW: Final = "llm_router.shadow.id"
SHADOW_OUTCOME: Final = "llm_router.shadow.outcome"
SHADOW_PARENT: Final = "llm_router.shadow.parent_operation"

# Metrics
METRIC_TOKEN_USAGE: Final = "gen_ai.client.token.usage"  # noqa: S105 - a metric's name
METRIC_OPERATION_DURATION: Final = "gen_ai.client.operation.duration"
METRIC_FIRST_CHUNK: Final = "gen_ai.client.operation.time_to_first_chunk"
METRIC_OUTPUT_CHUNK: Final = "gen_ai.client.operation.time_per_output_chunk"
METRIC_RPC_DURATION: Final = "rpc.server.call.duration"
METRIC_HTTP_DURATION: Final = "http.server.request.duration"
METRIC_REQUESTS: Final = "llm_router.requests"
METRIC_ACTIVE_REQUESTS: Final = "llm_router.active_requests"
METRIC_ATTEMPTS: Final = "llm_router.attempts"
METRIC_FALLBACKS: Final = "llm_router.fallbacks"
METRIC_RETRIES: Final = "llm_router.retries"
METRIC_ESCALATIONS: Final = "llm_router.escalations"
METRIC_GATES: Final = "llm_router.gate.verdicts"
METRIC_FEEDBACK: Final = "llm_router.feedback"
METRIC_FEEDBACK_SCORE: Final = "llm_router.feedback.score"
METRIC_ROUTE_DURATION: Final = "llm_router.route.duration"
METRIC_COST: Final = "llm_router.cost"
METRIC_SAVED: Final = "llm_router.cost.saved"
METRIC_UNPRICED: Final = "llm_router.cost.unpriced_requests"
METRIC_TOKENS: Final = "llm_router.tokens"
METRIC_LEDGER_BACKLOG: Final = "llm_router.ledger.backlog"
METRIC_LEDGER_LAG: Final = "llm_router.ledger.lag"
METRIC_LIMIT_REFUSALS: Final = "llm_router.limit.rejections"
METRIC_BUDGET_USED: Final = "llm_router.budget.used"
METRIC_CIRCUIT: Final = "llm_router.circuit.state"
METRIC_KEY_REFUSED: Final = "llm_router.provider.key_refused"
METRIC_INTERRUPTED: Final = "llm_router.stream.interrupted"
METRIC_DROPPED_SPANS: Final = "llm_router.telemetry.dropped_spans"
METRIC_LOOP_LAG: Final = "llm_router.loop.lag"
METRIC_CONNECTIONS: Final = "llm_router.upstream.connections"
METRIC_SHADOW_CALLS: Final = "llm_router.shadow.calls"
METRIC_SHADOW_COST: Final = "llm_router.shadow.cost"
METRIC_OBSERVER_FAILURES: Final = "llm_router.telemetry.observer_failures"
DROP_REASON: Final = "llm_router.telemetry.reason"
CONNECTION_STATE: Final = "http.connection.state"

OPERATION_SECONDS: Final = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
TOKENS: Final = tuple(4**power for power in range(14))
RPC_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0)
"""Of RPCs and HTTP requests. Longer than the conventions' buckets, which end at 10 s: completions last minutes."""
ROUTE_SECONDS: Final = (0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.05, 0.25, 1.0)
LAG_SECONDS: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)

SCORES: Final = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)

BUCKETS: Final[dict[str, tuple[float, ...]]] = {
    METRIC_TOKEN_USAGE: TOKENS,
    METRIC_OPERATION_DURATION: OPERATION_SECONDS,
    METRIC_FIRST_CHUNK: OPERATION_SECONDS,
    METRIC_OUTPUT_CHUNK: OPERATION_SECONDS,
    METRIC_RPC_DURATION: RPC_SECONDS,
    METRIC_HTTP_DURATION: RPC_SECONDS,
    METRIC_ROUTE_DURATION: ROUTE_SECONDS,
    METRIC_LOOP_LAG: LAG_SECONDS,
    METRIC_FEEDBACK_SCORE: SCORES,
}

_PROVIDER_NAMES: Final = {
    "azure": "azure.ai.openai",
    "gemini": "gcp.gemini",
    "mistral": "mistral_ai",
    "xai": "x_ai",
}
_UNNAMED_VENDORS: Final = frozenset({"", "custom"})


def provider_name(vendor: str, provider: str) -> str:
    """The conventions' name of a vendor; a provider without a preset is called by its id in the file."""
    if vendor in _UNNAMED_VENDORS:
        return provider
    return _PROVIDER_NAMES.get(vendor, vendor)
