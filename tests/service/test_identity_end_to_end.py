"""What a key may do, from end to end: granted names go through, all others are denied, and nothing else is learnt."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from running_router import ADMIN_KEY, CONFIGURATION, EVERYTHING, Running, bearer, configured, running, until, with_keys

from llmrouter import AsyncClient, NotFound, PermissionDenied, RouterError, Unauthenticated, Unavailable
from llmrouter.v1 import admin_service_pb2


@pytest.fixture
async def router(tmp_path: Path) -> AsyncIterator[Running]:
    async with running(tmp_path, configured(**with_keys())) as router:
        yield router


async def client_with(router: Running, **grants: Any) -> AsyncClient:
    """A client whose key has everything, but these grants instead."""
    _, key = await router.new_key(**{**{name: ["*"] for name in EVERYTHING}, **grants})
    return router.client(key)


async def asked(client: AsyncClient, way: str, options: dict[str, Any]) -> None:
    """Call this way, to the end."""
    if way != "stream":
        await getattr(client, way)("Hello", **options)
        return
    async with client.stream("Hello", **options) as stream:
        async for _ in stream:
            pass


async def test_a_wrong_secret_opens_nothing_and_costs_nothing(router: Running) -> None:
    _, key = await router.new_key()
    for wrong in (key[:-1] + ("a" if key[-1] != "a" else "b"), key[:20], f"{key}x", "rk_"):
        with pytest.raises(Unauthenticated):
            await router.client(wrong).complete("Hello")
    assert not len(router.simulator.journal)


async def test_a_key_ends_when_it_was_said_to(router: Running) -> None:
    expires = Timestamp()
    expires.FromMilliseconds(int(time.time() * 1000) + 2000)
    request = admin_service_pb2.CreateKeyRequest(
        name="brief",
        tenant="acme",
        grants=admin_service_pb2.Grants(**{name: ["*"] for name in EVERYTHING}),
        expires_at=expires,
    )
    made = await router.admin.CreateKey(request, metadata=bearer(ADMIN_KEY))
    client = router.client(made.secret_key)
    await client.complete("Hello")

    async def has_ended() -> str:
        try:
            await client.models()
        except Unauthenticated as error:
            return error.message
        return ""

    assert "has expired" in await until(has_ended)


@pytest.mark.parametrize(
    ("grants", "options", "denied"),
    [
        ({"features": ["chat"]}, {"feature": "summary"}, ("feature", "summary")),
        ({"features": ["chat"]}, {}, ("feature", "")),
        ({"tiers": ["free"]}, {"tier": "gold"}, ("tier", "gold")),
        ({"policies": ["cheap"]}, {}, ("policy", "default")),
        ({"policies": ["default"]}, {"policy": "cheap"}, ("policy", "cheap")),
        ({"policies": ["default"]}, {"policy": "nobody-has-it"}, ("policy", "nobody-has-it")),
        ({"models": ["deepseek-chat"]}, {"model": "gpt-4o"}, ("model", "gpt-4o")),
        ({"models": ["deepseek-chat"]}, {"deployment": "gpt-4o"}, ("model", "gpt-4o")),
        ({"models": ["deepseek-chat"]}, {"model": "nobody-has-it"}, ("model", "nobody-has-it")),
    ],
)
@pytest.mark.parametrize("way", ["route", "complete", "stream"])
async def test_what_is_not_granted_is_denied_by_name_before_anything_is_asked(
    router: Running, way: str, grants: dict[str, Any], options: dict[str, Any], denied: tuple[str, str]
) -> None:
    client = await client_with(router, **grants)
    with pytest.raises(PermissionDenied) as raised:
        await asked(client, way, options)
    kind, name = denied
    assert raised.value.reason == "PERMISSION_DENIED"
    assert raised.value.metadata[kind] == name
    assert not len(router.simulator.journal)


async def test_candidates_are_only_those_that_the_key_may_use_and_so_are_fallbacks(router: Running) -> None:
    client = await client_with(router, models=["gpt-4o"])
    router.simulator.fail("gpt-4o", "503", times=None)
    decision = (await client.route("Hello")).decision
    assert [candidate.deployment for candidate in decision.candidates] == ["gpt-4o"]
    with pytest.raises(Unavailable):
        await client.complete("Hello")
    assert {entry.model for entry in router.simulator.journal} == {"gpt-4o"}
    assert [deployment.id for deployment in await client.models()] == ["gpt-4o"]
    answer = await (await client_with(router)).complete("Hello")
    assert answer.receipt.model == "deepseek-chat"


async def test_a_decision_token_does_not_lend_its_holder_another_ones_models(router: Running) -> None:
    mighty, weak = await client_with(router), await client_with(router, models=["deepseek-chat"])
    routed = await mighty.route("Hello", model="gpt-4o")
    with pytest.raises(RouterError):
        await weak.complete("Hello", decision_token=routed.decision_token, model="gpt-4o")
    with pytest.raises(RouterError):
        await weak.complete("Hello", decision_token=routed.decision_token)
    assert not [entry for entry in router.simulator.journal if entry.model == "gpt-4o"]


async def test_a_call_without_a_tier_gets_the_keys_own(router: Running) -> None:
    client = await client_with(router, tiers=[], default_tier="free")
    assert (await client.complete("Hello")).receipt.tier == "free"
    assert (await client.complete("Hello", tier="free")).receipt.tier == "free"
    with pytest.raises(PermissionDenied):
        await client.complete("Hello", tier="gold")


async def test_a_receipt_is_its_tenants_alone_whatever_the_request_id(router: Running) -> None:
    acme, globex = [router.client((await router.new_key(tenant=tenant))[1]) for tenant in ("acme", "globex")]
    mine = await acme.complete("Hello", request_id="shared")
    with pytest.raises(NotFound):
        await globex.receipt("shared")
    theirs = await globex.complete("Hello", request_id="shared")
    assert (await acme.receipt("shared")).attempts[0].attempt_id == mine.receipt.attempts[0].attempt_id
    assert (await globex.receipt("shared")).attempts[0].attempt_id == theirs.receipt.attempts[0].attempt_id


@pytest.mark.parametrize("way", ["complete", "stream"])
async def test_what_another_key_was_answered_is_repeated_only_to_those_who_may_ask_for_it(
    tmp_path: Path, way: str
) -> None:
    policies = {"default": {**CONFIGURATION["policies"]["default"], "keep_answers": "10m"}}
    async with running(tmp_path, configured(**with_keys(), policies=policies)) as router:
        options = {"feature": "chat", "idempotency_key": "k-1"}
        answer = await (await client_with(router)).complete("Hello", **options)
        with pytest.raises(PermissionDenied):
            await asked(await client_with(router, features=["other"]), way, options)
        again = await (await client_with(router, features=["chat"])).complete("Hello", **options)
    assert again.receipt == answer.receipt


async def test_a_keys_calls_at_once_are_bounded_by_its_grant(router: Running) -> None:
    client = await client_with(router, max_concurrent_calls=1)
    router.simulator.fail("gpt-4o", "stall", after_tokens=2, times=1)
    async with client.stream("Hello") as stream:
        await anext(stream.text())
        with pytest.raises(RouterError) as raised:
            await client.complete("Hello")
        assert (raised.value.reason, raised.value.metadata["limit"]) == ("OVERLOADED", "concurrent_calls_per_caller")
