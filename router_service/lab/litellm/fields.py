"""Every field of a litellm configuration that this import knows, and what becomes of it: data, for code and docs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Field:
    """What becomes of a field: `becomes` is a key of this router's file, or a statement; empty where it is left out,
    and `remark` then says why."""

    becomes: str
    remark: str = ""


def _left(remark: str, *names: str) -> dict[str, Field]:
    return {name: Field("", remark) for name in names}


_PROVIDER = "`providers.<name>`"
_MODEL = "`models.<deployment>`"
_RULE = "`policies.<group>.rules[0]`"
_NO_CACHE = "answers are not cached; `keep_answers` of a policy keeps them for repeats under an idempotency key"
_BREAKER = "breakers open after 5 failures, or at once where the provider says so, and cannot be configured"
_GATEWAY = "this router has no such feature"
_SIGNED = "it belongs to a provider that does not speak OpenAI's chat completions with a key"
_INFORMATION = "it says nothing to the router"
_RATE = "USD per token there, per million tokens here; needs both input and output"
_PLAIN = "a value in the file becomes a new variable: it is never written or shown"
_DATABASE_KEYS = "keys, teams and spend in litellm's database stay there: `llmrouter keys create` makes new ones"
_COMMON_RETRIES = "also in `litellm_settings`; `router_settings` wins"

TOP: Mapping[str, Field] = {
    "model_list": Field("`providers`, `models`, `policies`", "one policy for each `model_name`"),
    "router_settings": Field("see below"),
    "litellm_settings": Field("see below"),
    "general_settings": Field("see below"),
    "credential_list": Field(_PROVIDER, "filled in where `litellm_credential_name` names one"),
    "environment_variables": Field("the router's environment", "the report names them; values are not copied"),
    **_left("write the other file's content into this one first", "include"),
    **_left(_GATEWAY, "guardrails", "mcp_servers", "mcp_tools", "search_tools", "vector_store_registry", "prompts"),
    **_left(_GATEWAY, "assistant_settings", "files_settings", "finetune_settings", "agent_list"),
    **_left("telemetry is configured by `telemetry` and OTEL_* variables", "callback_settings"),
}

ENTRY: Mapping[str, Field] = {
    "model_name": Field("`policies.<model_name>`", "callers name it as the policy, on the OpenAI edge as the model"),
    "litellm_params": Field("see below"),
    "model_info": Field("see below"),
    "rpm": Field(f"{_MODEL}`.rpm`", "as in `litellm_params`"),
    "tpm": Field(f"{_MODEL}`.tpm`", "as in `litellm_params`"),
}

PARAMETERS = (
    "temperature", "top_p", "frequency_penalty", "presence_penalty", "seed", "stop", "reasoning_effort",
)  # fmt: skip
"""Sampling parameters with the same name here."""

PARAMS: Mapping[str, Field] = {
    "model": Field(f"{_MODEL}, `upstream_name`", "what is before the slash decides the provider's preset"),
    "custom_llm_provider": Field(f"{_PROVIDER}`.preset`"),
    "api_key": Field(f"{_PROVIDER}`.api_key`", f"{_PLAIN}; without one, the variable that litellm looks for"),
    "api_base": Field(f"{_PROVIDER}`.base_url`"),
    "base_url": Field(f"{_PROVIDER}`.base_url`"),
    "api_version": Field(f"{_PROVIDER}", "Azure's v1 API is called, which takes no dated version; a note says so"),
    "organization": Field(f"{_PROVIDER}`.headers`", "as OpenAI-Organization; a list of several is left out"),
    "extra_headers": Field(f"{_PROVIDER}`.headers`", "values that look like credentials become variables"),
    "headers": Field(f"{_PROVIDER}`.headers`", "as `extra_headers`"),
    "litellm_credential_name": Field(_PROVIDER, "the credential's values, under those given beside it"),
    "region_name": Field(f"{_MODEL}`.region`"),
    "rpm": Field(f"{_MODEL}`.rpm`", "also the weight, where no deployment of the group has one"),
    "tpm": Field(f"{_MODEL}`.tpm`", "also the weight, where no deployment has one or an `rpm`"),
    "weight": Field(f"{_MODEL}`.weight`", "0 becomes a fallback of the group"),
    "order": Field(f"{_RULE}`.use`, `.then`", "the lowest is `use`, the others follow in `then`"),
    "max_parallel_requests": Field(f"{_MODEL}`.max_concurrent`"),
    "timeout": Field("`policies.<group>.timeouts.total`", "of the whole group: the longest of its deployments'"),
    "stream_timeout": Field("`policies.<group>.timeouts.first_token`, `.stall`", "as `timeout`"),
    "max_retries": Field(
        "`policies.<group>.retries`", "the provider client's retries there; the larger of the two counts"
    ),
    "max_tokens": Field(f"{_RULE}`.max_output_tokens`", "a ceiling here, a default there"),
    "max_completion_tokens": Field(f"{_RULE}`.max_output_tokens`", "as `max_tokens`"),
    **{name: Field(f"{_RULE}`.parameters.{name}`", "of the group's first deployment") for name in PARAMETERS},
    "input_cost_per_token": Field(f"{_MODEL}`.price.input`", _RATE),
    "output_cost_per_token": Field(f"{_MODEL}`.price.output`", _RATE),
    "cache_read_input_token_cost": Field(f"{_MODEL}`.price.cached_input`", _RATE),
    "cache_creation_input_token_cost": Field(f"{_MODEL}`.price.cache_write`", _RATE),
    "max_budget": Field("`budgets.<deployment>`", "with `budget_duration` of 1h, 1d, 30d or 1mo, by the calendar here"),
    "budget_duration": Field("`budgets.<deployment>.period`", "as `max_budget`"),
    "drop_params": Field("always so", "what a preset's provider refuses is left out; `false` is left out"),
    **_left("only tokens have prices here", "input_cost_per_second", "output_cost_per_second", "input_cost_per_image"),
    **_left("requests are built from typed fields; callers send others in `extra_json`", "extra_body", "extra_query"),
    **_left("tokens of Entra ID are not fetched; give a key", "azure_ad_token", "tenant_id", "client_id"),
    **_left("tokens of Entra ID are not fetched; give a key", "client_secret", "azure_username", "azure_password"),
    **_left(_SIGNED, "aws_access_key_id", "aws_secret_access_key", "aws_region_name", "aws_session_token"),
    **_left(_SIGNED, "aws_role_name", "aws_session_name", "aws_profile_name", "aws_bedrock_runtime_endpoint"),
    **_left(_SIGNED, "vertex_project", "vertex_location", "vertex_credentials", "watsonx_region_name"),
    **_left("write rules with `when: {labels: ...}`", "tags"),
    **_left("the router tries no answer of its own", "mock_response", "mock_timeout"),
    **_left("callers bring no credentials of providers", "configurable_clientside_auth_params"),
    **_left("input and output tokens share one rate", "itpm", "otpm"),
    **_left("write `limits` with `per: key`", "default_api_key_rpm_limit", "default_api_key_tpm_limit"),
    **_left("callers ask for these themselves", "tools", "tool_choice", "response_format", "n", "logprobs", "thinking"),
    **_left("retries are those of the policy", "num_retries"),
    **_left("chat completions only: prompts are sent as they are", "initial_prompt_value", "roles", "bos_token"),
    **_left("chat completions only: prompts are sent as they are", "final_prompt_value", "eos_token"),
    **_left("give the authority's PEM file as `ca_file`", "ssl_verify"),
    **_left("prompts are not changed", "cache_control_injection_points", "merge_reasoning_content_in_choices"),
}

SUPPORTS: Mapping[str, str] = {
    "supports_function_calling": "tools",
    "supports_vision": "vision",
    "supports_response_schema": "json_schema",
    "supports_reasoning": "reasoning",
}
"""Statements on a model, by the capability that is meant."""

INFO: Mapping[str, Field] = {
    "id": Field("name of the deployment", "where nothing else has it; fallbacks may name it"),
    "mode": Field("chat is what there is", "deployments of any other mode are left out"),
    "base_model": Field(f"{_MODEL}`.model`", "for its price and window; where the name is a group's, as `price`"),
    **{name: Field(f"{_MODEL}`.capabilities`", f"with or without `{what}`") for name, what in SUPPORTS.items()},
    "max_input_tokens": Field(f"{_MODEL}`.context_window`", "prompt and answer share it here"),
    "max_output_tokens": Field(f"{_MODEL}`.max_output_tokens`"),
    "max_tokens": Field(f"{_MODEL}`.max_output_tokens`", "where `max_output_tokens` is not given"),
    "input_cost_per_token": Field(f"{_MODEL}`.price.input`", "under `litellm_params`"),
    "output_cost_per_token": Field(f"{_MODEL}`.price.output`", "under `litellm_params`"),
    "cache_read_input_token_cost": Field(f"{_MODEL}`.price.cached_input`", "under `litellm_params`"),
    "cache_creation_input_token_cost": Field(f"{_MODEL}`.price.cache_write`", "under `litellm_params`"),
    **_left(_INFORMATION, "version", "description", "created_by", "updated_by", "created_at", "updated_at", "db_model"),
    **_left("write `identity` with the models that each caller may use", "access_groups", "team_id", "tier"),
    **_left("keep a file for each environment", "supported_environments"),
    **_left("the extra `tiktoken` counts; any model of one vendor alike", "custom_tokenizer"),
    **_left("only the four capabilities above decide who may serve a call", "supports_system_messages"),
    **_left("only the four capabilities above decide who may serve a call", "supports_parallel_function_calling"),
    **_left("only the four capabilities above decide who may serve a call", "supports_prompt_caching"),
}

ROUTER: Mapping[str, Field] = {
    "routing_strategy": Field(
        f"{_RULE}`.strategy`",
        "simple-shuffle, usage-based: weighted; latency-based: fastest; cost-based: cheapest; others are left out",
    ),
    "fallbacks": Field(f"{_RULE}`.then`", "in order, with the fallbacks of fallbacks; `*` is for all groups"),
    "default_fallbacks": Field(f"{_RULE}`.then`", "of groups without `fallbacks`"),
    "context_window_fallbacks": Field(f"{_RULE}`.then`", "last; asked after any failure, not only of this kind"),
    "content_policy_fallbacks": Field(f"{_RULE}`.then`, `fallback_on_content_filter`", "as the line above"),
    "max_fallbacks": Field("the length of `then`", "groups, 5 without it"),
    "model_group_alias": Field("`policies.<alias>`", "a copy of the group's policy"),
    "num_retries": Field("`policies.<group>.retries`", f"spread over the group's deployments; {_COMMON_RETRIES}"),
    "timeout": Field("`policies.<group>.timeouts.total`", "for an attempt, where a deployment says nothing"),
    "stream_timeout": Field("`policies.<group>.timeouts.first_token`, `.stall`", "where a deployment says nothing"),
    "retry_after": Field("`policies.<group>.retries.backoff_initial`"),
    "default_litellm_params": Field("as `litellm_params` of every deployment"),
    "default_max_parallel_requests": Field(f"{_MODEL}`.max_concurrent`"),
    "enable_pre_call_checks": Field("always so", "prompts that do not fit a window are not sent"),
    "enable_pre_call_check": Field("always so"),
    "redis_url": Field("`redis.url`"),
    "redis_host": Field("`redis.url`"),
    "redis_port": Field("`redis.url`"),
    "redis_password": Field("`redis.url`", _PLAIN),
    "redis_db": Field("`redis.url`"),
    **_left("the strategies here have no settings", "routing_strategy_args"),
    **_left(_BREAKER, "allowed_fails", "cooldown_time", "disable_cooldowns", "allowed_fails_policy"),
    **_left(
        "each kind of fault has its own treatment: docs/reliability.md", "retry_policy", "model_group_retry_policy"
    ),
    **_left(_NO_CACHE, "cache_responses", "cache_kwargs", "caching_groups"),
    **_left("write rules with `when: {labels: ...}`", "enable_tag_filtering", "tag_filtering_match_any"),
    **_left("write `budgets` with `match: {model: [...]}`", "provider_budget_config"),
    **_left(
        "`sticky` keeps conversations on a deployment", "optional_pre_call_checks", "deployment_affinity_ttl_seconds"
    ),
    **_left("calls are not queued", "default_priority", "polling_interval", "queue"),
    **_left("logs and traces are configured elsewhere", "set_verbose", "debug_level", "alerting_config"),
    **_left("connections are pooled by provider", "client_ttl"),
    **_left("a file with mistakes is refused as a whole", "ignore_invalid_deployments"),
    **_left(_GATEWAY, "assistants_config", "search_tools", "guardrail_list", "router_general_settings"),
}

OBSERVED = frozenset({"otel", "opentelemetry", "prometheus"})
"""Callbacks that are always on here."""

_CALLBACK = Field("traces and metrics over OTLP", "otel and prometheus; each other name is left out")

LITELLM: Mapping[str, Field] = {
    "fallbacks": Field("as in `router_settings`"),
    "default_fallbacks": Field("as in `router_settings`"),
    "context_window_fallbacks": Field("as in `router_settings`"),
    "content_policy_fallbacks": Field("as in `router_settings`"),
    "num_retries": Field("as in `router_settings`"),
    "request_timeout": Field("`policies.<group>.timeouts.total`", "under `timeout` of `router_settings`"),
    "drop_params": Field("always so", "what a preset's provider refuses is left out; `false` is left out"),
    "success_callback": _CALLBACK,
    "failure_callback": _CALLBACK,
    "callbacks": _CALLBACK,
    "service_callbacks": _CALLBACK,
    "turn_off_message_logging": Field(
        "always so", "`ledger.texts` records prompts where it is asked to; `false` is left out"
    ),
    "max_budget": Field("`budgets.litellm`", "with `budget_duration` of 1h, 1d, 30d or 1mo, by the calendar here"),
    "budget_duration": Field("`budgets.litellm.period`", "as `max_budget`"),
    **_left(_NO_CACHE, "cache", "cache_params", "enable_caching_on_provider_specific_optional_params"),
    **_left(_BREAKER, "allowed_fails", "cooldown_time"),
    **_left("logs have one form, and hold no prompts", "set_verbose", "json_logs", "redact_user_api_key_info"),
    **_left("logs have one form, and hold no prompts", "suppress_debug_info", "log_raw_request_response"),
    **_left("requests are not changed beyond what the preset says", "modify_params", "enable_preview_features"),
    **_left("gates judge structured answers: docs/quality-gates.md", "enable_json_schema_validation"),
    **_left("network settings are the system's", "force_ipv4", "ssl_verify", "ssl_certificate"),
    **_left(_DATABASE_KEYS, "default_team_settings", "default_internal_user_params", "key_generation_settings"),
    **_left(
        _DATABASE_KEYS, "max_internal_user_budget", "internal_user_budget_duration", "upperbound_key_generate_params"
    ),
    **_left("name the callback's receiver as an OTLP endpoint", "langfuse_default_tags"),
    **_left(_GATEWAY, "mcp_aliases", "guardrails", "public_model_groups", "tag_budget_config"),
}

_MODELS_ELSEWHERE = "models are in the file alone, which is read again when it changes"

GENERAL: Mapping[str, Field] = {
    "master_key": Field("`identity.api_keys.keys.litellm-master`", "a new key: those of this router begin with rk_"),
    "database_url": Field("`storage.url`", "best a database of its own; nothing is read from litellm's tables"),
    "database_connection_pool_limit": Field("`storage.max_connections`"),
    "database_connection_timeout": Field("`storage.connect_timeout`"),
    "max_parallel_requests": Field(f"{_MODEL}`.max_concurrent`", "where a deployment says nothing"),
    "global_max_parallel_requests": Field("`server.max_concurrent_calls`"),
    "max_request_size_mb": Field("`server.max_message_bytes`"),
    "completion_model": Field("`default_policy`"),
    "maximum_spend_logs_retention_period": Field("`ledger.retention_days`", "in days, rounded up"),
    "store_prompts_in_spend_logs": Field("`ledger.texts`", "kept for 30 days here; `false` is the default"),
    **_left(
        _DATABASE_KEYS, "store_model_in_db", "custom_key_generate", "disable_spend_logs", "key_management_settings"
    ),
    **_left(_DATABASE_KEYS, "default_team_disabled", "allow_requests_on_db_unavailable", "user_api_key_cache_ttl"),
    **_left(_MODELS_ELSEWHERE, "supported_db_objects", "infer_model_from_keys"),
    **_left("write `identity.jwt`: docs/authentication.md", "enable_jwt_auth", "litellm_jwtauth", "enable_oauth2_auth"),
    **_left("callers are known by key, token or certificate: docs/authentication.md", "custom_auth", "custom_sso"),
    **_left(
        "callers are known by key, token or certificate: docs/authentication.md", "allow_user_auth", "ui_access_mode"
    ),
    **_left("let the network or the proxy in front see to it", "allowed_ips", "use_x_forwarded_for", "allowed_routes"),
    **_left(
        "alerts are rules on the router's metrics", "alerting", "alerting_threshold", "alert_types", "alerting_args"
    ),
    **_left("alerts are rules on the router's metrics", "alert_to_webhook_url", "spend_report_frequency"),
    **_left("breakers learn from calls; no calls are made to find out", "background_health_checks"),
    **_left(
        "breakers learn from calls; no calls are made to find out", "health_check_interval", "health_check_details"
    ),
    **_left("only what the API describes is passed on", "pass_through_endpoints", "forward_client_headers_to_llm_api"),
    **_left("only what the API describes is passed on", "forward_openai_org_id"),
    **_left("secrets come from the environment or from files", "key_management_system", "use_azure_key_vault"),
    **_left("secrets come from the environment or from files", "use_google_kms"),
    **_left("tenants come from credentials, users from the call", "enforce_user_param", "litellm_key_header_name"),
    **_left(_GATEWAY, "image_generation_model", "embedding_model", "moderation_model", "max_response_size_mb"),
    **_left("the ledger is written continuously", "proxy_batch_write_at", "maximum_spend_logs_retention_interval"),
}


def reasons(fields: Mapping[str, Field]) -> Mapping[str, str]:
    """Why those that are left out are."""
    return {name: field.remark for name, field in fields.items() if not field.becomes}
