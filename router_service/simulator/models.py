"""The models the simulated provider serves: data."""

from __future__ import annotations

from dataclasses import dataclass

from router_service.simulator.dialects import DIALECTS, OPENAI, Dialect

BULK = "bulk"
"""The model for measuring: a fixed 64-chunk stream in one write, no journal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedModel:
    """One model at one provider (any provider where `provider` is empty).

    `quality` from 0 to 1 sets how good its answers are. `first_token_seconds` and `tokens_per_second` are at speed 1.
    `context_window` and `max_output_tokens` are in tokens. `cache_block_tokens` is the granularity at which repeated
    prompt prefixes count as cached. `vision`, `tools` and `reasoning` are what it can do.
    """

    name: str
    provider: str = ""
    quality: float = 0.7
    first_token_seconds: float = 0.3
    tokens_per_second: float = 80.0
    context_window: int = 128_000
    max_output_tokens: int = 16_384
    cache_block_tokens: int = 64
    reasoning: bool = False
    vision: bool = True
    tools: bool = True
    dialect: Dialect = OPENAI

    @property
    def seconds_per_token(self) -> float:
        """The pause between two tokens at speed 1."""
        return 1 / self.tokens_per_second


_DEEPSEEK, _OLLAMA = DIALECTS["deepseek"], DIALECTS["ollama"]

DEFAULT_MODELS: tuple[SimulatedModel, ...] = (
    SimulatedModel(name="gpt-4o", provider="openai", quality=0.92, first_token_seconds=0.45, tokens_per_second=75),
    SimulatedModel(name="gpt-4o-mini", provider="openai", quality=0.75, first_token_seconds=0.3, tokens_per_second=110),
    SimulatedModel(
        name="claude-opus-4",
        provider="anthropic",
        quality=0.96,
        first_token_seconds=0.9,
        tokens_per_second=50,
        context_window=200_000,
    ),
    SimulatedModel(
        name="deepseek-chat",
        provider="deepseek",
        quality=0.72,
        first_token_seconds=0.5,
        tokens_per_second=60,
        context_window=64_000,
        max_output_tokens=8192,
        vision=False,
        dialect=_DEEPSEEK,
    ),
    SimulatedModel(
        name="deepseek-reasoner",
        provider="deepseek",
        quality=0.9,
        first_token_seconds=0.8,
        tokens_per_second=45,
        context_window=64_000,
        reasoning=True,
        vision=False,
        dialect=_DEEPSEEK,
    ),
    SimulatedModel(
        name="qwen-plus",
        provider="dashscope",
        quality=0.74,
        first_token_seconds=0.35,
        tokens_per_second=90,
        vision=False,
    ),
    SimulatedModel(
        name="Qwen/Qwen3-8B",
        provider="siliconflow",
        quality=0.4,
        first_token_seconds=0.15,
        tokens_per_second=160,
        context_window=32_000,
        max_output_tokens=4096,
        vision=False,
    ),
    SimulatedModel(
        name="gemini-2.5-flash",
        provider="gemini",
        quality=0.7,
        first_token_seconds=0.25,
        tokens_per_second=180,
        context_window=1_000_000,
        dialect=DIALECTS["gemini"],
    ),
    SimulatedModel(
        name="moonshot-v1-32k",
        provider="moonshot",
        quality=0.7,
        first_token_seconds=0.5,
        tokens_per_second=60,
        context_window=32_000,
        vision=False,
    ),
    SimulatedModel(
        name="llama3.1",
        provider="ollama",
        quality=0.35,
        first_token_seconds=0.6,
        tokens_per_second=30,
        context_window=8192,
        max_output_tokens=2048,
        vision=False,
        dialect=_OLLAMA,
    ),
)
"""A market in small: strong and dear, weak and cheap, fast and slow, in several dialects."""
