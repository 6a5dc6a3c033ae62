"""`POST /v1/chat/completions`: JSON in, one call of the engine, JSON or a stream of chunks out."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from router_service.domain.call import Call
from router_service.domain.error import Cancelled, Draining, PermissionDenied, RouterError
from router_service.domain.identity import Identity, IdentityKind
from router_service.domain.receipt import Receipt
from router_service.edge.admission import ended_by_draining
from router_service.edge.deadline import planned
from router_service.edge.deduplication import Deduplication
from router_service.edge.ports import CallEngine
from router_service.edge.reader import CallRecord
from router_service.edge.unexpected import log_unexpected
from router_service.limits.idempotency import Idempotency
from router_service.telemetry.tracing import current_trace_id
from router_service.web.allowances import Allowances, limit_headers
from router_service.web.errors import BadHttp, FailedCall, refusal
from router_service.web.exchange import Exchange
from router_service.web.names import Names
from router_service.web.receipts import account, account_headers, choice_headers
from router_service.web.requests import PREFIX, Asked, asked
from router_service.web.responses import JsonAnswers, KeyedRequest, encoded
from router_service.web.stream import EVENT_STREAM, EventWriter, Opening

logger = logging.getLogger("llmrouter.web")

BODY_TIMEOUT = 30.0
WRITE_TIMEOUT = 60.0
# In which the unmodified clients say how long they wait for a whole answer, in seconds.
_CLIENT_TIMEOUTS = ("x-stainless-read-timeout", "x-stainless-timeout")
_REPEATED = ("x-llmrouter-repeated", "true")


class ChatCompletions:
    """Serves chat completions over an engine.

    `max_body` is in bytes; `default_deadline`, `body_timeout` and `write_timeout` are in seconds: what a call may take
    that brings no deadline, how long a body may be on its way, and how long a stream waits for a caller that stopped
    reading.
    """

    def __init__(
        self,
        engine: CallEngine,
        names: Names,
        *,
        allowances: Allowances,
        idempotency: Idempotency,
        max_body: int,
        default_deadline: float,
        body_timeout: float = BODY_TIMEOUT,
        write_timeout: float = WRITE_TIMEOUT,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._engine = engine
        self._names = names
        self._allowances = allowances
        self._deduplication = Deduplication(idempotency, JsonAnswers(), permit=engine.permit)
        self._max_body = max_body
        self._default_deadline = default_deadline
        self._body_timeout = body_timeout
        self._write_timeout = write_timeout
        self._wall = wall

    async def __call__(self, exchange: Exchange, identity: Identity) -> None:
        """Answer one request. Raises `RouterError`, `FailedCall`, and `CallerLeft` once it was cancelled."""
        _refuse_browsers(exchange, identity)
        if exchange.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            # Also what makes a browser ask first whether it may send the request, which nobody allows.
            raise BadHttp(415, "The body must be JSON: send it with content-type: application/json.")
        if exchange.headers.get("content-encoding", "identity").strip().lower() not in ("", "identity"):
            raise BadHttp(415, "The body must not be compressed: send it without content-encoding.")
        data = await exchange.body(most=self._max_body, timeout=self._body_timeout)
        request = asked(
            data,
            exchange.headers,
            names=self._names,
            request_id=exchange.request_id,
            identity=identity,
            now=asyncio.get_running_loop().time(),
            trace_id=current_trace_id(),
            whole_timeout=self._whole_timeout(exchange),
        )
        wishes = {name: value for name, value in exchange.headers.items() if name.startswith(PREFIX)}
        # A repeat may have less time left than the first call had.
        wishes.pop(f"{PREFIX}timeout", None)
        keyed = KeyedRequest(data, wishes)
        async with exchange.watched():
            if request.stream:
                await self._stream(exchange, request, keyed)
            else:
                await self._whole(exchange, request.call, keyed)

    async def _whole(self, exchange: Exchange, call: Call, keyed: KeyedRequest) -> None:
        record = CallRecord()
        try:
            response, is_repeated = await self._deduplication.once(
                call, keyed, lambda: self._engine.complete(call, record)
            )
            headers = await self._answered_headers(call, response["llmrouter"], is_repeated=is_repeated)
        except asyncio.CancelledError as cancelled:
            error, receipt = self._draining(call, cancelled)
            raise await self._failed(call, error, record.dispatched, receipt) from None
        except Exception as error:
            raise await self._failed(call, error, record.dispatched, record.receipt) from error
        await exchange.respond(200, encoded(response), headers)

    async def _stream(self, exchange: Exchange, request: Asked, keyed: KeyedRequest) -> None:
        call = request.call

        async def begin(opening: Opening) -> None:
            headers = await self._headers(call, opening.model)
            headers += choice_headers(opening.policy, opening.deployment)
            if opening.repeated:
                headers.append(_REPEATED)
            await exchange.begin(headers, kind=EVENT_STREAM)

        writer = EventWriter(
            begin,
            exchange.write,
            request_id=call.request_id,
            created=int(self._wall()),
            include_usage=request.include_usage,
            write_timeout=self._write_timeout,
        )
        try:
            await writer.carry(self._written(call, keyed, writer))
        except asyncio.CancelledError as cancelled:
            error, writer.receipt = self._draining(call, cancelled)
            await self._break_off(exchange, writer, await self._failed(call, error, writer.dispatched, writer.receipt))
        except Exception as error:
            failed = await self._failed(call, error, writer.dispatched, writer.receipt)
            if not writer.begun:
                raise failed from error
            await self._break_off(exchange, writer, failed)
        else:
            await exchange.end()

    async def _written(self, call: Call, keyed: KeyedRequest, writer: EventWriter) -> None:
        response, is_repeated = await self._deduplication.once(call, keyed, lambda: self._engine.complete(call, writer))
        await writer.finish(response, repeated=is_repeated)

    async def _break_off(self, exchange: Exchange, writer: EventWriter, failed: FailedCall) -> None:
        """End a response that is on its way with an error event; cut it where its reader takes nothing."""
        if not exchange.begun:
            raise failed
        if not isinstance(failed.error, RouterError):
            log_unexpected(logger, f"Request {exchange.request_id}", failed.error)
        refused = refusal(failed, request_id=exchange.request_id)
        exchange.broken = str(refused.envelope["code"])
        if isinstance(failed.error, Cancelled):
            exchange.abort()
            return
        try:
            async with asyncio.timeout(self._write_timeout):
                await writer.fail(refused.envelope)
                await exchange.end()
        except TimeoutError:
            exchange.abort()

    def _draining(self, call: Call, cancelled: asyncio.CancelledError) -> tuple[RouterError, Receipt | None]:
        """Why a call was cancelled that this replica had no more time for. Raises the cancellation of any other."""
        if not ended_by_draining(cancelled):
            raise cancelled
        error = Draining("This replica shut down before the call was answered.")
        return error, self._engine.receipt(call.tenant, call.request_id)

    async def _failed(self, call: Call, error: Exception, dispatched: bool, receipt: Receipt | None) -> FailedCall:
        headers = await self._headers(call, "")
        if receipt is not None:
            headers += account_headers(account(receipt))
        return FailedCall(error, dispatched=dispatched, headers=headers)

    async def _answered_headers(
        self, call: Call, told: Mapping[str, Any], *, is_repeated: bool
    ) -> list[tuple[str, str]]:
        headers = await self._headers(call, told["model"] or "")
        headers += account_headers(told)
        if is_repeated:
            headers.append(_REPEATED)
        return headers

    async def _headers(self, call: Call, model: str) -> list[tuple[str, str]]:
        return await limit_headers(self._allowances, call, model)

    def _whole_timeout(self, exchange: Exchange) -> float:
        """How long the caller's client waits for a whole answer: ours, with the error of every attempt, should come
        before. Infinite where that is longer than a call may take anyway."""
        for name in _CLIENT_TIMEOUTS:
            try:
                seconds = float(exchange.headers.get(name, ""))
            except ValueError:
                continue
            if 0 < seconds < self._default_deadline:
                return planned(seconds)
        return math.inf


def _refuse_browsers(exchange: Exchange, identity: Identity) -> None:
    """Raise where a web page asks that need not prove who it is: any page could spend its visitor's credit."""
    if identity.kind is IdentityKind.ANONYMOUS and "origin" in exchange.headers:
        raise PermissionDenied(
            "Web pages may call this router only with credentials. Configure `identity` (docs/authentication.md)."
        )


Handler = Callable[[Exchange, Identity], Awaitable[None]]
"""Answers one request of a caller who is known."""
