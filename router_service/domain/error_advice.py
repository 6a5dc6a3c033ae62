"""What a client or an operator does about each reason that a call can fail for: data, for the error reference."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from router_service.domain.error import Reason


class Retry(StrEnum):
    """Whether the same call may help if it is sent again."""

    NO = "no: it fails again"
    AFTER = "after the retry delay, where there is one"
    AT_ONCE = "yes; published clients do it by themselves"
    WITH_CARE = "not by itself: it may have been answered and billed"


@dataclass(frozen=True, slots=True)
class Advice:
    """What to do, whether to send the call again, and the metadata keys beside `request_id`, which is always there."""

    do: str
    retry: Retry
    metadata: tuple[str, ...] = ()


_ATTEMPTS = ("attempts", "deployment", "provider", "last_error", "http_status")
_LIMIT = ("scope", "unit", "amount", "used")

ADVICE: Mapping[Reason, Advice] = {
    Reason.INVALID_REQUEST: Advice("Mend the fields that `BadRequest` names.", Retry.NO),
    Reason.POLICY_NOT_FOUND: Advice("Name a policy of the configuration, or none.", Retry.NO, ("policy",)),
    Reason.MODEL_NOT_FOUND: Advice(
        "Name a model or deployment that `ListModels` lists.", Retry.NO, ("model", "deployment")
    ),
    Reason.RECEIPT_NOT_FOUND: Advice(
        "Ask with the request id of a call of your own tenant; without a ledger only the last 10,000 are kept.",
        Retry.NO,
    ),
    Reason.KEY_NOT_FOUND: Advice("Look the public id up with `llmrouter keys list`.", Retry.NO, ("public_id",)),
    Reason.NO_ELIGIBLE_CANDIDATE: Advice(
        "Read the reason beside each deployment in the metadata; `llmrouter explain` shows the same. Change the call, "
        "or add a deployment that fits.",
        Retry.NO,
        ("policy", "<deployment>"),
    ),
    Reason.ALL_CANDIDATES_COOLING: Advice(
        "Wait; if it goes on, see what the deployments fail with: llm_router.attempts by error.type.",
        Retry.AFTER,
        ("<deployment>",),
    ),
    Reason.DECISION_TOKEN_INVALID: Advice(
        "Call `Route` again, with the request that is then sent.", Retry.NO, ("why",)
    ),
    Reason.DECISION_TOKEN_EXPIRED: Advice("Call `Route` again, and complete sooner.", Retry.NO, ("why",)),
    Reason.UPSTREAM_REJECTED: Advice(
        "Change what the provider does not take: the message names the deployment.", Retry.NO, _ATTEMPTS
    ),
    Reason.CONTEXT_TOO_LONG: Advice(
        "Shorten the conversation, or add a deployment with a larger window to the policy.", Retry.NO, _ATTEMPTS
    ),
    Reason.CONTENT_FILTERED: Advice(
        "Change the prompt, or let the policy ask another provider: `fallback_on_content_filter`.", Retry.NO, _ATTEMPTS
    ),
    Reason.ATTEMPTS_EXHAUSTED: Advice(
        "The router has retried and fallen back already. Give the policy more candidates; see docs/operations.md.",
        Retry.WITH_CARE,
        _ATTEMPTS,
    ),
    Reason.STREAM_TRUNCATED: Advice(
        "Discard what arrived, it is not the whole answer; `recovery` lets another deployment go on.",
        Retry.WITH_CARE,
        _ATTEMPTS,
    ),
    Reason.DEADLINE_EXCEEDED: Advice("Allow more time, or a faster model.", Retry.WITH_CARE, _ATTEMPTS),
    Reason.CANCELLED: Advice("Nothing: the caller left.", Retry.NO),
    Reason.PROVIDER_REFUSES_KEY: Advice(
        "The operator replaces the router's key for the provider; the caller's own key is in order.",
        Retry.NO,
        _ATTEMPTS,
    ),
    Reason.DRAINING: Advice("Nothing: another replica takes the call.", Retry.AT_ONCE),
    Reason.OVERLOADED: Advice(
        "Come back later, with fewer calls at once. Operators add replicas or raise `server.max_concurrent_calls`, "
        "unless `limit` names the ledger or a counter in Redis.",
        Retry.AFTER,
        ("limit",),
    ),
    Reason.RATE_LIMITED: Advice(
        "Spread the calls; without a retry delay waiting does not help: ask for less.", Retry.AFTER, ("limit", *_LIMIT)
    ),
    Reason.BUDGET_EXHAUSTED: Advice(
        "Wait for the next period, ask for fewer tokens or a cheaper model, or have the budget raised.",
        Retry.AFTER,
        ("budget", *_LIMIT),
    ),
    Reason.IDEMPOTENCY_CONFLICT: Advice("Ask again under the same key: the first call is still running.", Retry.AFTER),
    Reason.ALREADY_EXISTS: Advice(
        "The call was made: `GetReceipt` has its account. A new key gets a new answer; `keep_answers` keeps old ones.",
        Retry.NO,
    ),
    Reason.UNAUTHENTICATED: Advice("Send a key, token or certificate that holds.", Retry.NO),
    Reason.PERMISSION_DENIED: Advice(
        "Ask for what is granted, or have an administrator grant it.",
        Retry.NO,
        ("feature", "model", "policy", "tier", "tenant", "role", "grants", "public_id", "<deployment>"),
    ),
    Reason.INTERNAL: Advice("Report it with the request id, which finds it in the router's log.", Retry.WITH_CARE),
    Reason.STATE_UNAVAILABLE: Advice(
        "Wait; nothing was sent to a provider. Operators look after the database that `state` names.",
        Retry.AFTER,
        ("state",),
    ),
    Reason.QUALITY_NOT_MET: Advice(
        "`GetReceipt` has the verdicts. Ask otherwise, let the policy escalate to a stronger model, or have it give "
        "the best answer: `unsatisfied: answer`.",
        Retry.WITH_CARE,
        ("gates", "score", "threshold", "escalation"),
    ),
    Reason.NOT_CONFIGURED: Advice("Configure the `section` that is named.", Retry.NO, ("section",)),
}
