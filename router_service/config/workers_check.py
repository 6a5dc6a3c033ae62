"""What several workers need, so that callers need not know which of them they reach."""

from __future__ import annotations

from router_service.config.document import Document
from router_service.config.source import Source

_IN_MEMORY = "sqlite://"


def _any_port(address: str) -> bool:
    return int(address.rpartition(":")[2]) == 0


def check_workers(source: Source, document: Document) -> None:
    """Note in the source why there cannot be more than one worker."""
    server, tokens, storage = document.server.shape, document.decision_tokens, document.storage.shape
    if server is None or server.workers == 1:
        return
    at = ("server", "workers")
    workers = f"{server.workers} workers"
    if "redis" not in source.data:
        message = (
            f"{workers} need Redis: without it each would count limits, budgets and idempotency keys by itself, so "
            "that callers get several times what they may"
        )
        source.report(at, message, 'Add `redis: {url: "redis://host:6379/0"}`, or write 1')
    keyed = tokens.shape is None or tokens.dropped or tokens.shape.key or tokens.shape.key_file
    if not keyed:
        message = f"{workers} need a key for decision tokens: what one of them signs, the others would refuse"
        source.report(at, message, 'Add `decision_tokens: {key: "${DECISION_TOKEN_KEY}"}`, or write 1')
    if storage is not None and storage.url == _IN_MEMORY:
        message = f"{workers} cannot share a database in memory: each would have its own"
        source.report(at, message, "Name a file or PostgreSQL in `storage.url`, or write 1")
    if server.http is not None and _any_port(server.http.address):
        message = f"{workers} cannot share port 0 of `http`: each would choose another"
        source.report(at, message, "Write a port in `server.http.address`, or write 1")
    if server.address.startswith("unix"):
        source.report(at, f"{workers} cannot share the socket {server.address}", "Serve on host:port, or write 1")
