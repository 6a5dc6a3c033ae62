"""The servers that some of these tests need beside the router."""

from tests.contract.conftest import redis

__all__ = ["redis"]
