"""A thin client of the llmrouter API: `AsyncClient` for asyncio, `Client` for threads."""

from llmrouter.answer import Answer, StreamEvent
from llmrouter.async_client import AsyncClient, AsyncStream
from llmrouter.client import Client, Stream
from llmrouter.errors import (
    Cancelled,
    DeadlineExceeded,
    FailedPrecondition,
    Internal,
    InvalidRequest,
    NotFound,
    PermissionDenied,
    RateLimited,
    RouterError,
    Unauthenticated,
    Unavailable,
    Violation,
)

__all__ = [
    "Answer",
    "AsyncClient",
    "AsyncStream",
    "Cancelled",
    "Client",
    "DeadlineExceeded",
    "FailedPrecondition",
    "Internal",
    "InvalidRequest",
    "NotFound",
    "PermissionDenied",
    "RateLimited",
    "RouterError",
    "Stream",
    "StreamEvent",
    "Unauthenticated",
    "Unavailable",
    "Violation",
]
