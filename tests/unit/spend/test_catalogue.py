import subprocess
import sys
from datetime import UTC, date, datetime
from decimal import Decimal
from importlib.metadata import version

import pytest
from genai_prices import Usage as CatalogueUsage
from genai_prices import calc_price
from genai_prices.data_snapshot import get_snapshot

from router_service.domain.deployment import Price, Rate
from router_service.domain.money import Usage
from router_service.spend.catalogue import catalogue_facts
from router_service.spend.cost import cost

DAY = date(2026, 11, 10)


def price_of(vendor: str, model: str, on: date = DAY) -> Price:
    facts = catalogue_facts(vendor, model, on=on)
    assert facts is not None
    assert facts.price is not None
    return facts.price


def test_prices_are_whole_nano_usd_per_million_tokens() -> None:
    facts = catalogue_facts("openai", "gpt-4o-mini", on=DAY)
    assert facts is not None
    assert facts.context_window == 128_000
    assert facts.price == Price(
        input=Rate(150_000_000),
        output=Rate(600_000_000),
        cached_input=Rate(75_000_000),
        cache_write=Rate(150_000_000),
        version=f"genai-prices {version('genai-prices')}",
    )


def test_long_prompts_have_their_own_tier() -> None:
    rate = price_of("gemini", "gemini-2.5-pro").input
    assert rate.at(200_001) > rate.at(200_000) == rate.base


@pytest.mark.parametrize(
    ("vendor", "catalogue_id", "model"),
    [
        ("openai", "openai", "gpt-4o"),
        ("openai", "openai", "gpt-4o-mini-2024-07-18"),
        ("azure", "azure", "gpt-4o"),
        ("anthropic", "anthropic", "claude-sonnet-4-5"),
        ("gemini", "google", "gemini-2.5-pro"),
        ("xai", "x-ai", "grok-4"),
        ("mistral", "mistral", "mistral-large-latest"),
        ("moonshot", "moonshotai", "kimi-k2-0905-preview"),
        ("minimax", "minimax", "MiniMax-M2"),
    ],
)
@pytest.mark.parametrize(
    "usage",
    [
        Usage(input_tokens=1_234, output_tokens=567, cached_input_tokens=789),
        Usage(input_tokens=300_001, output_tokens=11, cached_input_tokens=100_000),
    ],
)
def test_costs_equal_those_of_the_catalogue_itself(vendor: str, catalogue_id: str, model: str, usage: Usage) -> None:
    theirs = calc_price(
        CatalogueUsage(
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
            cache_read_tokens=usage.cached_input_tokens,
        ),
        model,
        provider_id=catalogue_id,
        genai_request_timestamp=datetime(DAY.year, DAY.month, DAY.day, tzinfo=UTC),
    ).total_price
    assert abs(cost(usage, price_of(vendor, model)).total - theirs * 10**9) <= Decimal("0.5")


def test_missing_cache_prices_are_the_input_price() -> None:
    listed = get_snapshot().find_provider_model("grok-4", None, "x-ai", None)[1].get_prices(datetime.now(UTC))
    assert listed.cache_write_mtok is None
    price = price_of("xai", "grok-4")
    assert price.cache_write == price.input


def test_price_is_that_of_the_day() -> None:
    assert price_of("openai", "o3", on=date(2025, 6, 9)).input == Rate(10_000_000_000)
    assert price_of("openai", "o3", on=date(2025, 6, 10)).input == Rate(2_000_000_000)


def test_price_that_changes_during_the_day_is_the_dearest() -> None:
    assert price_of("deepseek", "deepseek-chat").input == Rate(270_000_000)


@pytest.mark.parametrize("vendor", ["ollama", "vllm", "lmstudio", "custom", "dashscope", "siliconflow", "no-such"])
def test_vendors_outside_the_catalogue_are_unpriced_not_free(vendor: str) -> None:
    assert catalogue_facts(vendor, "gpt-4o") is None


def test_unknown_model_is_unpriced() -> None:
    assert catalogue_facts("openai", "gpt-unheard-of") is None


def test_empty_price_list_is_not_a_price_of_zero() -> None:
    facts = catalogue_facts("openrouter", "stealth/crouton-alpha", on=DAY)
    assert facts is not None
    assert facts.price is None


def test_model_sold_as_free_costs_nothing() -> None:
    price = price_of("openrouter", "openai/gpt-oss-20b:free")
    assert (price.input, price.output) == (Rate(0), Rate(0))


def test_facts_are_remembered() -> None:
    assert catalogue_facts("openai", "gpt-4o", on=DAY) is catalogue_facts("openai", "gpt-4o", on=DAY)


def test_importing_the_module_does_not_import_the_catalogue() -> None:
    code = "import sys, router_service.spend.catalogue; sys.exit('genai_prices' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
