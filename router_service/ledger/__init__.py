"""The ledger: an intent before every dispatch, one terminal row after it, and what can be asked of both."""
