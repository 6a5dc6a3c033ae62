"""The server's life: where it listens, what it tells of itself, how it stops."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import grpc
import grpc.aio
import pytest
import trustme
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_status import rpc_status
from identities import identified
from scripted_engine import (
    ANY_PORT,
    NoAccounts,
    Script,
    ScriptedEngine,
    Served,
    complete_request,
    forever,
    read_all,
    says,
    serving,
    started,
    stream_request,
    trailers,
    until_in_flight,
    within,
)

from llmrouter.v1 import router_service_pb2_grpc
from router_service.config.configuration import ServerSettings, TlsSettings
from router_service.domain.call import Call
from router_service.domain.event import Deltas, Emit, TextDelta
from router_service.edge.address import CannotServe
from router_service.rpc.server import GrpcServer
from router_service.rpc.servicer import SERVICE, RouterServicer

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


def server_on(settings: ServerSettings) -> GrpcServer:
    servicer = RouterServicer(ScriptedEngine(), identity_of=identified(lambda context: "acme"), accounts=NoAccounts())
    return GrpcServer(settings, servicer)


class Pause:
    """A sleep that lasts until it is told to end."""

    def __init__(self) -> None:
        self.began = asyncio.Event()
        self.end = asyncio.Event()
        self.seconds = 0.0

    async def __call__(self, seconds: float) -> None:
        self.seconds = seconds
        self.began.set()
        await self.end.wait()


def health_of(served: Served) -> health_pb2_grpc.HealthStub:
    return health_pb2_grpc.HealthStub(served.channel)


@pytest.mark.parametrize("service", ["", SERVICE])
async def test_health_says_serving_for_the_server_and_its_service(service: str) -> None:
    async with serving(ScriptedEngine()) as served:
        response = await health_of(served).Check(health_pb2.HealthCheckRequest(service=service))

    assert response.status == SERVING


async def test_health_of_an_unknown_service_is_not_found_and_watched_as_unknown() -> None:
    async with serving(ScriptedEngine()) as served:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await health_of(served).Check(health_pb2.HealthCheckRequest(service="absent"))
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND

        watch = health_of(served).Watch(health_pb2.HealthCheckRequest(service="absent"))
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
        watch.cancel()


async def test_draining_tells_health_first_serves_through_the_lame_duck_then_refuses_and_lets_calls_end() -> None:
    speak = asyncio.Event()

    async def script(call: Call, emit: Emit) -> None:
        await says(TextDelta("a"))(call, emit)
        await speak.wait()
        await emit(Deltas(attempt=1, deltas=[TextDelta("b")]))

    pause = Pause()
    settings = ServerSettings(address="127.0.0.1:0", lame_duck=1.5, grace=20.0)
    engine = ScriptedEngine(script=script)
    async with serving(engine, settings, sleep=pause) as served:
        leaving = health_of(served).Watch(health_pb2.HealthCheckRequest(service=SERVICE))
        watch = health_of(served).Watch(health_pb2.HealthCheckRequest(service=SERVICE))
        assert (await leaving.read()).status == SERVING
        assert (await watch.read()).status == SERVING
        leaving.cancel()
        stream = served.stub.StreamComplete(stream_request())
        assert (await stream.read()).sequence == 1

        draining = asyncio.create_task(served.server.drain())
        assert (await watch.read()).status == NOT_SERVING
        await within(30, pause.began)
        assert pause.seconds == 1.5
        engine.script = None
        await served.stub.Complete(complete_request())

        pause.end.set()
        await asyncio.sleep(0)
        refused = served.stub.Complete(complete_request())
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await refused
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        status = await rpc_status.aio.from_call(refused)
        assert status is not None
        assert b"DRAINING" in status.SerializeToString()
        assert "grpc-retry-pushback-ms" not in await trailers(refused)

        assert not draining.done()
        speak.set()
        said = 1
        while await stream.read() is not grpc.aio.EOF:
            said += 1
        assert (said, await stream.code()) == (5, grpc.StatusCode.OK)
        async with asyncio.timeout(30):
            await draining
            await served.server.wait()


SHORT_GRACE = ServerSettings(address="127.0.0.1:0", lame_duck=0.0, grace=0.02)


async def nothing(call: Call, emit: Emit) -> None:
    """A call that has not reached a provider."""


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(("so_far", "pushback"), [(says(), "-1"), (says(TextDelta("a")), "-1"), (nothing, None)])
async def test_a_call_that_outlasts_the_grace_is_ended_accounted_for_and_told_so(
    streamed: bool, so_far: Script, pushback: str | None
) -> None:
    waits = asyncio.Event()

    async def script(call: Call, emit: Emit) -> None:
        await so_far(call, emit)
        waits.set()
        await asyncio.Event().wait()

    engine = ScriptedEngine(script=script)
    async with serving(engine, SHORT_GRACE) as served:
        call = served.stub.StreamComplete(stream_request()) if streamed else served.stub.Complete(complete_request())
        await within(30, waits)
        async with asyncio.timeout(30):
            await served.server.drain()

            assert engine.cancelled.is_set()
            assert served.server.in_flight == 0
            if streamed:
                await read_all(call)
            assert await call.code() is grpc.StatusCode.UNAVAILABLE
            status = await rpc_status.aio.from_call(call)
            metadata = await trailers(call)

    assert status is not None
    kinds = [detail.type_url.rsplit(".", 1)[-1] for detail in status.details]
    assert kinds == ["ErrorInfo", "ReceiptSummary"]
    assert b"DRAINING" in status.SerializeToString()
    assert metadata.get("grpc-retry-pushback-ms") == pushback


async def test_a_caller_that_stopped_reading_does_not_hold_up_the_end() -> None:
    async def flood(call: Call, emit: Emit) -> None:
        await emit(started())
        while True:
            await emit(Deltas(attempt=1, deltas=[TextDelta("x" * 65_536)]))

    engine = ScriptedEngine(script=flood)
    async with serving(engine, SHORT_GRACE) as served:
        stream = served.stub.StreamComplete(stream_request())
        await stream.read()
        async with asyncio.timeout(30):
            await served.server.drain()

        assert engine.cancelled.is_set()
        stream.cancel()


async def test_a_caller_that_leaves_while_its_call_is_ended_is_not_an_error(caplog: pytest.LogCaptureFixture) -> None:
    async with serving(ScriptedEngine(script=forever), SHORT_GRACE) as served:
        call = served.stub.Complete(complete_request())
        await until_in_flight(served)
        draining = asyncio.create_task(served.server.drain())
        await asyncio.sleep(0.02)
        call.cancel()
        async with asyncio.timeout(30):
            await draining

    assert [it for it in caplog.records if it.name.startswith("llmrouter") and it.levelno >= logging.ERROR] == []


async def test_health_is_answered_at_the_cap() -> None:
    settings = ServerSettings(address="127.0.0.1:0", lame_duck=0.0, grace=5.0, max_concurrent_calls=1)
    async with serving(ScriptedEngine(script=forever), settings) as served:
        running = served.stub.Complete(complete_request())
        await until_in_flight(served)
        assert (await health_of(served).Check(health_pb2.HealthCheckRequest())).status == SERVING
        running.cancel()
        await until_in_flight(served, 0)


async def listed_services(served: Served) -> set[str]:
    stub = reflection_pb2_grpc.ServerReflectionStub(served.channel)

    async def requests():  # type: ignore[no-untyped-def]
        yield reflection_pb2.ServerReflectionRequest(list_services="")

    async for response in stub.ServerReflectionInfo(requests()):
        return {service.name for service in response.list_services_response.service}
    return set()


async def test_reflection_is_on_where_only_this_machine_can_see_it() -> None:
    async with serving(ScriptedEngine()) as served:
        assert {SERVICE, "grpc.health.v1.Health"} <= await listed_services(served)


async def test_reflection_can_be_switched_off() -> None:
    settings = ServerSettings(address="127.0.0.1:0", lame_duck=0.0, reflection=False)
    async with serving(ScriptedEngine(), settings) as served:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await listed_services(served)
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_it_refuses_to_listen_where_strangers_could_call() -> None:
    with pytest.raises(CannotServe, match="authenticated"):
        await server_on(ServerSettings(address="0.0.0.0:0")).start()


async def test_a_port_in_use_is_said_clearly() -> None:
    async with serving(ScriptedEngine()) as served:
        with pytest.raises(CannotServe, match=rf"127\.0\.0\.1:{served.port}.*another program"):
            await server_on(ServerSettings(address=f"127.0.0.1:{served.port}")).start()


async def test_it_serves_on_a_unix_socket_and_takes_it_from_nobody(tmp_path: Path) -> None:
    address = f"unix:{tmp_path}/router.sock"
    server = server_on(ServerSettings(address=address, lame_duck=0.0))
    await server.start()
    async with grpc.aio.insecure_channel(address) as channel:
        stub = router_service_pb2_grpc.RouterServiceStub(channel)
        assert (await stub.Complete(complete_request())).receipt.tenant == "acme"
        with pytest.raises(CannotServe, match="another program"):
            await server_on(ServerSettings(address=address)).start()
        assert (await stub.Complete(complete_request())).receipt.tenant == "acme"
    await server.drain()


def write_certificate(directory: Path, ca: trustme.CA, *, client_ca: bool = False) -> TlsSettings:
    certificate = ca.issue_cert("localhost")
    files = {
        "cert.pem": certificate.cert_chain_pems[0].bytes(),
        "key.pem": certificate.private_key_pem.bytes(),
        "ca.pem": ca.cert_pem.bytes(),
    }
    for name, content in files.items():
        # Renamed into place, as certificate managers do.
        (directory / f"{name}.new").write_bytes(content)
        (directory / f"{name}.new").replace(directory / name)
    return TlsSettings(
        cert_file=str(directory / "cert.pem"),
        key_file=str(directory / "key.pem"),
        client_ca_file=str(directory / "ca.pem") if client_ca else None,
    )


async def reaches(port: int, credentials: grpc.ChannelCredentials) -> bool:
    options = [("grpc.use_local_subchannel_pool", 1)]
    async with grpc.aio.secure_channel(f"localhost:{port}", credentials, options) as channel:
        stub = router_service_pb2_grpc.RouterServiceStub(channel)
        try:
            await stub.Complete(complete_request(), timeout=30)
        except grpc.aio.AioRpcError as error:
            return error.code() is not grpc.StatusCode.UNAVAILABLE
        return True


def trusting(ca: trustme.CA) -> grpc.ChannelCredentials:
    return grpc.ssl_channel_credentials(root_certificates=ca.cert_pem.bytes())


async def test_a_new_certificate_is_served_without_a_restart(tmp_path: Path) -> None:
    old, new = trustme.CA(), trustme.CA()
    settings = ServerSettings(address="localhost:0", tls=write_certificate(tmp_path, old), lame_duck=0.0)
    server = server_on(settings)
    port = await server.start()
    assert await reaches(port, trusting(old))
    assert not await reaches(port, trusting(new))

    write_certificate(tmp_path, new)

    assert await reaches(port, trusting(new))
    assert not await reaches(port, trusting(old))
    await server.drain()


@pytest.mark.parametrize("name", ["cert.pem", "key.pem"])
async def test_a_certificate_that_does_not_fit_its_key_is_not_taken_over(tmp_path: Path, name: str) -> None:
    ca = trustme.CA()
    settings = ServerSettings(address="localhost:0", tls=write_certificate(tmp_path, ca), lame_duck=0.0)
    server = server_on(settings)
    port = await server.start()

    (tmp_path / name).write_bytes(b"half of a fi")

    assert await reaches(port, trusting(ca))
    await server.drain()


async def test_with_a_client_ca_only_its_clients_get_in(tmp_path: Path) -> None:
    ca = trustme.CA()
    client = ca.issue_cert("client.internal")
    settings = ServerSettings(address="localhost:0", tls=write_certificate(tmp_path, ca, client_ca=True), lame_duck=0.0)
    server = server_on(settings)
    port = await server.start()

    with_certificate = grpc.ssl_channel_credentials(
        ca.cert_pem.bytes(), client.private_key_pem.bytes(), client.cert_chain_pems[0].bytes()
    )
    assert await reaches(port, with_certificate)
    assert not await reaches(port, trusting(ca))
    await server.drain()


async def test_missing_tls_files_are_said_clearly(tmp_path: Path) -> None:
    tls = TlsSettings(cert_file=str(tmp_path / "none.pem"), key_file=str(tmp_path / "none.key"))
    with pytest.raises(CannotServe, match=r"server\.tls"):
        await server_on(ServerSettings(address="localhost:0", tls=tls)).start()


async def test_an_error_in_a_generator_is_translated_too() -> None:
    stream_of_nonsense = b"\xff\xff"
    async with serving(ScriptedEngine(), ANY_PORT) as served:
        call = served.channel.stream_stream("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo")(
            iter([stream_of_nonsense])
        )
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call.read()

    assert caught.value.code() is grpc.StatusCode.INTERNAL
    assert "request id" in (caught.value.details() or "")
