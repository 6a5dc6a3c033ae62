"""What can be called: deployments, what they can do and what they cost."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Capability(StrEnum):
    """What a deployment can do beyond plain text in, plain text out."""

    TOOLS = "tools"
    VISION = "vision"
    JSON_OBJECT = "json_object"
    JSON_SCHEMA = "json_schema"
    REASONING = "reasoning"
    LOGPROBS = "logprobs"


class Retention(StrEnum):
    """How long a provider keeps prompts, from the strictest to the loosest."""

    NONE = "none"
    DAYS_30 = "30d"
    UNLIMITED = "unlimited"

    def within(self, ceiling: Retention) -> bool:
        """Whether this keeps data no longer than `ceiling`."""
        order = list(Retention)
        return order.index(self) <= order.index(ceiling)


@dataclass(frozen=True, slots=True)
class Rate:
    """A price in integer nano-USD per million tokens.

    `tiers` are `(from_input_tokens, nano_usd_per_million)` in rising order: once the prompt is longer than a
    tier's start, its rate applies to the whole call.
    """

    base: int
    tiers: tuple[tuple[int, int], ...] = ()

    def at(self, input_tokens: int) -> int:
        """The rate for a prompt of this many tokens."""
        rate = self.base
        for start, tier_rate in self.tiers:
            if input_tokens > start:
                rate = tier_rate
        return rate


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """What a deployment charges. `version` names the price's source, such as "configuration" or
    "genai-prices 0.2.3"."""

    input: Rate
    output: Rate
    cached_input: Rate
    cache_write: Rate
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFacts:
    """What a catalogue knows of a model; each is `None` where it does not know. Windows are in tokens."""

    price: Price | None = None
    context_window: int | None = None
    max_output_tokens: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """A model at a provider with a credential: the thing that is called.

    `upstream_name` is what the provider knows the model by. `context_window` and `max_output_tokens` are in tokens,
    `None` where unknown. `weight` is its share under the weighted strategy. `region` is empty where undeclared.
    `has_credentials` is false where the provider needs a key and none is configured. `vendor` is the provider's preset
    ("openai", "deepseek" ...), `server_address` and `server_port` are its base URL's, for telemetry. `prefills` says
    that it goes on from an answer that was begun elsewhere.
    """

    id: str
    model: str
    provider: str
    upstream_name: str
    vendor: str = "custom"
    server_address: str = ""
    server_port: int = 443
    capabilities: frozenset[Capability] = frozenset()
    context_window: int | None = None
    max_output_tokens: int | None = None
    price: Price | None = None
    region: str = ""
    retention: Retention = Retention.UNLIMITED
    weight: float = 1.0
    has_credentials: bool = True
    prefills: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentStatus:
    """A deployment and its health: `cooling_reason` says in words why it is cooling down, empty while healthy."""

    deployment: Deployment
    cooling_reason: str = ""
