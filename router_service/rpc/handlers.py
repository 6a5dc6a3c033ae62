"""gRPC method handlers: the function behind one, the same handler with another function, and layers around it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

import grpc
import grpc.aio

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


class Layer(grpc.aio.ServerInterceptor, ABC):
    """An interceptor that wraps the handler of a method once, not once a call."""

    def __init__(self) -> None:
        self._wrapped: dict[str, tuple[Handler, Handler]] = {}

    @abstractmethod
    def wrap(self, method: str, handler: Handler) -> Handler:
        """The handler to use instead; `method` is such as "/package.Service/Method"."""

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        """Wrap the handler that the next interceptor found."""
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        method = handler_call_details.method
        known = self._wrapped.get(method)
        if known is None or known[0] is not handler:
            known = self._wrapped[method] = (handler, self.wrap(method, handler))
        return known[1]


class Layers(Layer):
    """Several layers as one, the outermost first: grpc then asks one interceptor a call."""

    def __init__(self, *layers: Layer) -> None:
        super().__init__()
        self._layers = layers

    def wrap(self, method: str, handler: Handler) -> Handler:
        """The handler within all layers."""
        for layer in reversed(self._layers):
            handler = layer.wrap(method, handler)
        return handler
