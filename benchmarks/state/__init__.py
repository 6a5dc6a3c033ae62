"""Money and shared state: budgets, holds and the ledger against the provider's journal, whatever dies meanwhile."""
