"""A whole router with both edges over the simulated provider, for clients that were made for OpenAI."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import openai

from router_service.simulator.journal import Entry
from tests.service.running_router import ADMIN_KEY, CONFIGURATION, EVERYTHING, Running, running, with_keys

KEY = "rk_SdkSdkSdk123_" + "S" * 48
NARROW_KEY = "rk_NarrowNarrow_" + "N" * 48
QUICK = {"backoff_initial": "1ms", "backoff_max": "1ms"}


def configuration(**sections: Any) -> dict[str, Any]:
    """Two providers, a default policy that falls back, and others that do not; callers are known by key."""
    keys = {
        "sdk": {"key": "${SDK_KEY}", "tenant": "acme", **EVERYTHING},
        "narrow": {"key": "${NARROW_KEY}", "tenant": "narrow", **EVERYTHING, "models": ["deepseek-chat"]},
    }
    policies = {
        "default": {
            "baseline": "gpt-4o",
            "keep_answers": "10m",
            "retries": {"same_deployment": 1, **QUICK},
            "rules": [{"when": {"tier": "free"}, "use": ["deepseek-chat"]}, {"use": ["gpt-4o", "deepseek-chat"]}],
        },
        "alone": {"retries": {"same_deployment": 0, **QUICK}, "rules": [{"use": ["gpt-4o"]}]},
        "cheap": {"rules": [{"use": ["deepseek-chat"]}]},
    }
    server = {"address": "127.0.0.1:0", "lame_duck": "0s", "http": {"address": "127.0.0.1:0"}}
    return {**CONFIGURATION, "server": server, "policies": policies, **with_keys(keys=keys), **sections}


@dataclass
class Sdk:
    """A running router and clients of it."""

    router: Running
    clients: list[openai.AsyncOpenAI] = field(default_factory=list)

    @property
    def base_url(self) -> str:
        """What the clients are given."""
        return f"http://127.0.0.1:{self.router.application.http_port}/v1"

    def client(self, key: str = KEY, **options: Any) -> openai.AsyncOpenAI:
        """The SDK's client as it is."""
        client = openai.AsyncOpenAI(base_url=self.base_url, api_key=key, **options)
        self.clients.append(client)
        return client

    @property
    def asked(self) -> list[Entry]:
        """The requests that reached a provider."""
        return list(self.router.simulator.journal)

    async def aborted(self) -> Entry:
        """A request whose provider saw its client leave."""
        return await self.router.simulator.journal.wait_for(lambda entry: entry.outcome == "aborted")


@asynccontextmanager
async def sdk(folder: Path, **sections: Any) -> AsyncIterator[Sdk]:
    """A router with this configuration."""
    environ = {"SDK_KEY": KEY, "NARROW_KEY": NARROW_KEY, "ADMIN_KEY": ADMIN_KEY}
    async with running(folder, configuration(**sections), environ=environ) as router:
        found = Sdk(router)
        try:
            yield found
        finally:
            for client in found.clients:
                await client.close()
