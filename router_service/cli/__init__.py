"""The command `llmrouter`."""

from router_service.cli.main import main

__all__ = ["main"]
