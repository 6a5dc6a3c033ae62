"""The application: which path is served by what, and the layer through which every error leaves."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.exceptions import HTTPException
from starlette.routing import Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from router_service.domain.error import Draining, PermissionDenied, RouterError
from router_service.domain.identity import Identity, Role
from router_service.edge.admission import Admission, ended_by_draining
from router_service.edge.ports import Authenticate
from router_service.edge.unexpected import log_unexpected
from router_service.telemetry.setup import Telemetry
from router_service.web.completions import ChatCompletions, Handler
from router_service.web.errors import BadHttp, FailedCall, refusal
from router_service.web.exchange import CallerLeft, Exchange
from router_service.web.names import Names
from router_service.web.responses import encoded
from router_service.web.tracing import RequestSpan

logger = logging.getLogger("llmrouter.web")

Serve = Callable[[Exchange], Awaitable[None]]


class Readiness:
    """Whether calls are welcome. `draining` says that connections should end after their response."""

    def __init__(self) -> None:
        self.ready = False
        self.draining = False


class Api:
    """Makes the applications of the two ports: `public` is for callers, `admin` for the platform.

    `metrics_for_all` says that `/metrics` is served to whoever reaches the public port; otherwise its caller must be an
    administrator.
    """

    def __init__(
        self,
        completions: ChatCompletions,
        names: Names,
        *,
        authenticate: Authenticate,
        admission: Admission,
        telemetry: Telemetry,
        readiness: Readiness,
        metrics_for_all: bool,
    ) -> None:
        self._names = names
        self._authenticate = authenticate
        self._admission = admission
        self._telemetry = telemetry
        self._readiness = readiness
        metrics = self._metrics if metrics_for_all else self._metrics_of_administrators
        self.public = self._router(
            self._route("POST", "/v1/chat/completions", self._counted(completions)),
            self._route("GET", "/v1/models", self._known(self._list)),
            self._route("GET", "/v1/models/{name:path}", self._known(self._model)),
            self._route("POST", "/v1/embeddings", self._no_embeddings),
            *self._health(),
            self._quiet("/metrics", metrics),
        )
        self.admin = self._router(*self._health(), self._quiet("/metrics", self._metrics))

    def _router(self, *routes: Route) -> ASGIApp:
        router = Router(routes, redirect_slashes=False, default=self._guarded(_unknown_path))

        async def serve(scope: Scope, receive: Receive, send: Send) -> None:
            # Has the router raise for a method that a path does not have.
            scope["app"] = self
            try:
                await router(scope, receive, send)
            except HTTPException as error:
                allowed = (error.headers or {}).get("Allow", "")
                wrong = BadHttp(
                    error.status_code,
                    f"{scope['path'][:200]} is not asked with this method, but with {allowed}.",
                    headers=(("allow", allowed),),
                )
                await self._refuse(Exchange(scope, receive, send), wrong)

        return serve

    def _route(self, method: str, path: str, serve: Serve) -> Route:
        """A route of the API: traced and timed."""

        async def traced(exchange: Exchange) -> None:
            with RequestSpan(self._telemetry, exchange, path):
                await self._answer(exchange, serve)

        application = _Endpoint(traced if self._telemetry.enabled else lambda exchange: self._answer(exchange, serve))
        return Route(path, application, methods=[method])

    def _quiet(self, path: str, serve: Serve) -> Route:
        """A route that is asked too often to be told of."""
        return Route(path, self._guarded(serve), methods=["GET"])

    def _guarded(self, serve: Serve) -> _Endpoint:
        return _Endpoint(lambda exchange: self._answer(exchange, serve))

    async def _answer(self, exchange: Exchange, serve: Serve) -> None:
        exchange.closes = lambda: self._readiness.draining
        try:
            exchange.check()
            await serve(exchange)
        except CallerLeft:
            pass
        except asyncio.CancelledError as cancelled:
            if not ended_by_draining(cancelled):
                raise
            await self._refuse(exchange, Draining("This replica shut down before the call was answered."))
        except Exception as error:
            await self._refuse(exchange, error)

    async def _refuse(self, exchange: Exchange, error: Exception) -> None:
        cause = error.error if isinstance(error, FailedCall) else error
        if not isinstance(cause, RouterError):
            log_unexpected(logger, f"Request {exchange.request_id}", cause)
        if exchange.begun:
            exchange.abort()
            return
        refused = refusal(error, request_id=exchange.request_id)
        await exchange.respond(refused.status, encoded({"error": refused.envelope}), refused.headers)

    def _counted(self, handler: Handler) -> Serve:
        """A handler of calls, which are counted or refused."""

        async def serve(exchange: Exchange) -> None:
            async with self._admission.entered(lambda: self._authenticate(exchange.credentials())) as identity:
                await handler(exchange, identity)

        return serve

    def _known(self, handler: Handler) -> Serve:
        """A handler of other requests whose callers must be known."""

        async def serve(exchange: Exchange) -> None:
            await handler(exchange, await self._authenticate(exchange.credentials()))

        return serve

    def _health(self) -> tuple[Route, Route]:
        return self._quiet("/health/live", self._live), self._quiet("/health/ready", self._ready)

    async def _list(self, exchange: Exchange, identity: Identity) -> None:
        await _say(exchange, 200, {"object": "list", "data": self._names.listing(identity)})

    async def _model(self, exchange: Exchange, identity: Identity) -> None:
        await _say(exchange, 200, self._names.entry(exchange.scope["path_params"]["name"], identity))

    async def _no_embeddings(self, exchange: Exchange) -> None:
        raise BadHttp(501, "This router does not serve embeddings. Ask the provider of your embedding model directly.")

    async def _live(self, exchange: Exchange) -> None:
        await _say(exchange, 200, {"status": "live"})

    async def _ready(self, exchange: Exchange) -> None:
        ready = self._readiness.ready
        await _say(exchange, 200 if ready else 503, {"status": "ready" if ready else "draining"})

    async def _metrics(self, exchange: Exchange) -> None:
        if not self._telemetry.exposes_metrics:
            raise BadHttp(
                404,
                "This router keeps no metrics to fetch: `server.http.metrics` is off. Switch it on, or have them sent "
                "by OTLP.",
            )
        text, kind = await self._telemetry.exposition(exchange.headers.get("accept", ""))
        await exchange.respond(200, text, kind=kind)

    async def _metrics_of_administrators(self, exchange: Exchange) -> None:
        identity = await self._authenticate(exchange.credentials())
        if Role.ADMIN not in identity.grants.roles:
            raise PermissionDenied(
                "Metrics are for callers with the role admin. Or set `server.http.admin_address`, where they are "
                "served to whoever reaches it."
            )
        await self._metrics(exchange)


class _Endpoint:
    """An ASGI application that serves exchanges."""

    __slots__ = ("_serve",)

    def __init__(self, serve: Serve) -> None:
        self._serve = serve

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._serve(Exchange(scope, receive, send))


async def _unknown_path(exchange: Exchange) -> None:
    raise BadHttp(
        404,
        f"There is no {exchange.scope['path'][:200]} here. The API's base URL ends in /v1, such as http://host:8080/v1.",
    )


async def _say(exchange: Exchange, status: int, value: Any) -> None:
    await exchange.respond(status, encoded(value))
