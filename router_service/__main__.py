"""`python -m router_service` is `llmrouter`."""

from router_service.cli import main

main()
