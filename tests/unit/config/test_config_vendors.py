"""The preset table."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest

from router_service.config.vendors import VENDORS, Vendor
from router_service.domain.deployment import Capability
from router_service.domain.vendor import Auth, Prefill


def test_every_promised_preset_is_there() -> None:
    assert set(VENDORS) == {
        *("openai", "azure", "anthropic", "gemini", "xai", "mistral", "groq", "together", "fireworks", "openrouter"),
        *("deepseek", "dashscope", "moonshot", "zhipu", "volcengine", "minimax", "qianfan", "spark", "siliconflow"),
        *("ollama", "vllm", "lmstudio", "custom"),
    }


@pytest.mark.parametrize("vendor", VENDORS.values(), ids=VENDORS)
def test_every_preset_can_be_reached_and_paid(vendor: Vendor) -> None:
    if vendor.id != "custom":
        url = urlsplit(vendor.base_url)
        assert url.scheme == "https" or url.hostname == "127.0.0.1"
        assert not vendor.base_url.endswith("/")
    assert vendor.key_variables
    assert vendor.cheap or vendor.models_variable


def test_no_two_vendors_share_a_variable() -> None:
    names = [
        name for one in VENDORS.values() for name in (*one.key_variables, one.url_variable, one.models_variable) if name
    ]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("vendor", "model", "gives"),
    [
        ("openai", "gpt-4o-mini", True),
        ("openai", "gpt-4.1-nano", True),
        ("openai", "gpt-4o-search-preview", False),
        ("openai", "o3-mini", False),
        ("openai", "gpt-6-luna", False),
        ("azure", "gpt-4o", True),
        ("deepseek", "deepseek-chat", True),
        ("deepseek", "deepseek-reasoner", False),
        ("together", "Qwen/Qwen3.8-Flash", True),
        ("vllm", "anything", True),
        ("ollama", "llama3.2", True),
        ("groq", "openai/gpt-oss-20b", False),
        ("mistral", "mistral-large-4", False),
        ("custom", "anything", False),
    ],
)
def test_only_models_known_to_give_log_probabilities_are_said_to(vendor: str, model: str, gives: bool) -> None:
    assert (Capability.LOGPROBS in VENDORS[vendor].capabilities_of(model)) is gives


def test_known_differences_from_openai_are_data() -> None:
    mistral, azure, spark = VENDORS["mistral"].quirks, VENDORS["azure"].quirks, VENDORS["spark"].quirks
    assert (mistral.max_tokens_field, mistral.seed_field, mistral.required_tool_choice, mistral.stream_usage) == (
        "max_tokens",
        "random_seed",
        "any",
        False,
    )
    assert azure.auth is Auth.API_KEY_HEADER
    assert not spark.requires_finish_reason
    assert mistral.tool_call_id_length == 9
    assert VENDORS["gemini"].quirks.unsupported >= {"seed", "frequency_penalty", "presence_penalty"}


def test_messages_have_names_where_these_are_accepted() -> None:
    assert {vendor.id for vendor in VENDORS.values() if not vendor.quirks.message_name} == {"mistral", "groq"}


@pytest.mark.parametrize("vendor", ["dashscope", "moonshot"])
def test_a_required_tool_is_only_suggested_where_it_cannot_be_required(vendor: str) -> None:
    assert VENDORS[vendor].quirks.required_tool_choice == "auto"


@pytest.mark.parametrize("vendor", ["openai", "azure"])
def test_openais_reasoning_models_get_no_sampling_parameters(vendor: str) -> None:
    assert VENDORS[vendor].quirks.unsupported_by_reasoning >= {"temperature", "top_p"}
    assert Capability.REASONING in VENDORS[vendor].capabilities_of("o4-mini")
    assert Capability.REASONING not in VENDORS[vendor].capabilities_of("gpt-4o")


@pytest.mark.parametrize(
    ("vendor", "model", "sees", "reasons"),
    [
        ("openai", "gpt-4o", True, False),
        ("openai", "gpt-3.5-turbo", False, False),
        ("openai", "o3-mini", True, True),
        ("openrouter", "openai/gpt-5", True, True),
        ("deepseek", "deepseek-chat", False, False),
        ("deepseek", "deepseek-reasoner", False, True),
        ("together", "Qwen/Qwen2.5-VL-72B-Instruct", True, False),
    ],
)
def test_vision_and_reasoning_depend_on_the_model(vendor: str, model: str, sees: bool, reasons: bool) -> None:
    found = VENDORS[vendor].capabilities_of(model)
    assert (Capability.VISION in found, Capability.REASONING in found) == (sees, reasons)


def test_only_those_that_document_it_continue_an_answer() -> None:
    ways = {vendor.id: vendor.quirks.prefill for vendor in VENDORS.values()}
    assert {name: way for name, way in ways.items() if way is not Prefill.NONE} == {
        **dict.fromkeys(("anthropic", "groq", "openrouter", "volcengine", "ollama", "lmstudio"), Prefill.PLAIN),
        **dict.fromkeys(("mistral", "qianfan"), Prefill.PREFIX),
        **dict.fromkeys(("dashscope", "moonshot"), Prefill.PARTIAL),
        "vllm": Prefill.CONTINUE_FINAL,
    }


@pytest.mark.parametrize(
    ("vendor", "model", "prefills"),
    [
        ("anthropic", "claude-3-5-sonnet-20241022", True),
        ("anthropic", "claude-sonnet-4-20250514", True),
        ("anthropic", "claude-haiku-4-5-20251001", True),
        ("anthropic", "claude-sonnet-4-6", False),
        ("anthropic", "claude-opus-4-6-20260205", False),
        ("anthropic", "claude-opus-5-5", False),
        ("anthropic", "claude-opus-5-4-20270101", False),
        ("openrouter", "anthropic/claude-3.5-sonnet", True),
        ("openrouter", "anthropic/claude-sonnet-4.5", True),
        ("openrouter", "anthropic/claude-opus-4.6", False),
        ("openrouter", "openai/gpt-4o", False),
        ("openai", "gpt-4o", False),
        ("azure", "gpt-4o", False),
        ("gemini", "gemini-2.5-flash", False),
        ("deepseek", "deepseek-chat", False),
        ("mistral", "mistral-small-latest", True),
        ("mistral", "magistral-medium", False),
        ("groq", "llama-3.3-70b-versatile", True),
        ("groq", "openai/gpt-oss-20b", False),
        ("dashscope", "qwen-plus", True),
        ("dashscope", "qwen3.5-plus", False),
        ("dashscope", "qwen3-235b-a22b-thinking-2507", False),
        ("moonshot", "moonshot-v1-32k", True),
        ("moonshot", "kimi-k2-thinking", False),
        ("vllm", "meta-llama/Llama-3.1-8B-Instruct", True),
        ("vllm", "openai/gpt-oss-20b", False),
        ("ollama", "llama3.2", True),
    ],
)
def test_whether_an_answer_is_continued_depends_on_the_model(vendor: str, model: str, prefills: bool) -> None:
    assert VENDORS[vendor].prefills(model) is prefills
