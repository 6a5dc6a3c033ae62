"""Request, token and concurrency limits, budgets, providers' rates, idempotency: in process or shared in Redis."""
