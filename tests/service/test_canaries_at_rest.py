"""Marked words in prompts, answers and every kind of secret: none of them is in a file, a row, a log or an export."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from running_router import (
    ADMIN_KEY,
    CONFIGURATION,
    PEPPER,
    Running,
    bearer,
    configured,
    in_postgres,
    running,
    with_keys,
)
from test_canaries import everything_about
from test_confidentiality import Watched, watched  # noqa: F401 - a fixture
from test_otlp_wire import Received, collector  # noqa: F401 - a fixture

from llmrouter import AsyncClient, RouterError
from llmrouter.v1 import admin_service_pb2
from router_service.identity.keys import new_key
from router_service.storage.opening import open_database

PROMPT = "canary-prompt-40be"
USER = "canary-user-88d1"
LABEL = "canary-label-0d2c"
PROVIDER_KEY = "sk-canary-provider-61fa"
VISIBLE = "req-visible-5b07"
TABLES = ("api_keys", "audit_log", "ledger_attempts", "ledger_operations", "ledger_texts", "ledger_feedback")


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """Where keys and the ledger are."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'router.db'}"
        return
    with in_postgres() as server:
        yield server.new_database()


def files(folder: Path) -> bytes:
    """Every byte of every file in the folder but the configuration's: journals, databases and their logs."""
    found = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "router.yaml")
    contents: list[bytes] = []
    for path in found:
        # A segment that was shipped goes away meanwhile.
        with contextlib.suppress(FileNotFoundError):
            contents.append(path.read_bytes())
    return b"\n".join(contents)


async def rows(url: str) -> str:
    """Every row of every table."""
    database = await open_database(url)
    try:
        return "\n".join([repr(await database.fetch(f"SELECT * FROM {table}")) for table in TABLES])  # noqa: S608
    finally:
        await database.aclose()


@contextlib.asynccontextmanager
async def router(folder: Path, url: str, endpoint: str, spans: Any) -> AsyncIterator[Running]:
    keys = with_keys()
    sections = {
        **keys,
        "storage": {"url": url},
        "ledger": {"folder": str(folder / "ledger"), "labels": ["team"]},
        "telemetry": {"otlp_endpoint": endpoint},
        "budgets": {"team": {"usd": 0.002, "period": "day", "per": ["tenant", "key"]}},
        "features": {"chat": {"max_output_tokens": 60}},
        "limits": {"rpm": {"requests": 1000, "window": "minute", "per": "feature"}},
        "providers": {
            name: {**settings, "api_key": "${PROVIDER_KEY}"} for name, settings in CONFIGURATION["providers"].items()
        },
    }
    async with running(folder, configured(**sections), environ={"PROVIDER_KEY": PROVIDER_KEY}, spans=spans) as running_:
        yield running_


async def speak(client: AsyncClient, way: str, told: list[str], *, about: str = "rivers", **options: Any) -> str:
    """Say the marked words this way; the answer, and into `told` what else came back."""
    asked: dict[str, Any] = {"user": USER, "labels": {"note": LABEL}, "feature": "chat", **options}
    try:
        if way == "unary":
            answer = await client.complete(f"Tell me about {about}. {PROMPT}", **asked)
            told.append(str(answer.receipt))
            return answer.text
        async with client.stream(f"Tell me about {about}. {PROMPT}", **asked) as stream:
            text = ""
            async for piece in stream.text():
                text += piece
                if way == "leave":
                    return text
            told.append(str(stream.finished and stream.finished.receipt))
            return text
    except RouterError as error:
        cause = error.__cause__
        assert isinstance(cause, grpc.aio.AioRpcError)
        told.append(f"{error!r} {error.metadata} {everything_about(cause)}")
        return ""


async def test_nothing_that_was_said_and_no_secret_is_kept_logged_or_exported(
    tmp_path: Path,
    database_url: str,
    watched: Watched,  # noqa: F811 - the fixture
    collector: Received,  # noqa: F811 - the fixture
    capfd: pytest.CaptureFixture[str],
) -> None:
    logging.getLogger().setLevel(logging.DEBUG)
    wrong, told, answers, kept = new_key().reveal(), [], [], []
    async with router(tmp_path, database_url, collector.endpoint, watched.spans) as served:
        public_id, key = await served.new_key()
        request = admin_service_pb2.RotateKeyRequest(public_id=public_id)
        rotated = (await served.admin.RotateKey(request, metadata=bearer(ADMIN_KEY))).secret_key
        client, simulator = served.client(rotated), served.simulator
        answers += [
            await speak(client, way, told, request_id=f"{VISIBLE}-{way}", labels={"team": "red"})
            for way in ("unary", "stream", "leave")
        ]
        spender = served.client((await served.new_key())[1])
        while not any("BUDGET_EXHAUSTED" in one for one in told):
            answers.append(await speak(spender, "unary", told, model="gpt-4o"))
        for fault in ("400", "cut", "in_band_error", "bad_json", "content_filter", "401"):
            simulator.fail(None, fault, contains=f"about {fault}.", after_tokens=3, times=None)
            answers += [await speak(client, way, told, about=fault) for way in ("unary", "stream")]
        for stranger in (wrong, f"{rotated[:-1]}!", f"{public_id}_{wrong[16:]}"):
            await speak(served.client(stranger), "unary", told)
        await speak(client, "unary", told, policy="nobody-has-it")
        await served.admin.RevokeKey(request, metadata=bearer(ADMIN_KEY))
        await speak(client, "unary", told)
        kept.append(await asyncio.to_thread(files, tmp_path))
        await served.shipped()
        told.append(str(await served.usage(ADMIN_KEY)))
        told.append(str(await served.admin.ListKeys(admin_service_pb2.ListKeysRequest(), metadata=bearer(ADMIN_KEY))))
        exported = watched.exported()
    kept.append(await asyncio.to_thread(files, tmp_path))
    stored = await rows(database_url)

    sent = [message.SerializeToString() for message in (*collector.traces, *collector.metrics)]
    spans = [span.to_json() for span in watched.spans.spans]
    texts = [*told, *spans, stored, exported, watched.logs.getvalue(), capfd.readouterr().err]
    everything = b"\n".join([*kept, *sent, *(text.encode() for text in texts)])
    said = {f"answer {number}": text[4:44] for number, text in enumerate(answers) if len(text) >= 44}
    assert len(said) >= 3
    secrets = {
        "prompt": PROMPT,
        "user": USER,
        "label": LABEL,
        "provider's key": PROVIDER_KEY,
        "pepper": PEPPER,
        "administrator's key": ADMIN_KEY[16:],
        "key": key[16:],
        "rotated key": rotated[16:],
        "wrong key": wrong[16:],
    }
    found = [
        name
        for name, text in {**secrets, **said}.items()
        if text.encode() in everything or text.encode().hex().encode() in everything
    ]
    assert not found

    # The places that were searched are not empty: what may be seen is there.
    for place, text in ((kept[0], VISIBLE), (stored.encode(), VISIBLE), (stored.encode(), public_id)):
        assert text.encode() in place
    assert b"".join(sent).count(b"RouterService/Complete") > 3
    assert "llm_router.request.completed" in watched.logs.getvalue()
