"""The OpenAI-compatible edge: HTTP server, JSON to domain and back, the one error translator; health and metrics."""
