"""The client for asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Self, TypeVar, Unpack

import grpc
from grpc import aio

from llmrouter.answer import Answer, StreamEvent, answer_of, event_of
from llmrouter.calls import Calls, Outgoing
from llmrouter.channel import channel_options, target_of
from llmrouter.credentials import key_for
from llmrouter.errors import router_error
from llmrouter.options import (
    BudgetOptions,
    CallOptions,
    CompleteOptions,
    FeedbackOptions,
    KeyOptions,
    Prompt,
    RouteOptions,
    UsageOptions,
)
from llmrouter.v1.admin_service_pb2 import ApiKey, CreateKeyResponse, RotateKeyResponse
from llmrouter.v1.admin_service_pb2_grpc import AdminServiceStub
from llmrouter.v1.model_pb2 import Deployment
from llmrouter.v1.receipt_pb2 import Receipt
from llmrouter.v1.router_service_pb2 import (
    GetBudgetResponse,
    QueryUsageResponse,
    RecordFeedbackResponse,
    RouteResponse,
    StreamCompleteRequest,
    StreamCompleteResponse,
)
from llmrouter.v1.router_service_pb2_grpc import RouterServiceStub
from llmrouter.v1.stream_pb2 import Finished, TextDelta
from llmrouter.v1.usage_pb2 import Allowance

RequestT = TypeVar("RequestT")
ResponseT = TypeVar("ResponseT")


class AsyncClient:
    """Calls a router from asyncio. Use it as `async with AsyncClient.connect("localhost:50051") as router:`.

    All methods raise `RouterError`, or one of its subclasses by status.
    """

    def __init__(self, channel: aio.Channel, *, api_key: str | None = None, timeout: float = 60.0) -> None:
        self._channel = channel
        self._stub = RouterServiceStub(channel)
        self._admin = AdminServiceStub(channel)
        self._calls = Calls(api_key=api_key, timeout=timeout)

    @classmethod
    def connect(
        cls,
        address: str,
        *,
        api_key: str | None = None,
        tls: grpc.ChannelCredentials | None = None,
        timeout: float = 60.0,
        plaintext_key: bool = False,
    ) -> Self:
        """A client for "host:port" (or any gRPC target); nothing is sent yet.

        Without `tls` the connection is plaintext. `timeout` is the default deadline of a call in seconds. `api_key`
        defaults to LLMROUTER_API_KEY of the environment; over plaintext it is sent to this machine only, unless
        `plaintext_key`. Raises `ValueError` otherwise.
        """
        target, options = target_of(address), channel_options()
        api_key = key_for(target, api_key, tls=tls is not None, plaintext=plaintext_key)
        channel = aio.insecure_channel(target, options) if tls is None else aio.secure_channel(target, tls, options)
        return cls(channel, api_key=api_key, timeout=timeout)

    async def route(self, prompt: Prompt, **options: Unpack[RouteOptions]) -> RouteResponse:
        """The decision alone: nothing is called upstream and nothing is paid."""
        return await _send(self._stub.Route, self._calls.route(prompt, options))

    async def complete(self, prompt: Prompt, **options: Unpack[CompleteOptions]) -> Answer:
        """The whole answer at once."""
        response = await _send(self._stub.Complete, self._calls.complete(prompt, options))
        return answer_of(response)

    def stream(self, prompt: Prompt, **options: Unpack[CompleteOptions]) -> AsyncStream:
        """The answer event by event. Use it with `async with`, so that leaving early cancels the call."""
        outgoing = self._calls.stream(prompt, options)
        call = self._stub.StreamComplete(outgoing.request, timeout=outgoing.timeout, metadata=outgoing.metadata)
        return AsyncStream(call, outgoing.request_id)

    async def receipt(self, request_id: str, **options: Unpack[CallOptions]) -> Receipt:
        """The full account of an earlier call, also of one that failed or was cancelled."""
        return (await _send(self._stub.GetReceipt, self._calls.receipt(request_id, options))).receipt

    async def record_feedback(self, request_id: str, **options: Unpack[FeedbackOptions]) -> RecordFeedbackResponse:
        """Say what somebody made of the answer of an earlier call; it may be said again, and said anew."""
        return await _send(self._stub.RecordFeedback, self._calls.record_feedback(request_id, options))

    async def models(self, **options: Unpack[CallOptions]) -> list[Deployment]:
        """All deployments that can be called, ordered by id."""
        deployments: list[Deployment] = []
        page_token = ""
        while True:
            page = await _send(self._stub.ListModels, self._calls.models(page_token, options))
            deployments.extend(page.deployments)
            page_token = page.next_page_token
            if not page_token:
                return deployments

    async def usage(self, **options: Unpack[UsageOptions]) -> QueryUsageResponse:
        """What was used and what it cost: all groups, the dearest first, and their total."""
        usage = QueryUsageResponse()
        while True:
            page = await _send(self._stub.QueryUsage, self._calls.usage(usage.next_page_token, options))
            rows = [*usage.rows, *page.rows]
            usage = QueryUsageResponse(rows=rows, total=page.total, next_page_token=page.next_page_token)
            if not usage.next_page_token:
                return usage

    async def budget(self, **options: Unpack[BudgetOptions]) -> list[Allowance]:
        """How the caller stands with every limit and budget that applies."""
        return list((await self.standing(**options)).allowances)

    async def standing(self, **options: Unpack[BudgetOptions]) -> GetBudgetResponse:
        """What `budget` and `shadow_caps` say, in one call."""
        return await _send(self._stub.GetBudget, self._calls.budget(options))

    async def shadow_caps(self, **options: Unpack[CallOptions]) -> list[Allowance]:
        """How far the caps of shadow calls are spent, by the shadows' ids. For administrators; others get none."""
        return list((await _send(self._stub.GetBudget, self._calls.shadow_caps(options))).shadow_caps)

    async def create_key(self, name: str, **options: Unpack[KeyOptions]) -> CreateKeyResponse:
        """Make an API key; `secret_key` is in this response and nowhere else. For administrators."""
        return await _send(self._admin.CreateKey, self._calls.create_key(name, options))

    async def keys(self, tenant: str = "", **options: Unpack[CallOptions]) -> list[ApiKey]:
        """One tenant's keys, or all that the caller may administer, the latest first."""
        keys: list[ApiKey] = []
        page_token = ""
        while True:
            page = await _send(self._admin.ListKeys, self._calls.keys(tenant, page_token, options))
            keys.extend(page.keys)
            page_token = page.next_page_token
            if not page_token:
                return keys

    async def rotate_key(
        self, public_id: str, *, overlap: float = 86_400.0, **options: Unpack[CallOptions]
    ) -> RotateKeyResponse:
        """Make a key that may what the old one may, which holds for `overlap` more seconds, at least one."""
        return await _send(self._admin.RotateKey, self._calls.rotate_key(public_id, overlap, options))

    async def revoke_key(self, public_id: str, **options: Unpack[CallOptions]) -> ApiKey:
        """End a key for good."""
        return (await _send(self._admin.RevokeKey, self._calls.revoke_key(public_id, options))).key

    async def aclose(self) -> None:
        """Close the connection; calls in progress are cancelled."""
        await self._channel.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


