"""Public prices and context windows, from the snapshot that comes with genai-prices. Nothing is fetched."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time
from decimal import ROUND_HALF_EVEN, Decimal
from functools import cache
from importlib.metadata import version
from typing import TYPE_CHECKING

from router_service.domain.deployment import ModelFacts, Price, Rate

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, ModelPrice, TieredPrices

_CATALOGUE_IDS = {
    "openai": "openai",
    "azure": "azure",
    "anthropic": "anthropic",
    "gemini": "google",
    "xai": "x-ai",
    "mistral": "mistral",
    "groq": "groq",
    "together": "together",
    "fireworks": "fireworks",
    "openrouter": "openrouter",
    "deepseek": "deepseek",
    "moonshot": "moonshotai",
    "zhipu": "zhipuai",
    "minimax": "minimax",
}
"""Our vendors by their genai-prices provider. It knows nothing of the others (DashScope, Volcengine, Qianfan, Spark,
SiliconFlow), and what one's own machines cost is no list price: those models are unpriced until the file says."""

_NANO_PER_USD = 1_000_000_000


def catalogue_facts(vendor: str, model: str, *, on: date | None = None) -> ModelFacts | None:
    """What the catalogue knows of a vendor's model at the prices of the day `on` (UTC; by default today).

    `None` where it does not know the model. The facts' `price` is `None` where the catalogue lists no price for
    tokens in and out: an empty list is not a price of 0. Where prices change during the day, the day's dearest
    applies. The first call imports the catalogue, which takes about 0.4 s.
    """
    return _facts(vendor, model, on or datetime.now(UTC).date())


@cache
def _facts(vendor: str, model: str, day: date) -> ModelFacts | None:
    catalogue_id = _CATALOGUE_IDS.get(vendor)
    if catalogue_id is None:
        return None
    from genai_prices.data_snapshot import get_snapshot  # noqa: PLC0415 - 0.4 s that most commands need not pay

    try:
        _, found = get_snapshot().find_provider_model(model, None, catalogue_id, None)
    except LookupError:
        return None
    return ModelFacts(price=_price(found, day), context_window=found.context_window)


def _price(model: ModelInfo, day: date) -> Price | None:
    free = model.id.endswith(":free")
    listed = (_converted(model.get_prices(moment), free=free) for moment in _changes(model, day))
    prices = [price for price in listed if price is not None]
    return max(prices, key=lambda price: (price.input.base, price.output.base), default=None)


def _changes(model: ModelInfo, day: date) -> Iterator[datetime]:
    """The times of the day at which a price may change, its beginning among them."""
    yield datetime.combine(day, time(0), UTC)
    if isinstance(model.prices, list):
        for conditional in model.prices:
            for bound in ("start_time", "end_time"):
                moment: time | None = getattr(conditional.constraint, bound, None)
                if moment is not None:
                    yield datetime.combine(day, moment, moment.tzinfo or UTC)


def _converted(listed: ModelPrice, *, free: bool) -> Price | None:
    amounts = (listed.input_mtok, listed.output_mtok)
    if free and amounts == (None, None):
        # "model:free" is a name for a model at no charge; the catalogue gives it no numbers.
        amounts = (Decimal(0), Decimal(0))
    if amounts[0] is None or amounts[1] is None:
        return None
    input_rate = _rate(amounts[0])
    return Price(
        input=input_rate,
        output=_rate(amounts[1]),
        cached_input=input_rate if listed.cache_read_mtok is None else _rate(listed.cache_read_mtok),
        cache_write=input_rate if listed.cache_write_mtok is None else _rate(listed.cache_write_mtok),
        version=f"genai-prices {version('genai-prices')}",
    )


def _rate(usd_per_million: Decimal | TieredPrices) -> Rate:
    if isinstance(usd_per_million, Decimal):
        return Rate(_nano(usd_per_million))
    return Rate(
        _nano(usd_per_million.base),
        tuple((tier.start, _nano(tier.price)) for tier in usd_per_million.tiers),
    )


def _nano(usd: Decimal) -> int:
    return int((usd * _NANO_PER_USD).to_integral_value(ROUND_HALF_EVEN))
