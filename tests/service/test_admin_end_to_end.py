"""Keys administered over a real channel: by whom, with what effect, and what is noted of it."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc import error_details_pb2, status_pb2
from running_router import (
    ADMIN_KEY,
    EVERYTHING,
    Running,
    bearer,
    configured,
    detail,
    refused,
    running,
    until,
    with_keys,
)

from llmrouter import Unauthenticated
from llmrouter.v1 import admin_service_pb2 as wire
from router_service.storage.opening import open_database

TENANT_ADMIN = "rk_TenantAdmin1_" + "T" * 48
PLAIN = "rk_PlainPlain12_" + "P" * 48
ALL = {name: ["*"] for name in EVERYTHING}
KEYS = {
    "chief": {
        "key": "${CHIEF}",
        "tenant": "acme",
        "roles": ["tenant_admin"],
        "features": ["chat"],
        "models": ["gpt-4o"],
        "policies": "*",
        "max_concurrent_calls": 9,
    },
    "plain": {"key": "${PLAIN}", "tenant": "acme", **EVERYTHING},
}
ENVIRON = {"CHIEF": TENANT_ADMIN, "PLAIN": PLAIN}


@pytest.fixture
async def router(tmp_path: Path) -> AsyncIterator[Running]:
    async with running(tmp_path, configured(**with_keys(keys=KEYS)), environ=ENVIRON) as router:
        yield router


def violations(status: status_pb2.Status) -> set[str]:
    return {violation.field for violation in detail(status, error_details_pb2.BadRequest).field_violations}


def written(folder: Path) -> bytes:
    """All bytes of the database's files."""
    return b"".join(file.read_bytes() for file in sorted(folder.glob("router.db*")))


async def test_a_key_that_was_made_opens_the_door_until_it_is_revoked_and_then_at_once_no_longer(
    router: Running,
) -> None:
    public_id, key = await router.new_key()
    client = router.client(key)
    assert (await client.complete("Hello")).receipt.tenant == "acme"
    revoked = await router.admin.RevokeKey(wire.RevokeKeyRequest(public_id=public_id), metadata=bearer(ADMIN_KEY))
    assert revoked.key.HasField("revoked_at")
    with pytest.raises(Unauthenticated, match="was revoked"):
        await client.complete("Hello")


async def test_both_keys_hold_in_the_overlap_and_the_new_one_ends_as_long_after_its_making(router: Running) -> None:
    expires = Timestamp(seconds=int(time.time()) + 1000)
    request = wire.CreateKeyRequest(name="billing", tenant="acme", grants=wire.Grants(**ALL), expires_at=expires)
    old = await router.admin.CreateKey(request, metadata=bearer(ADMIN_KEY))
    request = wire.RotateKeyRequest(public_id=old.key.public_id, overlap_seconds=600)
    new = await router.admin.RotateKey(request, metadata=bearer(ADMIN_KEY))
    assert (new.key.name, new.key.tenant, new.key.grants) == ("billing", "acme", old.key.grants)
    assert new.key.expires_at.seconds == pytest.approx(time.time() + 1000, abs=30)
    for key in (old.secret_key, new.secret_key):
        assert (await router.client(key).complete("Hello")).text
    listed = await router.admin.ListKeys(wire.ListKeysRequest(tenant="acme"), metadata=bearer(ADMIN_KEY))
    [kept] = [key for key in listed.keys if key.public_id == old.key.public_id]
    assert kept.expires_at.seconds == pytest.approx(time.time() + 600, abs=30)


async def test_a_rotated_key_holds_no_longer_than_its_overlap_where_it_was_used_before(router: Running) -> None:
    public_id, key = await router.new_key()
    client = router.client(key)
    await client.complete("Hello")
    request = wire.RotateKeyRequest(public_id=public_id, overlap_seconds=1)
    await router.admin.RotateKey(request, metadata=bearer(ADMIN_KEY))

    async def is_refused() -> bool:
        try:
            await client.models()
        except Unauthenticated:
            return True
        return False

    await until(is_refused)


async def test_keys_are_listed_page_by_page_the_latest_first_and_without_their_secrets(router: Running) -> None:
    made = [await router.new_key(tenant=tenant) for tenant in ("acme", "globex", "acme", "acme")]
    pages, token = [], ""
    while True:
        request = wire.ListKeysRequest(page_size=3, page_token=token)
        page = await router.admin.ListKeys(request, metadata=bearer(ADMIN_KEY))
        pages.append([key.public_id for key in page.keys])
        assert not [secret for _, secret in made if secret[16:] in str(page)]
        if not (token := page.next_page_token):
            break
    assert pages == [[made[3][0], made[2][0], made[1][0]], [made[0][0]]]


