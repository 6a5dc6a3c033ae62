"""gRPC method handlers: the function behind one, and the same handler with another function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import grpc

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Behavior: TypeAlias = Callable[..., Any]
Deserializer: TypeAlias = Callable[[bytes], Any]


def behavior_of(handler: Handler) -> Behavior:
    """The coroutine function or generator function behind a handler."""
    if handler.request_streaming:
        behavior: Behavior | None = handler.stream_stream if handler.response_streaming else handler.stream_unary
    else:
        behavior = handler.unary_stream if handler.response_streaming else handler.unary_unary
    if behavior is None:
        raise TypeError("A method handler without a function serves nothing.")
    return behavior


def with_behavior(handler: Handler, behavior: Behavior, deserializer: Deserializer | None) -> Handler:
    """A handler of the same kind with another function and parser; without a parser it is given bytes."""
    if handler.request_streaming:
        make: Callable[..., Handler] = (
            grpc.stream_stream_rpc_method_handler
            if handler.response_streaming
            else grpc.stream_unary_rpc_method_handler
        )
    else:
        make = (
            grpc.unary_stream_rpc_method_handler if handler.response_streaming else grpc.unary_unary_rpc_method_handler
        )
    return make(behavior, request_deserializer=deserializer, response_serializer=handler.response_serializer)


class WrappedHandlers:
    """Wraps each method's handler once, not once a call."""

    def __init__(self, wrap: Callable[[Handler], Handler]) -> None:
        self._wrap = wrap
        self._wrapped: dict[str, tuple[Handler, Handler]] = {}

    def get(self, method: str, handler: Handler) -> Handler:
        """The wrapped handler of a method."""
        known = self._wrapped.get(method)
        if known is None or known[0] is not handler:
            known = self._wrapped[method] = (handler, self._wrap(handler))
        return known[1]
