"""The counts of calls in flight: exact, however calls end."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any

import grpc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from identities import EVERYTHING, caller, identified

from router_service.domain.error import Draining, Overloaded, RouterError
from router_service.domain.identity import Identity
from router_service.edge.admission import Admission, ended_by_draining
from router_service.rpc.admission import AdmissionLayer
from router_service.rpc.authentication import AskedOnce
from router_service.rpc.handlers import Behavior, behavior_of

METHOD = "/llmrouter.v1.RouterService/Complete"


@dataclass(eq=False)
class Call:
    """One call, and how it is to end."""

    tenant: str
    ends: asyncio.Future[None]
    task: asyncio.Task[None] | None = None


@dataclass
class Door:
    """An admission with calls behind it; the call itself stands for its context."""

    max_calls: int
    max_per_tenant: int | None = None
    served: list[Call] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.admission = Admission(max_calls=self.max_calls, max_per_tenant=self.max_per_tenant)
        self.layer = AdmissionLayer(
            "llmrouter.v1.RouterService",
            admission=self.admission,
            identity_of=identified(lambda context: context.tenant),
        )

        async def serve(request: Any, call: Call) -> None:
            self.served.append(call)
            await call.ends

        handler = grpc.unary_unary_rpc_method_handler(serve)
        self._behavior: Behavior = behavior_of(self.layer.wrap(METHOD, handler))

    async def knock(self, tenant: str) -> Call:
        """Begin a call; it is refused by now, or being served."""
        call = Call(tenant, asyncio.get_running_loop().create_future())
        call.task = asyncio.create_task(self._behavior(None, call))
        await asyncio.sleep(0)
        return call


async def settle(call: Call) -> BaseException | None:
    assert call.task is not None
    try:
        await call.task
    except BaseException as error:  # also a cancellation: it is the call's, not the test's
        return error
    return None


ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("enter"), st.sampled_from("abc")),
        st.tuples(st.sampled_from(["leave", "fail", "cancel", "vanish"]), st.integers(0, 10)),
    ),
    max_size=60,
)


@settings(max_examples=150, deadline=None)
@given(actions=ACTIONS, max_calls=st.integers(1, 6), max_per_tenant=st.none() | st.integers(1, 4))
def test_counts_are_exact_whatever_calls_do(
    actions: list[tuple[str, Any]], max_calls: int, max_per_tenant: int | None
) -> None:
    async def run() -> None:
        door = Door(max_calls, max_per_tenant)
        inside: list[Call] = []
        for action, argument in actions:
            if action == "enter":
                running = Counter(call.tenant for call in inside)
                fits = len(inside) < max_calls and (max_per_tenant is None or running[argument] < max_per_tenant)
                call = await door.knock(argument)
                if fits:
                    inside.append(call)
                else:
                    assert isinstance(await settle(call), Overloaded)
                    assert call not in door.served
            elif inside:
                await end(action, inside.pop(argument % len(inside)))
            assert door.admission.in_flight == len(inside)
            assert door.admission.in_flight_by_tenant() == Counter(call.tenant for call in inside)
        for call in inside:
            await end("leave", call)
        assert door.admission.in_flight == 0
        assert door.admission.in_flight_by_tenant() == {}
        async with asyncio.timeout(30):
            await door.admission.idle()

    asyncio.run(run())


async def end(how: str, call: Call) -> None:
    assert call.task is not None
    match how:
        case "leave":
            call.ends.set_result(None)
        case "fail":
            call.ends.set_exception(ValueError("it broke"))
        case "cancel":
            call.task.cancel()
        case "vanish":
            # The caller leaves in the moment in which the answer is there.
            call.ends.set_result(None)
            call.task.cancel()
    await settle(call)


@pytest.mark.parametrize(
    ("max_calls", "max_per_tenant", "limit"),
    [(1, None, "concurrent_calls"), (9, 1, "concurrent_calls_per_tenant"), (1, 1, "concurrent_calls")],
)
async def test_a_refusal_names_its_limit_and_when_to_come_back(
    max_calls: int, max_per_tenant: int | None, limit: str
) -> None:
    door = Door(max_calls, max_per_tenant)
    first = await door.knock("a")
    refused = await settle(await door.knock("a"))

    assert isinstance(refused, Overloaded)
    assert refused.metadata == {"limit": limit}
    assert refused.retry_after == 1.0
    await end("leave", first)


async def test_a_caller_without_a_tenant_is_not_counted() -> None:
    door = Door(5)

    def nobody(context: object) -> str:
        raise RouterError("no credentials")

    door.layer._identity_of = identified(nobody)
    assert isinstance(await settle(await door.knock("a")), RouterError)
    assert door.served == []
    assert door.admission.in_flight == 0


async def test_at_the_cap_and_while_draining_nobodys_credentials_are_looked_at() -> None:
    door = Door(1)
    asked: list[object] = []

    def tenant_of(context: object) -> str:
        asked.append(context)
        return "a"

    door.layer._identity_of = identified(tenant_of)
    first = await door.knock("a")
    assert isinstance(await settle(await door.knock("a")), Overloaded)
    door.admission.drain()
    assert isinstance(await settle(await door.knock("a")), Draining)
    assert asked == [first]
    await end("leave", first)


async def test_calls_ended_by_draining_are_told_from_those_whose_caller_left() -> None:
    door = Door(5)
    calls = [await door.knock("a"), await door.knock("b")]
    door.admission.end()
    ended = [await settle(call) for call in calls]

    assert [isinstance(error, asyncio.CancelledError) and ended_by_draining(error) for error in ended] == [True, True]
    assert door.admission.in_flight_by_tenant() == {}


async def test_a_calls_tenant_is_asked_for_once() -> None:
    asked: list[object] = []

    def tenant_of(context: object) -> str:
        asked.append(context)
        return f"tenant {len(asked)}"

    once = AskedOnce(identified(tenant_of))
    first, second = object(), object()

    told = [(await once(context)).tenant for context in (first, first, second)]  # type: ignore[arg-type]
    assert told == ["tenant 1", "tenant 1", "tenant 2"]
    assert asked == [first, second]


async def test_a_refused_callers_tenant_is_not_remembered() -> None:
    answers = iter(["a"])

    def tenant_of(context: object) -> str:
        for answer in answers:
            return answer
        raise RouterError("no credentials")

    once = AskedOnce(identified(tenant_of))
    assert (await once(object())).tenant == "a"  # type: ignore[arg-type]
    with pytest.raises(RouterError):
        await once(object())  # type: ignore[arg-type]


async def test_a_caller_may_be_granted_fewer_calls_than_its_tenant() -> None:
    door = Door(9, max_per_tenant=9)

    async def identity_of(call: Call) -> Identity:
        return caller(call.tenant, grants=replace(EVERYTHING, max_concurrent_calls=1))

    door.layer._identity_of = identity_of  # type: ignore[assignment]
    first = await door.knock("a")
    refused = await settle(await door.knock("a"))
    assert isinstance(refused, Overloaded)
    assert refused.metadata == {"limit": "concurrent_calls_per_caller"}
    await end("leave", first)
    assert door.admission._callers == {}
