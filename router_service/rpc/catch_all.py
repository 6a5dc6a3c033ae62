"""The layer through which every error leaves: nothing unexpected reaches a client as it was raised."""

from __future__ import annotations

import asyncio
import inspect
import logging
import traceback
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any, NoReturn

import grpc.aio
from google.protobuf.message import DecodeError

from router_service.domain.error import InvalidRequest, RouterError, Violation
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
        _log(request_id, cause)
    try:
        refused = refusal(error, request_id=request_id)
    except Exception as defect:  # such as a receipt whose numbers no message holds
        _log(request_id, defect)
        dispatched = isinstance(error, FailedCall) and error.dispatched
        refused = refusal(RuntimeError(), request_id=request_id, dispatched=dispatched)
    await context.abort(refused.code, refused.message, refused.trailing_metadata)


def _log(request_id: str, error: BaseException) -> None:
    """Log what failed and where. The words of foreign exceptions may quote a prompt: they are for debugging only."""
    logger.error("Call %s failed unexpectedly.\n%s", request_id, "".join(_origins(error)))
    logger.debug("Call %s failed with:", request_id, exc_info=error)


def _origins(error: BaseException) -> list[str]:
    lines = [f"{type(error).__module__}.{type(error).__qualname__} at\n", *traceback.format_tb(error.__traceback__)]
    earlier = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return lines if earlier is None else [*_origins(earlier), "which led to ", *lines]
