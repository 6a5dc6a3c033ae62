"""litellm's providers, by the name before the slash, as presets of this router: data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Upstream:
    """A provider that speaks OpenAI's chat completions.

    `preset` is the row of the preset table; `base_url`, where given, takes the place of its own. `key` is the
    environment variable that litellm takes the key from, empty for servers that need none.
    """

    preset: str
    base_url: str = ""
    key: str = ""


UPSTREAMS: Mapping[str, Upstream] = {
    "openai": Upstream(preset="openai", key="OPENAI_API_KEY"),
    "azure": Upstream(preset="azure", key="AZURE_API_KEY"),
    "anthropic": Upstream(preset="anthropic", key="ANTHROPIC_API_KEY"),
    "gemini": Upstream(preset="gemini", key="GEMINI_API_KEY"),
    "xai": Upstream(preset="xai", key="XAI_API_KEY"),
    "mistral": Upstream(preset="mistral", key="MISTRAL_API_KEY"),
    "groq": Upstream(preset="groq", key="GROQ_API_KEY"),
    "together_ai": Upstream(preset="together", key="TOGETHERAI_API_KEY"),
    "fireworks_ai": Upstream(preset="fireworks", key="FIREWORKS_API_KEY"),
    "openrouter": Upstream(preset="openrouter", key="OPENROUTER_API_KEY"),
    "deepseek": Upstream(preset="deepseek", key="DEEPSEEK_API_KEY"),
    "dashscope": Upstream(preset="dashscope", key="DASHSCOPE_API_KEY"),
    "moonshot": Upstream(preset="moonshot", key="MOONSHOT_API_KEY"),
    "zai": Upstream(preset="zhipu", base_url="https://api.z.ai/api/paas/v4", key="ZAI_API_KEY"),
    "volcengine": Upstream(preset="volcengine", key="VOLCENGINE_API_KEY"),
    "minimax": Upstream(preset="minimax", key="MINIMAX_API_KEY"),
    "ollama": Upstream(preset="ollama"),
    "ollama_chat": Upstream(preset="ollama"),
    "hosted_vllm": Upstream(preset="vllm"),
    "vllm": Upstream(preset="vllm"),
    "lm_studio": Upstream(preset="lmstudio"),
    "custom_openai": Upstream(preset="custom"),
    "openai_like": Upstream(preset="custom"),
    "litellm_proxy": Upstream(preset="custom", key="LITELLM_PROXY_API_KEY"),
    "llamafile": Upstream(preset="custom"),
    "xinference": Upstream(preset="custom"),
    "perplexity": Upstream(preset="custom", base_url="https://api.perplexity.ai", key="PERPLEXITYAI_API_KEY"),
    "cerebras": Upstream(preset="custom", base_url="https://api.cerebras.ai/v1", key="CEREBRAS_API_KEY"),
    "nvidia_nim": Upstream(preset="custom", base_url="https://integrate.api.nvidia.com/v1", key="NVIDIA_NIM_API_KEY"),
    "deepinfra": Upstream(preset="custom", base_url="https://api.deepinfra.com/v1/openai", key="DEEPINFRA_API_KEY"),
    "sambanova": Upstream(preset="custom", base_url="https://api.sambanova.ai/v1", key="SAMBANOVA_API_KEY"),
}

OTHER_DIALECTS = frozenset(
    {
        "ai21", "aleph_alpha", "azure_ai", "azure_text", "baseten", "bedrock", "bedrock_converse", "clarifai",
        "cloudflare", "cohere", "cohere_chat", "databricks", "gigachat", "github", "github_copilot", "huggingface",
        "maritalk", "nlp_cloud", "oci", "palm", "petals", "predibase", "replicate", "sagemaker", "sagemaker_chat",
        "snowflake", "text-completion-codestral", "text-completion-openai", "triton", "vertex_ai", "vertex_ai_beta",
        "voyage", "watsonx", "watsonx_text",
    }
)  # fmt: skip
"""Providers that litellm translates for, or signs requests to; this router speaks OpenAI's chat completions alone."""

_BARE = (("gpt-", "openai"), ("chatgpt-", "openai"), ("o1", "openai"), ("o3", "openai"), ("o4", "openai"),
         ("ft:gpt-", "openai"), ("claude-", "anthropic"))  # fmt: skip


def parted(model: str, custom: str) -> tuple[str, str]:
    """The provider and the provider's own name of a litellm model; the provider is empty where nothing tells it.

    `custom` is `custom_llm_provider`, which goes before the name.
    """
    head, slash, rest = model.partition("/")
    if custom:
        return custom, rest if slash and head == custom else model
    if slash and (head in UPSTREAMS or head in OTHER_DIALECTS):
        return head, rest
    if slash:
        return head, model
    return next((provider for start, provider in _BARE if model.startswith(start)), ""), model