async def test_a_tenants_administrator_sees_and_changes_the_keys_of_its_own_tenant_alone(router: Running) -> None:
    own, _ = await router.new_key(features=["chat"], models=["gpt-4o"], max_concurrent_calls=2)
    others, _ = await router.new_key(tenant="globex")
    listed = await router.admin.ListKeys(wire.ListKeysRequest(), metadata=bearer(TENANT_ADMIN))
    assert [key.public_id for key in listed.keys] == [own]
    await router.admin.RotateKey(wire.RotateKeyRequest(public_id=own), metadata=bearer(TENANT_ADMIN))
    for call in (
        router.admin.RotateKey(wire.RotateKeyRequest(public_id=others), metadata=bearer(TENANT_ADMIN)),
        router.admin.RevokeKey(wire.RevokeKeyRequest(public_id=others), metadata=bearer(TENANT_ADMIN)),
        router.admin.RevokeKey(wire.RevokeKeyRequest(public_id="rk_nobodyknows1"), metadata=bearer(TENANT_ADMIN)),
    ):
        code, reason, status = await refused(call)
        assert detail(status, error_details_pb2.ErrorInfo).metadata["public_id"] in (others, "rk_nobodyknows1")
        assert (code, reason) == (grpc.StatusCode.NOT_FOUND, "KEY_NOT_FOUND")
        assert status.message == "No key of yours has that public id: list the keys to find one."
    for call in (
        router.admin.ListKeys(wire.ListKeysRequest(tenant="globex"), metadata=bearer(TENANT_ADMIN)),
        router.admin.CreateKey(
            wire.CreateKeyRequest(name="x", tenant="globex", grants=wire.Grants(features=["chat"])),
            metadata=bearer(TENANT_ADMIN),
        ),
        router.admin.ListAuditEvents(wire.ListAuditEventsRequest(), metadata=bearer(TENANT_ADMIN)),
    ):
        assert (await refused(call))[:2] == (grpc.StatusCode.PERMISSION_DENIED, "PERMISSION_DENIED")


@pytest.mark.parametrize(
    "grants",
    [
        {"features": ["*"]},
        {"features": ["chat", "more"]},
        {"models": ["deepseek-chat"]},
        {"tiers": ["gold"]},
        {"default_tier": "gold"},
        {"roles": ["admin"]},
        {"max_concurrent_calls": None},
        {"max_concurrent_calls": 10},
    ],
)
async def test_nobody_gives_more_than_they_have(router: Running, grants: dict[str, Any]) -> None:
    given = {"max_concurrent_calls": 9, **grants}
    request = wire.CreateKeyRequest(name="more", grants=wire.Grants(**given))
    call = router.admin.CreateKey(request, metadata=bearer(TENANT_ADMIN))
    assert (await refused(call))[:2] == (grpc.StatusCode.PERMISSION_DENIED, "PERMISSION_DENIED")
    stronger, _ = await router.new_key(**({**ALL, "roles": ["admin"]} if grants.get("roles") else given))
    call = router.admin.RotateKey(wire.RotateKeyRequest(public_id=stronger), metadata=bearer(TENANT_ADMIN))
    assert (await refused(call))[:2] == (grpc.StatusCode.PERMISSION_DENIED, "PERMISSION_DENIED")
    if grants.get("roles"):
        call = router.admin.RevokeKey(wire.RevokeKeyRequest(public_id=stronger), metadata=bearer(TENANT_ADMIN))
        assert (await refused(call))[:2] == (grpc.StatusCode.PERMISSION_DENIED, "PERMISSION_DENIED")


async def test_a_key_without_a_role_administers_nothing_and_without_a_key_nobody_does(router: Running) -> None:
    methods: list[tuple[Any, Any]] = [
        (router.admin.CreateKey, wire.CreateKeyRequest(name="x")),
        (router.admin.ListKeys, wire.ListKeysRequest()),
        (router.admin.RotateKey, wire.RotateKeyRequest(public_id="rk_x")),
        (router.admin.RevokeKey, wire.RevokeKeyRequest(public_id="rk_x")),
        (router.admin.ListAuditEvents, wire.ListAuditEventsRequest()),
    ]
    for method, request in methods:
        assert (await refused(method(request, metadata=bearer(PLAIN))))[1] == "PERMISSION_DENIED"
        assert (await refused(method(request)))[1] == "UNAUTHENTICATED"


async def test_bad_fields_are_named_all_at_once(router: Running) -> None:
    request = wire.CreateKeyRequest(
        tenant="not a tenant",
        grants=wire.Grants(features=["*", "chat"], models=[""], roles=["root"], max_concurrent_calls=0),
        expires_at=Timestamp(seconds=5),
    )
    code, _, status = await refused(router.admin.CreateKey(request, metadata=bearer(ADMIN_KEY)))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert violations(status) == {
        "tenant",
        "name",
        "grants.features",
        "grants.models[0]",
        "grants.roles[0]",
        "grants.max_concurrent_calls",
        "expires_at",
    }
    for request, method, field in (
        (wire.RotateKeyRequest(public_id="rk_x", overlap_seconds=-1), router.admin.RotateKey, "overlap_seconds"),
        (wire.RevokeKeyRequest(), router.admin.RevokeKey, "public_id"),
        (wire.ListKeysRequest(page_size=1001), router.admin.ListKeys, "page_size"),
        (wire.ListKeysRequest(page_token="bm9uZQ=="), router.admin.ListKeys, "page_token"),
        (
            wire.ListAuditEventsRequest(since=Timestamp(seconds=9), until=Timestamp(seconds=9)),
            router.admin.ListAuditEvents,
            "since",
        ),
    ):
        _, _, status = await refused(method(request, metadata=bearer(ADMIN_KEY)))
        assert violations(status) == {field}


