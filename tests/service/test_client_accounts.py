"""The Python client asks for usage and budgets, and administers keys; from asyncio and from threads."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from running_router import ADMIN_KEY, configured, running, with_keys

from llmrouter import AsyncClient, Client, PermissionDenied, Unauthenticated

Ask = Callable[..., Awaitable[Any]]


@pytest.mark.parametrize("kind", ["async", "sync"])
async def test_an_administrator_makes_rotates_and_revokes_keys_and_sees_what_they_spent(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sections = {"ledger": {"folder": str(tmp_path / "ledger")}, "budgets": {"team": {"usd": 5, "period": "day"}}}
    async with running(tmp_path, configured(**with_keys(), **sections)) as router:
        monkeypatch.setenv("LLMROUTER_API_KEY", ADMIN_KEY)
        address = f"127.0.0.1:{router.port}"

        def connected(key: str | None = None) -> AsyncClient | Client:
            opened.append((AsyncClient if kind == "async" else Client).connect(address, api_key=key))
            return opened[-1]

        async def ask(client: AsyncClient | Client, method: str, *arguments: Any, **options: Any) -> Any:
            if kind == "async":
                return await getattr(client, method)(*arguments, **options)
            return await asyncio.to_thread(getattr(client, method), *arguments, **options)

        opened: list[AsyncClient | Client] = []
        admin = connected()
        until = datetime.now(UTC) + timedelta(days=1)
        made = await ask(
            admin, "create_key", "billing", tenant="acme", features=["chat"], models="*", policies="*", expires_at=until
        )
        user = connected(made.secret_key)
        answer = await ask(user, "complete", "Hello", feature="chat")
        with pytest.raises(PermissionDenied):
            await ask(user, "keys")
        assert [key.name for key in await ask(admin, "keys", "acme")] == ["billing"]

        await router.shipped()
        usage = await ask(user, "usage", group_by="model", only={"feature": "chat"}, since=until - timedelta(days=2))
        assert [row.group[0].value for row in usage.rows] == ["gpt-4o"]
        assert usage.total.cost_nano_usd == answer.receipt.cost_nano_usd
        [team] = await ask(user, "budget", feature="chat", model="gpt-4o")
        assert (team.name, team.used) == ("team", answer.receipt.cost_nano_usd)
        [same] = (await ask(user, "standing", feature="chat", model="gpt-4o")).allowances
        assert (same.name, same.used) == (team.name, team.used)

        rotated = await ask(admin, "rotate_key", made.key.public_id, overlap=60)
        revoked = await ask(admin, "revoke_key", made.key.public_id)
        assert revoked.HasField("revoked_at")
        with pytest.raises(Unauthenticated):
            await ask(user, "complete", "Hello", feature="chat")
        assert (await ask(connected(rotated.secret_key), "complete", "Hello", feature="chat")).text
        for client in opened:
            if isinstance(client, AsyncClient):
                await client.aclose()
            else:
                client.close()


async def test_a_client_tells_mistakes_before_it_sends_anything() -> None:
    with pytest.raises(ValueError, match="unencrypted"):
        AsyncClient.connect("router.example:443", api_key="rk_secret")
    async with AsyncClient.connect("127.0.0.1:1", api_key="rk_secret") as client:
        with pytest.raises(ValueError, match=r"no dimension 'colour': usage has feature, tier"):
            await client.usage(group_by=["colour"])
        with pytest.raises(ValueError, match='features is a list of names, or "\\*"'):
            await client.create_key("x", features="chat")
        with pytest.raises(ValueError, match="time zone"):
            await client.usage(since=datetime(2026, 11, 25))  # noqa: DTZ001 - that is the mistake
        with pytest.raises(TypeError, match="did you mean 'models'"):
            await client.create_key("x", model=["gpt-4o"])  # type: ignore[call-arg]
