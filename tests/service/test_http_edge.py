"""A whole router over HTTP: drain, traces, metrics, TLS, and what it shares with the gRPC edge."""

from __future__ import annotations

import asyncio
import json
import logging
import ssl
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml
from cryptography import x509
from http_edge import ASKING, serving_http
from running_router import ADMIN_KEY, CONFIGURATION, EVERYTHING, Running, configured, running, with_keys
from scripted_engine import FAILURE, ScriptedEngine, forever, says, started, within
from test_authentication import Authority

from llmrouter.v1 import router_service_pb2
from router_service.app import Application, _on_port
from router_service.config.configuration import HttpSettings, ServerSettings
from router_service.domain.call import Call
from router_service.domain.error import AttemptsFailed, Reason
from router_service.domain.event import Emit, TextDelta
from router_service.domain.limit import MeterState, Subject
from router_service.edge.address import CannotServe
from router_service.telemetry import semconv

LOOPBACK = {"address": "127.0.0.1:0", "lame_duck": "0s", "http": {"address": "127.0.0.1:0"}}
KEY = "rk_HttpHttpHtt1_" + "H" * 48
ENVIRON = {"WEB_KEY": KEY}
BILLING = "spiffe://example.org/billing"


def keyed(**server: Any) -> dict[str, Any]:
    http = {**LOOPBACK, **server}
    return configured(server=http, **with_keys(keys={"web": {"key": "${WEB_KEY}", "tenant": "acme", **EVERYTHING}}))


def url(router: Running, path: str = "/v1/chat/completions") -> str:
    return f"http://127.0.0.1:{router.application.http_port}{path}"


