"""Prices and cost in integer nano-USD."""
