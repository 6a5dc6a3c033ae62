"""The client for threads."""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType
from typing import Self, TypeVar, Unpack, cast

import grpc

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
    StreamCompleteResponse,
)
from llmrouter.v1.router_service_pb2_grpc import RouterServiceStub
from llmrouter.v1.stream_pb2 import Finished, TextDelta
from llmrouter.v1.usage_pb2 import Allowance

RequestT = TypeVar("RequestT")
ResponseT = TypeVar("ResponseT")


class Client:
    """Calls a router and waits. Use it as `with Client.connect("localhost:50051") as router:`; threads may share it.

    All methods raise `RouterError`, or one of its subclasses by status.
    """

    def __init__(self, channel: grpc.Channel, *, api_key: str | None = None, timeout: float = 60.0) -> None:
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
        channel = grpc.insecure_channel(target, options) if tls is None else grpc.secure_channel(target, tls, options)
        return cls(channel, api_key=api_key, timeout=timeout)

    def route(self, prompt: Prompt, **options: Unpack[RouteOptions]) -> RouteResponse:
        """The decision alone: nothing is called upstream and nothing is paid."""
        return _send(self._stub.Route, self._calls.route(prompt, options))

    def complete(self, prompt: Prompt, **options: Unpack[CompleteOptions]) -> Answer:
        """The whole answer at once."""
        return answer_of(_send(self._stub.Complete, self._calls.complete(prompt, options)))

    def stream(self, prompt: Prompt, **options: Unpack[CompleteOptions]) -> Stream:
        """The answer event by event. Use it with `with`, so that leaving early cancels the call."""
        outgoing = self._calls.stream(prompt, options)
        call = self._stub.StreamComplete(outgoing.request, timeout=outgoing.timeout, metadata=outgoing.metadata)
        return Stream(call, outgoing.request_id)

    def receipt(self, request_id: str, **options: Unpack[CallOptions]) -> Receipt:
        """The full account of an earlier call, also of one that failed or was cancelled."""
        return _send(self._stub.GetReceipt, self._calls.receipt(request_id, options)).receipt

    def record_feedback(self, request_id: str, **options: Unpack[FeedbackOptions]) -> RecordFeedbackResponse:
        """Say what somebody made of the answer of an earlier call; it may be said again, and said anew."""
        return _send(self._stub.RecordFeedback, self._calls.record_feedback(request_id, options))

    def models(self, **options: Unpack[CallOptions]) -> list[Deployment]:
        """All deployments that can be called, ordered by id."""
        deployments: list[Deployment] = []
        page_token = ""
        while True:
            page = _send(self._stub.ListModels, self._calls.models(page_token, options))
            deployments.extend(page.deployments)
            page_token = page.next_page_token
            if not page_token:
                return deployments

    def usage(self, **options: Unpack[UsageOptions]) -> QueryUsageResponse:
        """What was used and what it cost: all groups, the dearest first, and their total."""
        usage = QueryUsageResponse()
        while True:
            page = _send(self._stub.QueryUsage, self._calls.usage(usage.next_page_token, options))
            rows = [*usage.rows, *page.rows]
            usage = QueryUsageResponse(rows=rows, total=page.total, next_page_token=page.next_page_token)
            if not usage.next_page_token:
                return usage

    def budget(self, **options: Unpack[BudgetOptions]) -> list[Allowance]:
        """How the caller stands with every limit and budget that applies."""
        return list(self.standing(**options).allowances)

    def standing(self, **options: Unpack[BudgetOptions]) -> GetBudgetResponse:
        """What `budget` and `shadow_caps` say, in one call."""
        return _send(self._stub.GetBudget, self._calls.budget(options))

    def shadow_caps(self, **options: Unpack[CallOptions]) -> list[Allowance]:
        """How far the caps of shadow calls are spent, by the shadows' ids. For administrators; others get none."""
        return list((_send(self._stub.GetBudget, self._calls.shadow_caps(options))).shadow_caps)

    def create_key(self, name: str, **options: Unpack[KeyOptions]) -> CreateKeyResponse:
        """Make an API key; `secret_key` is in this response and nowhere else. For administrators."""
        return _send(self._admin.CreateKey, self._calls.create_key(name, options))

    def keys(self, tenant: str = "", **options: Unpack[CallOptions]) -> list[ApiKey]:
        """One tenant's keys, or all that the caller may administer, the latest first."""
        keys: list[ApiKey] = []
        page_token = ""
        while True:
            page = _send(self._admin.ListKeys, self._calls.keys(tenant, page_token, options))
            keys.extend(page.keys)
            page_token = page.next_page_token
            if not page_token:
                return keys

    def rotate_key(
        self, public_id: str, *, overlap: float = 86_400.0, **options: Unpack[CallOptions]
    ) -> RotateKeyResponse:
        """Make a key that may what the old one may, which holds for `overlap` more seconds, at least one."""
        return _send(self._admin.RotateKey, self._calls.rotate_key(public_id, overlap, options))

    def revoke_key(self, public_id: str, **options: Unpack[CallOptions]) -> ApiKey:
        """End a key for good."""
        return (_send(self._admin.RevokeKey, self._calls.revoke_key(public_id, options))).key

    def close(self) -> None:
        """Close the connection; calls in progress are cancelled."""
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Stream:
    """The events of one answer, `Decision` first and `Finished` last.

    `finished` is the last event once it has arrived; a failed stream has one too, with the receipt, before its
    `RouterError` is raised. `request_id` finds the receipt of a stream that was closed early.
    """

    def __init__(self, call: Iterator[StreamCompleteResponse], request_id: str) -> None:
        self._responses = call
        self._closed = False
        self.request_id = request_id
        self.finished: Finished | None = None

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> StreamEvent:
        while True:
            event = event_of(self._next_response())
            if isinstance(event, Finished):
                self.finished = event
            if event is not None:
                return event

    def text(self) -> Iterator[str]:
        """The answer's text alone, piece by piece."""
        for event in self:
            if isinstance(event, TextDelta):
                yield event.text

    def close(self) -> None:
        """Stop reading, from any thread; an answer in progress is cancelled, at the provider too."""
        self._closed = True
        cast(grpc.Call, self._responses).cancel()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _next_response(self) -> StreamCompleteResponse:
        try:
            return next(self._responses)
        except grpc.RpcError as error:
            if self._closed:
                raise StopIteration from None
            raise router_error(error, self.request_id) from error


def _send(method: grpc.UnaryUnaryMultiCallable[RequestT, ResponseT], outgoing: Outgoing[RequestT]) -> ResponseT:
    try:
        return method(outgoing.request, timeout=outgoing.timeout, metadata=outgoing.metadata)
    except grpc.RpcError as error:
        raise router_error(error, outgoing.request_id) from error