def bearing(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


async def test_both_edges_share_callers_receipts_and_the_ledger(tmp_path: Path) -> None:
    settings = {**keyed(), "ledger": {"folder": "ledger"}}
    async with running(tmp_path, settings, environ=ENVIRON) as router, httpx2.AsyncClient() as client:
        reply = await client.post(url(router), json=ASKING, headers={**bearing(KEY), "x-llmrouter-user": "u-1"})
        told = reply.json()["llmrouter"]
        receipt = await router.client(KEY).receipt(told["request_id"])
        await router.shipped()
        usage = await router.usage(KEY)
        assert (await client.post(url(router), json=ASKING)).status_code == 401
    assert receipt.cost_nano_usd == told["cost_nano_usd"] > 0
    assert receipt.tenant == "acme"
    assert usage.total.cost_nano_usd == told["cost_nano_usd"]


async def test_a_request_continues_the_callers_trace(tmp_path: Path) -> None:
    async with running(tmp_path, configured(server=LOOPBACK)) as router, httpx2.AsyncClient() as client:
        parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        reply = await client.post(url(router), json=ASKING, headers={"traceparent": parent})
        router.simulator.fail(None, "503", times=None)
        failed = await client.post(url(router), json=ASKING)
        spans = router.spans.trace("0af7651916cd43dd8448eb211c80319c")
        broken = [span for span in router.spans.spans if span.name.startswith("POST") and span not in spans]
    [server] = [span for span in spans if span.name == "POST /v1/chat/completions"]
    assert reply.json()["llmrouter"]["trace_id"] == "0af7651916cd43dd8448eb211c80319c"
    assert server.kind.name == "SERVER"
    assert f"{server.parent.span_id:x}" == "b7ad6b7169203331"
    assert server.attributes[semconv.HTTP_STATUS] == 200
    assert server.attributes[semconv.REQUEST_COST_TOTAL] > 0
    assert {span.name for span in spans} >= {"llm_router.route", "chat gpt-4o"}
    assert [span.attributes[semconv.ERROR_TYPE] for span in broken] == [str(failed.status_code)] == ["502"]


async def test_draining_is_told_and_awaited(caplog: pytest.LogCaptureFixture) -> None:
    """Calls in flight end, new ones are sent elsewhere, and connections are not kept."""
    going = asyncio.Event()

    async def script(call: Call, emit: Emit) -> None:
        await going.wait()

    engine = ScriptedEngine(script)
    async with serving_http(engine) as served:
        first, second = await served.connect(), await served.connect()
        first.ask()
        while not engine.calls:  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(0)
        second.send("GET", "/health/ready")
        assert (await second.reply()).status == 200
        served.server.lame_duck()
        served.admission.drain()
        second.send("GET", "/health/ready")
        ready = await second.reply()
        refused = await served.ask()
        going.set()
        answered = await first.reply()
        third = await served.connect()
        third.send("GET", "/health/live")
        assert (await third.reply()).status == 200
    assert (ready.status, json.loads(ready.body)) == (503, {"status": "draining"})
    assert (refused.status, refused.error["code"], refused.headers["connection"]) == (503, "DRAINING", "close")
    assert "x-should-retry" not in refused.headers
    assert (answered.status, answered.headers["connection"]) == (200, "close")
    assert caplog.records == []


@pytest.mark.parametrize("stream", [False, True])
async def test_what_outlasts_the_grace_is_ended_with_a_word(stream: bool) -> None:
    engine = ScriptedEngine(says(TextDelta("Hello"), then=forever))
    async with serving_http(engine) as served:
        connection = await served.connect()
        connection.ask({**ASKING, "stream": stream})
        if stream:
            await connection.reader.readuntil(b"Hello")
        else:
            while not engine.calls:  # noqa: ASYNC110 - it has no event
                await asyncio.sleep(0)
            await asyncio.sleep(0)
        served.admission.end()
        if stream:
            rest = (await connection.reader.readuntil(b"\r\n0\r\n\r\n")).decode()
            assert '"code":"DRAINING"' in rest
            assert '"cost_status":' in rest
            assert "[DONE]" not in rest
        else:
            reply = await connection.reply()
            assert (reply.status, reply.error["code"]) == (503, "DRAINING")
            assert reply.headers["x-should-retry"] == "false"


async def test_an_answer_that_was_paid_for_is_not_asked_again_when_a_drain_cuts_it_off(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Between the answer and its headers the counters of limits are asked, which may be far away."""
    looking, looks = asyncio.Event(), 0

    async def slow(subject: Subject, model: str) -> list[MeterState]:
        nonlocal looks
        looks += 1
        if looks == 1:
            looking.set()
            await asyncio.Event().wait()
        return []

    async with serving_http(ScriptedEngine(says(TextDelta("Hello.")))) as served:
        monkeypatch.setattr(served.completions._allowances, "allowances", slow, raising=False)
        connection = await served.connect()
        connection.ask()
        await within(30, looking)
        served.admission.end()
        reply = await connection.reply()
    assert (reply.status, reply.error["code"], reply.headers["x-should-retry"]) == (503, "DRAINING", "false")


@pytest.mark.parametrize("stream", [False, True])
async def test_a_repeat_waits_for_the_first_call_no_longer_than_its_own_caller_does(stream: bool) -> None:
    engine = ScriptedEngine(forever)
    async with serving_http(engine) as served:
        first = await served.connect()
        first.ask(idempotency_key="k")
        while not engine.calls:  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(0)
        repeat = await served.ask({**ASKING, "stream": stream}, idempotency_key="k", x_llmrouter_timeout="0.05")
    assert (repeat.status, repeat.error["code"]) == (504, "DEADLINE_EXCEEDED")
    assert len(engine.calls) == 1


async def test_a_stream_that_fails_before_output_is_a_plain_error_and_after_it_an_event() -> None:
    error = AttemptsFailed("It broke.", reason=Reason.STREAM_TRUNCATED)

    async def dispatched(call: Call, emit: Emit) -> None:
        await emit(started())

    async with serving_http(ScriptedEngine(dispatched, error=error)) as served:
        before = await served.ask({**ASKING, "stream": True})
    async with serving_http(ScriptedEngine(says(TextDelta("Hel")), error=error)) as served:
        after = await served.ask({**ASKING, "stream": True})
    assert (before.status, before.error["code"]) == (502, "STREAM_TRUNCATED")
    assert before.headers["x-should-retry"] == "false"
    assert before.headers["x-llmrouter-path"] == f"{FAILURE.deployment.id}=503"
    assert after.status == 200
    last = json.loads(after.body.decode().strip().split("\n\n")[-1].removeprefix("data: "))
    assert last["error"]["code"] == "STREAM_TRUNCATED"
    assert last["llmrouter"]["attempts"][0]["error_type"] == "503"
    assert b"[DONE]" not in after.body


async def test_what_fails_unforeseen_amid_a_stream_is_in_the_log_under_its_id(caplog: pytest.LogCaptureFixture) -> None:
    async with serving_http(ScriptedEngine(says(TextDelta("Hel")), error=ValueError("it was SECRET"))) as served:
        reply = await served.ask({**ASKING, "stream": True}, x_request_id="own-3")
    assert reply.body.count(b'"code":"INTERNAL"') == 1
    assert caplog.text.count("Request own-3 failed unexpectedly") == 1
    assert "SECRET" not in caplog.text + reply.body.decode()


async def test_a_stream_never_takes_back_what_it_said() -> None:
    engine = ScriptedEngine(says(TextDelta("a")))
    async with serving_http(engine) as served:
        await served.ask({**ASKING, "stream": True, "metadata": {"accept_discard": "true"}})
    assert engine.calls[0].wishes.accept_discard is False


@pytest.mark.parametrize("admin", [False, True])
async def test_metrics_are_for_administrators_or_at_a_port_of_their_own(tmp_path: Path, admin: bool) -> None:
    http = {"address": "127.0.0.1:0", **({"admin_address": "127.0.0.1:0"} if admin else {})}
    async with running(tmp_path, keyed(http=http), environ=ENVIRON) as router, httpx2.AsyncClient() as client:
        await client.post(url(router), json={**ASKING, "user": "somebody"}, headers=bearing(KEY))
        public = await client.get(url(router, "/metrics"))
        assert public.status_code == (401 if admin else 200)
        if admin:
            assert (await client.get(url(router, "/metrics"), headers=bearing(KEY))).status_code == 403
            assert (await client.get(url(router, "/metrics"), headers=bearing(ADMIN_KEY))).status_code == 200
            at = f"http://127.0.0.1:{router.application.admin_port}"
            assert (await client.get(f"{at}/v1/models")).status_code == 404
            assert (await client.get(f"{at}/health/ready")).status_code == 200
            public = await client.get(f"{at}/metrics")
    assert public.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert "llm_router_requests_total{" in public.text
    assert "http_server_request_duration_seconds_count{" in public.text
    assert "somebody" not in public.text


async def test_metrics_that_are_off_say_how_to_have_them(tmp_path: Path) -> None:
    settings = configured(server={**LOOPBACK, "http": {"address": "127.0.0.1:0", "metrics": False}})
    async with running(tmp_path, settings, environ=ENVIRON) as router, httpx2.AsyncClient() as client:
        reply = await client.get(url(router, "/metrics"))
    assert reply.status_code == 404
    assert "server.http.metrics" in reply.json()["error"]["message"]


async def test_without_identity_it_listens_on_loopback_only(tmp_path: Path) -> None:
    file = tmp_path / "router.yaml"
    file.write_text(yaml.safe_dump({**CONFIGURATION, "server": {**LOOPBACK, "http": {"address": "0.0.0.0:0"}}}))
    application = Application(file, environ={"SIMULATOR_URL": "http://127.0.0.1:1"})
    with pytest.raises(CannotServe, match=r"0\.0\.0\.0:0"):
        await application.start()
    await application.stop()


async def test_a_port_that_is_taken_is_told(tmp_path: Path) -> None:
    async with running(tmp_path, configured(server=LOOPBACK)) as router:
        taken = f"127.0.0.1:{router.application.http_port}"
        file = tmp_path / "second.yaml"
        file.write_text(yaml.safe_dump(configured(server={**LOOPBACK, "http": {"address": taken}})))
        second = Application(file, environ=router.environ)
        with pytest.raises(CannotServe, match="another program"):
            await second.start()


async def test_over_tls_a_certificate_names_the_caller_and_is_read_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    authority = Authority()
    (tmp_path / "ca.pem").write_bytes(authority.certificate)
    issue(authority, tmp_path)
    tls = {"cert_file": "cert.pem", "key_file": "key.pem", "client_ca_file": "ca.pem"}
    identity = {"mtls": {"identities": {BILLING: {"tenant": "billing", **EVERYTHING}}}}
    settings = configured(server={**LOOPBACK, "tls": tls}, identity=identity)
    chain, private = authority.issue(x509.UniformResourceIdentifier(BILLING))
    (tmp_path / "mine.pem").write_bytes(chain + private)
    context = ssl.create_default_context(cadata=authority.certificate.decode())
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    context.load_cert_chain(tmp_path / "mine.pem")
    async with running(tmp_path, settings) as router:
        at = f"https://localhost:{router.application.http_port}/v1/chat/completions"
        async with httpx2.AsyncClient(verify=context) as client:
            reply = await client.post(at, json=ASKING)
        receipt = router.application.engine.receipt("billing", reply.json()["llmrouter"]["request_id"])
        before = await serial(router, context)
        issue(authority, tmp_path)
        assert await serial(router, context) != before
        with caplog.at_level(logging.WARNING):
            (tmp_path / "key.pem").write_text("no key")
            again = await serial(router, context)
        assert again != before
        assert "the old ones stay" in caplog.text
    assert receipt is not None


def issue(authority: Authority, folder: Path) -> None:
    """A new certificate of the server, in its files."""
    certificate, key = authority.issue(x509.DNSName("localhost"))
    (folder / "key.pem").write_bytes(key)
    (folder / "cert.pem").write_bytes(certificate)


async def serial(router: Running, context: ssl.SSLContext) -> str:
    """The serial number of the certificate that the server shows."""
    assert router.application.http_port
    _, writer = await asyncio.open_connection("localhost", router.application.http_port, ssl=context)
    certificate = writer.get_extra_info("peercert")
    writer.close()
    return str(certificate["serialNumber"])


async def test_a_router_without_http_does_not_listen(tmp_path: Path) -> None:
    async with running(tmp_path) as router:
        assert router.application.http_port is None
        await router.stub.ListModels(router_service_pb2.ListModelsRequest())


@pytest.mark.parametrize(
    ("http", "host"), [(None, "127.0.0.1"), (HttpSettings(address="[::1]:9"), "[::1]")], ids=["off", "on"]
)
def test_a_port_of_the_command_line_is_served_on_the_files_host(http: HttpSettings | None, host: str) -> None:
    assert _on_port(8088, ServerSettings(http=http)).address == f"{host}:8088"
