"""One call from top to bottom: assess, decide, attempt, account."""
