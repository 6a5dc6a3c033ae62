"""How a provider's dialect differs from OpenAI's: data, read by the one dialect in `providers`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from router_service.domain.logprob import MOST_TOP_LOGPROBS


class Auth(StrEnum):
    """How the key travels."""

    BEARER = "bearer"
    API_KEY_HEADER = "api-key"
    NONE = "none"


class OnCancel(StrEnum):
    """What to do with an upstream call whose caller left."""

    CANCEL = "cancel"
    DRAIN = "drain"


class Prefill(StrEnum):
    """How a provider is asked to go on from the beginning of an answer, given as a last message of the assistant."""

    NONE = "none"
    """It would refuse that message, or answer anew behind it."""
    PLAIN = "plain"
    """The message alone says so."""
    PREFIX = "prefix"
    """The message carries `"prefix": true` (DeepSeek, Mistral)."""
    PARTIAL = "partial"
    """The message carries `"partial": true` (Moonshot, Qwen)."""
    CONTINUE_FINAL = "continue_final"
    """The request carries `continue_final_message` and no generation prompt (vLLM, SGLang)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quirks:
    """Differences from OpenAI's chat completions API; the defaults are OpenAI's own behaviour.

    `max_tokens_field` names the token limit. `stream_usage` asks for usage with `stream_options`.
    `requires_finish_reason` is false for endpoints that end a stream with `[DONE]` alone. `seed_field` and
    `required_tool_choice` rename what some call differently. `developer_role` sends system messages as "developer".
    `reasoning_field` is the key of visible thinking in requests, empty where it must not be sent back.
    `unsupported` are request fields that the provider refuses and that are left out, `unsupported_by_reasoning` those
    that only its reasoning models refuse. `message_name` is false where messages must not have a `name`.
    `tool_call_id_length` is the exact number of letters and digits of a tool call's id, where only these are accepted.
    `logprobs_as_count` asks for log-probabilities by the number of alternatives alone (Together), of which there are
    `most_top_logprobs` at most.
    `prefill` is how an answer that another deployment began is continued, `echoes_prefix` says that such an answer
    repeats its beginning.
    """

    auth: Auth = Auth.BEARER
    path: str = "/chat/completions"
    max_tokens_field: str = "max_completion_tokens"
    stream_usage: bool = True
    requires_finish_reason: bool = True
    seed_field: str = "seed"
    required_tool_choice: str = "required"
    developer_role: bool = False
    reasoning_field: str = ""
    unsupported: frozenset[str] = frozenset()
    unsupported_by_reasoning: frozenset[str] = frozenset()
    message_name: bool = True
    tool_call_id_length: int | None = None
    prefill: Prefill = Prefill.NONE
    echoes_prefix: bool = False
    logprobs_as_count: bool = False
    most_top_logprobs: int = MOST_TOP_LOGPROBS
