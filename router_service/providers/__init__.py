"""Calling providers over HTTP: one client, one decoder, one dialect with quirks as data."""

from router_service.providers.open import ProviderPool, open_providers

__all__ = ["ProviderPool", "open_providers"]
