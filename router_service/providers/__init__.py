"""Calling providers over HTTP: one client, one decoder, one dialect with quirks as data."""

from router_service.providers.open import ProviderPool

__all__ = ["ProviderPool"]
