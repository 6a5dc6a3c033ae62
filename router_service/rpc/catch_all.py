"""The layer through which every error leaves: nothing unexpected reaches a client as it was raised."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any, NoReturn

import grpc.aio
from google.protobuf.message import DecodeError

from router_service.domain.error import InvalidRequest, RouterError, Violation
from router_service.edge.unexpected import log_unexpected
from router_service.rpc.errors import FailedCall, refusal
from router_service.rpc.handlers import Behavior, Deserializer, Handler, Layer, behavior_of, with_behavior
from router_service.rpc.ports import Context
from router_service.rpc.request_id import assigned_request_id

logger = logging.getLogger("llmrouter.rpc")


class CatchAll(Layer):
    """Turns whatever a handler raises into a status, and refuses requests that are not protobuf.

    Layers outside it see the final status. Handlers raise, they never abort.
    """

    def wrap(self, method: str, handler: Handler) -> Handler:
        """The handler, of whatever kind, with its errors translated."""
        behavior = behavior_of(handler)
        if handler.request_streaming:
            # The iterator parses as it goes, inside grpc.
            return with_behavior(handler, _guard(behavior, None), handler.request_deserializer)
        return with_behavior(handler, _guard(behavior, handler.request_deserializer), None)


def _guard(behavior: Behavior, parse: Deserializer | None) -> Behavior:
    # grpc looks at the function's kind to tell a writing coroutine from a generator: each needs a guard of its kind.
    if inspect.isasyncgenfunction(behavior):

        async def guarded_generator(request: Any, context: Context) -> AsyncIterator[Any]:
            try:
                async with aclosing(behavior(_parsed(request, parse), context)) as responses:
                    async for response in responses:
                        yield response
            except grpc.aio.AbortError:
                raise
            except Exception as error:
                await _refuse(context, error)

        return guarded_generator

    async def guarded_coroutine(request: Any, context: Context) -> Any:
        try:
            return await behavior(_parsed(request, parse), context)
        except grpc.aio.AbortError:
            raise
        except Exception as error:
            await _refuse(context, error)

    return guarded_coroutine


def _parsed(request: Any, parse: Deserializer | None) -> Any:
    if parse is None:
        return request
    try:
        return parse(request)
    except DecodeError as error:
        raise InvalidRequest([Violation("request", "is not the protobuf message of this method")]) from error


async def _refuse(context: Context, error: Exception) -> NoReturn:
    try:
        await _abort(context, error)
    except grpc.aio.InternalError:
        # The caller is gone, so the status cannot be sent. Left to itself, grpc would log the whole chain of errors.
        raise asyncio.CancelledError from None


async def _abort(context: Context, error: Exception) -> NoReturn:
    if isinstance(error, grpc.aio.InternalError):
        raise error
    request_id = assigned_request_id(context)
    cause = error.error if isinstance(error, FailedCall) else error
    if not isinstance(cause, RouterError):
        log_unexpected(logger, f"Call {request_id}", cause)
    try:
        refused = refusal(error, request_id=request_id)
    except Exception as defect:  # such as a receipt whose numbers no message holds
        log_unexpected(logger, f"Call {request_id}", defect)
        dispatched = isinstance(error, FailedCall) and error.dispatched
        refused = refusal(RuntimeError(), request_id=request_id, dispatched=dispatched)
    await context.abort(refused.code, refused.message, refused.trailing_metadata)
