"""Who calls, and what they may: API keys, tokens of an issuer, client certificates."""
