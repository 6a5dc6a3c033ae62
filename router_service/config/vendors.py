"""The presets: one row per provider that speaks OpenAI's chat completions, and how it differs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase

from router_service.domain.deployment import Capability
from router_service.domain.vendor import Auth, Prefill, Quirks


@dataclass(frozen=True, slots=True, kw_only=True)
class Vendor:
    """A row of the table.

    `base_url` may hold `{resource}` and is empty where only the operator knows it. `key_variables` are environment
    variables of the key, in order; `url_variable` and `models_variable` those of the base URL and of a comma-separated
    list of models. `capabilities` hold for all models; `vision`, `reasoning` and `logprobs` are patterns of lower-case
    model names that can also do these. `region` is empty unless prompts are known to stay there. `cheap` and `strong`
    are models for use without a file.
    """

    id: str
    title: str
    base_url: str = ""
    key_variables: tuple[str, ...] = ()
    key_required: bool = True
    url_variable: str = ""
    models_variable: str = ""
    query: Mapping[str, str] = field(default_factory=dict)
    quirks: Quirks = Quirks()
    capabilities: frozenset[Capability] = frozenset()
    vision: tuple[str, ...] = ()
    reasoning: tuple[str, ...] = ()
    logprobs: tuple[str, ...] = ()
    continues: tuple[str, ...] = ("*",)
    answers_anew: tuple[str, ...] = ()
    region: str = ""
    cheap: tuple[str, ...] = ()
    strong: tuple[str, ...] = ()

    def capabilities_of(self, model: str) -> frozenset[Capability]:
        """What this vendor's model of that name can do, as far as the table knows."""
        found = set(self.capabilities)
        if _any(self.vision, model):
            found.add(Capability.VISION)
        if _any(self.reasoning, model):
            found.add(Capability.REASONING)
        if _any(self.logprobs, model):
            found.add(Capability.LOGPROBS)
        return frozenset(found)

    def prefills(self, model: str) -> bool:
        """Whether this vendor's model of that name goes on from the beginning of an answer."""
        continues = self.quirks.prefill is not Prefill.NONE and _any(self.continues, model)
        return continues and not _any(self.answers_anew, model)


def _any(patterns: tuple[str, ...], model: str) -> bool:
    return any(fnmatchcase(model.lower(), pattern) for pattern in patterns)


_TOOLS = frozenset({Capability.TOOLS})
_JSON = _TOOLS | {Capability.JSON_OBJECT}
_SCHEMA = _JSON | {Capability.JSON_SCHEMA}
_OLD_LIMIT = Quirks(max_tokens_field="max_tokens")
_PLAIN_PREFILL = replace(_OLD_LIMIT, prefill=Prefill.PLAIN)
_NEVER_REQUIRES_TOOLS = Quirks(max_tokens_field="max_tokens", required_tool_choice="auto")
_SAMPLING = frozenset({"temperature", "top_p", "frequency_penalty", "presence_penalty"})

_GPT_VISION = ("gpt-4o*", "gpt-4.1*", "gpt-4-turbo*", "gpt-5*", "gpt-6*", "o1", "o1-2*", "o3*", "o4*")
_GPT_REASONING = ("gpt-5*", "gpt-6*", "o1*", "o3*", "o4*")
# Those that think before they answer refuse to be asked.
_GPT_LOGPROBS = ("gpt-3.5-turbo*", "gpt-4-turbo*", "gpt-4o", "gpt-4o-2*", "gpt-4o-mini", "gpt-4o-mini-2*", "gpt-4.1*")
_OPEN_VISION = ("*-vl-*", "*-vl", "*vision*", "*llama-4*", "*gemma-3*", "*gemma3*", "*gemma-4*", "*pixtral*", "*llava*")
# Claude 4.6 and all that came after answer 400 to a last message of the assistant.
_CLAUDE_PREFILL = (
    "claude-2*",
    "claude-3*",
    *(f"claude-{size}-4{end}" for size in ("opus", "sonnet", "haiku") for end in ("-20*", "-[0-5]", "-[0-5]-*")),
)
_OPEN_REASONING = ("*gpt-oss*", "*deepseek-r1*", "*qwq*", "*thinking*")

