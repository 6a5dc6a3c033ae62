"""An engine over providers that do as they are told, for tests of whole calls."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace

from router_service.domain.call import Call, Caller
from router_service.domain.chat import Chat, FinishReason, Message, Role, TextPart
from router_service.domain.deployment import Deployment, Price, Rate
from router_service.domain.error import UpstreamError, UpstreamFault
from router_service.domain.event import TextDelta
from router_service.domain.money import Usage
from router_service.domain.policy import Policy, Retries, Rule, When
from router_service.engine.complete import Engine, Runtime
from router_service.engine.receipts import ReceiptStore
from router_service.engine.run import Clock
from router_service.engine.token import TokenSigner
from router_service.routing.table import RoutingTable

RATE = Price(
    input=Rate(1_000_000_000), output=Rate(2_000_000_000), cached_input=Rate(100_000_000),
    cache_write=Rate(1_000_000_000), version="test",
)  # fmt: skip
USAGE = Usage(input_tokens=10, output_tokens=5)
COST = 10 * 1_000 + 5 * 2_000


def deployment(name, **changes):
    return replace(
        Deployment(id=name, model=name, provider=f"{name}-provider", upstream_name=name, price=RATE), **changes
    )


@dataclass
class Says:
    """A provider's behaviour in one attempt: output, `then` more, then an error, silence, or a verified finish."""

    text: str = "Hello"
    error: UpstreamError | None = None
    silent: bool = False
    usage: Usage | None = USAGE
    finish: FinishReason = FinishReason.STOP
    lingers: bool = False
    then: tuple = ()


@dataclass
class ScriptedProvider:
    """Behaves as scripted, attempt by attempt; the last behaviour repeats."""

    script: list[Says]
    requests: list = field(default_factory=list)
    closed: int = 0
    asked: asyncio.Event = field(default_factory=asyncio.Event)

    async def stream(self, request, reply, receive):
        says = self.script[min(len(self.requests), len(self.script) - 1)]
        self.requests.append(request)
        self.asked.set()
        reply.dispatched = True
        try:
            if says.text:
                delta = [TextDelta(says.text)]
                reply.add(delta)
                await receive(delta)
            for more in says.then:
                reply.add([more])
                await receive([more])
            if says.silent:
                await asyncio.Event().wait()
            if says.error is not None:
                raise says.error
            reply.usage = says.usage
            reply.finish_reason = says.finish
            if says.lingers:
                await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.closed += 1
            raise

    async def complete(self, request, reply):
        async def keep(_):
            return

        await self.stream(request, reply, keep)

    async def aclose(self):
        pass


class Recorder:
    """What an edge or an observer sees."""

    def __init__(self):
        self.events = []
        self.news = asyncio.Event()

    async def __call__(self, event):
        self.events.append(event)
        self.news.set()

    async def saw(self, kind):
        while not self.of(kind):
            self.news.clear()
            await self.news.wait()

    def of(self, kind):
        return [event for event in self.events if isinstance(event, kind)]


class Observed(Recorder):
    def __call__(self, event):
        self.events.append(event)

    def trace_headers(self, attempt):
        return {}


class World:
    """An engine over scripted providers, with a loop clock and no real waits."""

    def __init__(self, scripts, *, policy_changes=None, deployments=None, **parts):
        self.deployments = deployments or [deployment(name) for name in scripts]
        self.providers = {item.provider: ScriptedProvider(scripts[item.id]) for item in self.deployments}
        by_id = {item.id: item for item in self.deployments}
        policy = replace(
            Policy(
                name="default",
                rules=(Rule(name="all", when=When(), candidates=tuple(self.deployments)),),
                baseline=self.deployments[-1],
                retries=Retries(same_deployment=1),
            ),
            **(policy_changes or {}),
        )
        self.waits = []
        self.observed = Observed()
        loop = asyncio.get_running_loop()
        self.engine = Engine(
            Runtime(
                table=RoutingTable(
                    policies={"default": policy},
                    deployments=by_id,
                    models={item.model: (item,) for item in self.deployments},
                    features={},
                    default_policy="default",
                    fingerprint="f1",
                ),
                providers=self.providers,
            ),
            observe=lambda call: self.observed,
            signer=TokenSigner(lambda: "k" * 32, 60, lambda: 0.0),
            receipts=ReceiptStore(10),
            clock=Clock(monotonic=loop.time, wall=lambda: 1_700_000_000.0),
            random=lambda: 0.0,
            sleep=self._sleep,
            **parts,
        )

    async def _sleep(self, seconds):
        self.waits.append(seconds)

    def provider(self, name):
        return self.providers[f"{name}-provider"]


def call(stream=False, **changes):
    return replace(
        Call(
            request_id="r1",
            tenant="acme",
            caller=Caller(feature="chat", tier="free"),
            chat=Chat(messages=(Message(role=Role.USER, parts=(TextPart("Say hello"),)),)),
            stream=stream,
        ),
        **changes,
    )


def busy(**details):
    return Says(text="", error=UpstreamError(UpstreamFault.SERVER, "a answered 503.", status=503, **details))


CUT = Says("Hel", error=UpstreamError(UpstreamFault.TRUNCATED, "a ended without a finish."))