class AsyncStream:
    """The events of one answer, `Decision` first and `Finished` last.

    `finished` is the last event once it has arrived; a failed stream has one too, with the receipt, before its
    `RouterError` is raised. `request_id` finds the receipt of a stream that was closed early.
    """

    def __init__(
        self, call: aio.UnaryStreamCall[StreamCompleteRequest, StreamCompleteResponse], request_id: str
    ) -> None:
        self._call = call
        self._responses = aiter(call)
        self._closed = False
        self.request_id = request_id
        self.finished: Finished | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> StreamEvent:
        while True:
            event = event_of(await self._next_response())
            if isinstance(event, Finished):
                self.finished = event
            if event is not None:
                return event

    async def text(self) -> AsyncIterator[str]:
        """The answer's text alone, piece by piece."""
        async for event in self:
            if isinstance(event, TextDelta):
                yield event.text

    async def aclose(self) -> None:
        """Stop reading; an answer in progress is cancelled, at the provider too."""
        self._closed = True
        self._call.cancel()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def _next_response(self) -> StreamCompleteResponse:
        try:
            return await anext(self._responses)
        except grpc.RpcError as error:
            raise router_error(error, self.request_id) from error
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if self._closed and task is not None and not task.cancelling():
                # Another task closed the stream; this one was not cancelled.
                raise StopAsyncIteration from None
            raise


async def _send(method: aio.UnaryUnaryMultiCallable[RequestT, ResponseT], outgoing: Outgoing[RequestT]) -> ResponseT:
    try:
        return await method(outgoing.request, timeout=outgoing.timeout, metadata=outgoing.metadata)
    except grpc.RpcError as error:
        raise router_error(error, outgoing.request_id) from error