async def test_every_change_is_in_the_audit_log_and_no_secret_is(router: Running, tmp_path: Path) -> None:
    public_id, first = await router.new_key()
    rotated = await router.admin.RotateKey(wire.RotateKeyRequest(public_id=public_id), metadata=bearer(ADMIN_KEY))
    await router.admin.RevokeKey(wire.RevokeKeyRequest(public_id=public_id), metadata=bearer(ADMIN_KEY))
    router.file.write_text(router.file.read_text().replace("1ms", "2ms"))
    assert await router.application.reload() is None

    async def reloaded() -> list[wire.AuditEvent]:
        pages: list[wire.AuditEvent] = []
        token = ""
        while True:
            request = wire.ListAuditEventsRequest(page_size=2, page_token=token)
            page = await router.admin.ListAuditEvents(request, metadata=bearer(ADMIN_KEY))
            pages.extend(page.events)
            if not (token := page.next_page_token):
                return pages if pages[0].action == "configuration.reload" else []

    reload, revoke, rotate, create, start = await until(reloaded)
    admin = ADMIN_KEY[:15]
    assert [(event.actor, event.action) for event in (revoke, rotate, create)] == [
        (admin, "keys.revoke"),
        (admin, "keys.rotate"),
        (admin, "keys.create"),
    ]
    assert [event.subject for event in (revoke, rotate, create)] == [public_id] * 3
    assert (start.actor, start.action, start.after) == ("operator", "configuration.start", reload.before)
    assert reload.after != reload.before
    assert not create.before
    assert create.after == rotate.before
    assert len({create.after, rotate.after, revoke.before, revoke.after}) == 4
    kept = written(tmp_path)
    assert public_id.encode() in kept
    for secret in (first, rotated.secret_key, ADMIN_KEY):
        assert secret[16:].encode() not in kept


async def test_a_change_that_cannot_be_noted_is_not_made(router: Running, tmp_path: Path) -> None:
    public_id, key = await router.new_key()
    database = await open_database(f"sqlite:///{tmp_path / 'router.db'}")
    await database.execute("DROP TABLE audit_log")
    await database.aclose()
    code, reason, _ = await refused(
        router.admin.RevokeKey(wire.RevokeKeyRequest(public_id=public_id), metadata=bearer(ADMIN_KEY))
    )
    assert (code, reason) == (grpc.StatusCode.UNAVAILABLE, "STATE_UNAVAILABLE")
    assert (await router.client(key).complete("Hello")).text


async def test_a_router_that_keeps_no_keys_says_what_to_configure(tmp_path: Path) -> None:
    async with running(tmp_path) as router:
        code, reason, status = await refused(router.admin.ListKeys(wire.ListKeysRequest()))
    assert (code, reason) == (grpc.StatusCode.FAILED_PRECONDITION, "NOT_CONFIGURED")
    assert "identity.api_keys" in status.message
    identity = {"api_keys": {"keys": {"admin": {"key": "${ADMIN_KEY}", "tenant": "acme", "roles": ["admin"]}}}}
    async with running(tmp_path, configured(identity=identity)) as router:
        for call in (
            router.admin.CreateKey(wire.CreateKeyRequest(name="x"), metadata=bearer(ADMIN_KEY)),
            router.admin.ListAuditEvents(wire.ListAuditEventsRequest(), metadata=bearer(ADMIN_KEY)),
        ):
            assert (await refused(call))[:2] == (grpc.StatusCode.FAILED_PRECONDITION, "NOT_CONFIGURED")


async def test_anonymous_callers_administer_nothing_whatever_they_are_granted(tmp_path: Path) -> None:
    anonymous = {"tenant": "acme", "roles": ["admin"], **EVERYTHING}
    async with running(tmp_path, configured(**with_keys(anonymous=anonymous))) as router:
        code, _, status = await refused(router.admin.ListKeys(wire.ListKeysRequest()))
    assert code is grpc.StatusCode.PERMISSION_DENIED
    assert "llmrouter keys create --role admin" in status.message


async def test_administration_is_traced_and_shows_no_secret(router: Running) -> None:
    _, key = await router.new_key()
    names = [span.name for span in router.spans.spans]
    assert "llmrouter.v1.AdminService/CreateKey" in names
    assert not [span for span in router.spans.spans if key[16:] in span.to_json() or ADMIN_KEY in span.to_json()]


async def test_administrators_calls_are_refused_by_a_router_that_drains(router: Running) -> None:
    router.application._server._admission.drain()
    code, reason, _ = await refused(router.admin.ListKeys(wire.ListKeysRequest(), metadata=bearer(ADMIN_KEY)))
    assert (code, reason) == (grpc.StatusCode.UNAVAILABLE, "DRAINING")