_ROWS = (
    Vendor(
        id="openai",
        title="OpenAI",
        base_url="https://api.openai.com/v1",
        key_variables=("OPENAI_API_KEY",),
        url_variable="OPENAI_BASE_URL",
        quirks=Quirks(unsupported_by_reasoning=_SAMPLING),
        capabilities=_SCHEMA,
        vision=_GPT_VISION,
        reasoning=_GPT_REASONING,
        logprobs=_GPT_LOGPROBS,
        cheap=("gpt-6-luna",),
        strong=("gpt-6.1-sol",),
    ),
    Vendor(
        id="azure",
        title="Azure OpenAI",
        base_url="https://{resource}.openai.azure.com/openai/v1",
        key_variables=("AZURE_OPENAI_API_KEY",),
        url_variable="AZURE_OPENAI_ENDPOINT",
        models_variable="AZURE_OPENAI_DEPLOYMENT",
        query={"api-version": "v1"},
        quirks=Quirks(auth=Auth.API_KEY_HEADER, unsupported_by_reasoning=_SAMPLING),
        capabilities=_SCHEMA,
        vision=_GPT_VISION,
        reasoning=_GPT_REASONING,
        logprobs=_GPT_LOGPROBS,
    ),
    Vendor(
        id="anthropic",
        title="Anthropic (OpenAI compatibility)",
        base_url="https://api.anthropic.com/v1",
        key_variables=("ANTHROPIC_API_KEY",),
        quirks=Quirks(
            unsupported=frozenset(
                {"frequency_penalty", "presence_penalty", "seed", "response_format", "reasoning_effort"}
            ),
            prefill=Prefill.PLAIN,
        ),
        capabilities=_TOOLS,
        vision=("claude-*",),
        continues=_CLAUDE_PREFILL,
        cheap=("claude-haiku-5-5",),
        strong=("claude-opus-5-5",),
    ),
    Vendor(
        id="gemini",
        title="Google Gemini (OpenAI compatibility)",
        base_url="https://generativelanguage.googleapis.com/v1beta/openai",
        key_variables=("GEMINI_API_KEY", "GOOGLE_API_KEY"),
        quirks=Quirks(
            max_tokens_field="max_tokens", unsupported=frozenset({"seed", "frequency_penalty", "presence_penalty"})
        ),
        capabilities=_SCHEMA,
        vision=("gemini-*",),
        reasoning=("gemini-2.5*", "gemini-3*", "gemini-4*"),
        cheap=("gemini-3.1-flash-lite",),
        strong=("gemini-4-argon",),
    ),
    Vendor(
        id="xai",
        title="xAI",
        base_url="https://api.x.ai/v1",
        key_variables=("XAI_API_KEY",),
        quirks=Quirks(unsupported=frozenset({"frequency_penalty", "presence_penalty"})),
        capabilities=_SCHEMA,
        vision=("grok-4*", "*vision*"),
        reasoning=("grok-3-mini*", "grok-4.[3-9]*"),
        cheap=("grok-4-1-fast-non-reasoning",),
        strong=("grok-4.7",),
    ),
    Vendor(
        id="mistral",
        title="Mistral",
        base_url="https://api.mistral.ai/v1",
        key_variables=("MISTRAL_API_KEY",),
        quirks=Quirks(
            max_tokens_field="max_tokens",
            stream_usage=False,
            seed_field="random_seed",
            required_tool_choice="any",
            unsupported=frozenset({"stream_options", "max_completion_tokens"}),
            message_name=False,
            tool_call_id_length=9,
            prefill=Prefill.PREFIX,
            echoes_prefix=True,
        ),
        capabilities=_SCHEMA,
        vision=("mistral-small*", "mistral-medium*", "mistral-large*", "pixtral*", "ministral-*"),
        answers_anew=("magistral*",),
        region="eu",
        cheap=("mistral-small-latest",),
        strong=("mistral-large-4",),
    ),
    Vendor(
        id="groq",
        title="Groq",
        base_url="https://api.groq.com/openai/v1",
        key_variables=("GROQ_API_KEY",),
        quirks=Quirks(message_name=False, prefill=Prefill.PLAIN),
        capabilities=_SCHEMA,
        vision=_OPEN_VISION,
        reasoning=(*_OPEN_REASONING, "qwen/qwen3*"),
        answers_anew=(*_OPEN_REASONING, "qwen/qwen3*", "groq/compound*"),
        cheap=("openai/gpt-oss-20b",),
        strong=("openai/gpt-oss-120b",),
    ),
    Vendor(
        id="together",
        title="Together",
        base_url="https://api.together.xyz/v1",
        key_variables=("TOGETHER_API_KEY", "TOGETHERAI_API_KEY"),
        quirks=replace(_OLD_LIMIT, logprobs_as_count=True),
        capabilities=_SCHEMA,
        vision=_OPEN_VISION,
        reasoning=_OPEN_REASONING,
        logprobs=("*",),
        cheap=("Qwen/Qwen3.8-Flash",),
        strong=("moonshotai/Kimi-K3.1-Pro",),
    ),
    Vendor(
        id="fireworks",
        title="Fireworks",
        base_url="https://api.fireworks.ai/inference/v1",
        key_variables=("FIREWORKS_API_KEY",),
        quirks=replace(_OLD_LIMIT, most_top_logprobs=5),
        capabilities=_SCHEMA,
        vision=_OPEN_VISION,
        reasoning=_OPEN_REASONING,
        logprobs=("*",),
        cheap=("accounts/fireworks/models/deepseek-v4-flash",),
        strong=("accounts/fireworks/models/glm-5p3",),
    ),
    Vendor(
        id="openrouter",
        title="OpenRouter",
        base_url="https://openrouter.ai/api/v1",
        key_variables=("OPENROUTER_API_KEY",),
        quirks=_PLAIN_PREFILL,
        capabilities=_SCHEMA,
        vision=(
            *(f"openai/{pattern}" for pattern in _GPT_VISION),
            "anthropic/claude-*",
            "google/gemini-*",
            "x-ai/grok-4*",
            *_OPEN_VISION,
        ),
        reasoning=(
            *(f"openai/{pattern}" for pattern in _GPT_REASONING),
            "anthropic/claude-*",
            "google/gemini-*",
            "x-ai/grok-4*",
            *_OPEN_REASONING,
        ),
        continues=tuple(f"anthropic/{pattern.replace('-[0-5]', '.[0-5]')}" for pattern in _CLAUDE_PREFILL),
        cheap=("qwen/qwen3.8-flash",),
        strong=("anthropic/claude-opus-5.5",),
    ),
    Vendor(
        id="deepseek",
        title="DeepSeek",
        base_url="https://api.deepseek.com/v1",
        key_variables=("DEEPSEEK_API_KEY",),
        # Prefixes are continued below /beta only: whoever calls that sets `prefill: prefix`.
        quirks=_OLD_LIMIT,
        capabilities=_JSON,
        reasoning=("deepseek-reasoner*", "deepseek-v4*"),
        logprobs=("deepseek-chat*",),
        region="cn",
        cheap=("deepseek-v4-flash",),
        strong=("deepseek-v4-pro",),
    ),
    Vendor(
        id="dashscope",
        title="Alibaba DashScope (Qwen)",
        base_url="https://dashscope.aliyuncs.com/compatible-mode/v1",
        key_variables=("DASHSCOPE_API_KEY",),
        url_variable="DASHSCOPE_BASE_URL",
        quirks=replace(_NEVER_REQUIRES_TOOLS, unsupported=frozenset({"reasoning_effort"}), prefill=Prefill.PARTIAL),
        capabilities=_JSON,
        vision=("*-vl-*", "qvq-*", "qwen3.[5-9]*"),
        # Those that do not think unless they are told to: a model that thinks answers anew.
        continues=(
            *("qwen-max*", "qwen3-max*", "qwen-plus*", "qwen-flash*", "qwen-turbo*", "qwen*-coder*", "qwen2.5-*"),
            *("qwen-vl-max*", "qwen-vl-plus*", "qwen3-vl-plus*", "qwen3-vl-flash*", "qwen-math*"),
        ),
        answers_anew=("*thinking*",),
        region="cn",
        cheap=("qwen-flash",),
        strong=("qwen-max",),
    ),
    Vendor(
        id="moonshot",
        title="Moonshot (Kimi)",
        base_url="https://api.moonshot.cn/v1",
        key_variables=("MOONSHOT_API_KEY",),
        url_variable="MOONSHOT_BASE_URL",
        quirks=replace(_NEVER_REQUIRES_TOOLS, prefill=Prefill.PARTIAL),
        capabilities=_JSON,
        continues=("moonshot-v1-*", "kimi-k2-0*", "kimi-k2-turbo*", "kimi-k2.6*"),
        vision=("kimi-k2.[5-9]*", "kimi-k3*", "*vision*"),
        region="cn",
        cheap=("kimi-k2.6",),
        strong=("kimi-k3.1-pro",),
    ),
    Vendor(
        id="zhipu",
        title="Zhipu (GLM)",
        base_url="https://open.bigmodel.cn/api/paas/v4",
        key_variables=("ZHIPUAI_API_KEY", "ZHIPU_API_KEY", "BIGMODEL_API_KEY"),
        quirks=Quirks(
            max_tokens_field="max_tokens",
            unsupported=frozenset({"frequency_penalty", "presence_penalty", "reasoning_effort"}),
        ),
        capabilities=_JSON,
        vision=("glm-4v*", "glm-4.[5-9]v*"),
        region="cn",
        cheap=("glm-5.3-flash",),
        strong=("glm-5.3",),
    ),
    Vendor(
        id="volcengine",
        title="Volcengine Ark (Doubao)",
        base_url="https://ark.cn-beijing.volces.com/api/v3",
        key_variables=("ARK_API_KEY", "VOLCENGINE_API_KEY"),
        quirks=_PLAIN_PREFILL,
        capabilities=_JSON,
        continues=("doubao-pro-*", "doubao-lite-*", "doubao-1[-.]5-pro-*", "doubao-1[-.]5-lite-*", "deepseek-v3-2*"),
        answers_anew=("*vision*", "*thinking*"),
        vision=("doubao-seed-*", "*vision*"),
        reasoning=("doubao-seed-*",),
        region="cn",
        cheap=("doubao-seed-2-0-lite-260215",),
        strong=("doubao-seed-2-0-pro-260215",),
    ),
    Vendor(
        id="minimax",
        title="MiniMax",
        base_url="https://api.minimax.io/v1",
        key_variables=("MINIMAX_API_KEY",),
        url_variable="MINIMAX_BASE_URL",
        quirks=_OLD_LIMIT,
        capabilities=_TOOLS,
        cheap=("MiniMax-M3.1-Flash",),
        strong=("MiniMax-M3",),
    ),
    Vendor(
        id="qianfan",
        title="Baidu Qianfan (ERNIE)",
        base_url="https://qianfan.baidubce.com/v2",
        key_variables=("QIANFAN_API_KEY",),
        quirks=replace(_OLD_LIMIT, prefill=Prefill.PREFIX),
        capabilities=_JSON,
        vision=("*-vl-*", "*-vl"),
        continues=("deepseek-v3*", "deepseek-r1", "deepseek-r1-2*", "qwen3-coder-*", "qwen3-*-instruct-2507"),
        region="cn",
        cheap=("ernie-4.5-turbo-128k",),
        strong=("ernie-5.1",),
    ),
    Vendor(
        id="spark",
        title="iFlytek Spark",
        base_url="https://spark-api-open.xf-yun.com/v1",
        key_variables=("SPARK_API_PASSWORD", "SPARK_API_KEY", "IFLYTEK_API_KEY"),
        quirks=Quirks(
            max_tokens_field="max_tokens",
            stream_usage=False,
            requires_finish_reason=False,
            unsupported=frozenset({"seed", "stop", "reasoning_effort"}),
        ),
        capabilities=_JSON,
        region="cn",
        cheap=("lite",),
        strong=("4.0Ultra",),
    ),
    Vendor(
        id="siliconflow",
        title="SiliconFlow",
        base_url="https://api.siliconflow.cn/v1",
        key_variables=("SILICONFLOW_API_KEY",),
        quirks=_OLD_LIMIT,
        capabilities=_JSON,
        vision=_OPEN_VISION,
        reasoning=_OPEN_REASONING,
        region="cn",
        cheap=("Qwen/Qwen3-8B",),
        strong=("deepseek-ai/DeepSeek-V3.2",),
    ),
    Vendor(
        id="ollama",
        title="Ollama",
        base_url="http://127.0.0.1:11434/v1",
        key_variables=("OLLAMA_API_KEY",),
        key_required=False,
        url_variable="OLLAMA_HOST",
        models_variable="OLLAMA_MODEL",
        quirks=_PLAIN_PREFILL,
        capabilities=_SCHEMA,
        vision=_OPEN_VISION,
        reasoning=("gpt-oss*", "deepseek-r1*", "qwq*"),
        answers_anew=("gpt-oss*", "deepseek-r1*", "qwq*"),
        logprobs=("*",),
        region="local",
        cheap=("llama3.2",),
    ),
    Vendor(
        id="vllm",
        title="vLLM",
        base_url="http://127.0.0.1:8000/v1",
        key_variables=("VLLM_API_KEY",),
        key_required=False,
        url_variable="VLLM_BASE_URL",
        models_variable="VLLM_MODEL",
        quirks=replace(_OLD_LIMIT, prefill=Prefill.CONTINUE_FINAL),
        capabilities=_SCHEMA,
        vision=_OPEN_VISION,
        reasoning=_OPEN_REASONING,
        logprobs=("*",),
        answers_anew=_OPEN_REASONING,
        region="local",
    ),
    Vendor(
        id="lmstudio",
        title="LM Studio",
        base_url="http://127.0.0.1:1234/v1",
        key_variables=("LM_STUDIO_API_KEY",),
        key_required=False,
        url_variable="LM_STUDIO_BASE_URL",
        models_variable="LM_STUDIO_MODEL",
        quirks=_PLAIN_PREFILL,
        capabilities=_SCHEMA,
        vision=_OPEN_VISION,
        reasoning=_OPEN_REASONING,
        answers_anew=_OPEN_REASONING,
        region="local",
    ),
    Vendor(
        id="custom",
        title="Any OpenAI-compatible server",
        key_variables=("LLM_API_KEY",),
        key_required=False,
        url_variable="LLM_BASE_URL",
        models_variable="LLM_MODEL",
        quirks=_OLD_LIMIT,
        capabilities=_JSON,
    ),
)

VENDORS: Mapping[str, Vendor] = {row.id: row for row in _ROWS}
"""All presets by id, the strongest known models' vendors first."""
