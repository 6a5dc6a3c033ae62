"""A port is held for workers and refused where anybody else has it."""

from __future__ import annotations

import socket

import pytest

from router_service.workers.port import HeldPort, PortTaken


def listener(port: int, *, shared: bool) -> socket.socket:
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if shared:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        listening.bind(("127.0.0.1", port))
        listening.listen()
    except OSError:
        listening.close()
        raise
    return listening


@pytest.fixture
def held():
    port = HeldPort("127.0.0.1:0")
    yield port
    port.close()


def number_of(port: HeldPort) -> int:
    return int(port.address.rpartition(":")[2])


def test_workers_share_a_held_port_and_get_every_connection(held):
    with listener(number_of(held), shared=True) as one, listener(number_of(held), shared=True) as other:
        for _ in range(20):
            socket.create_connection(("127.0.0.1", number_of(held)), timeout=5).close()
        taken = 0
        for worker in (one, other):
            worker.setblocking(False)
            while True:
                try:
                    worker.accept()[0].close()
                except BlockingIOError:
                    break
                taken += 1
    assert taken == 20


def test_another_program_cannot_take_a_held_port(held):
    with pytest.raises(OSError, match="in use"):
        listener(number_of(held), shared=False)
    with pytest.raises(PortTaken, match="another program does already"):
        HeldPort(held.address)


@pytest.mark.parametrize("shared", [False, True])
def test_a_port_that_somebody_listens_on_is_refused(shared):
    with listener(0, shared=shared) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        with pytest.raises(PortTaken, match=f"Cannot listen on {address}: another program does already"):
            HeldPort(address)


def test_connections_of_a_router_that_ended_do_not_keep_the_port():
    with listener(0, shared=False) as before:
        number = before.getsockname()[1]
        with socket.create_connection(("127.0.0.1", number)) as client:
            before.accept()[0].close()
            client.recv(1)
    again = HeldPort(f"127.0.0.1:{number}")
    with listener(number, shared=True):
        pass
    again.close()


def test_names_and_all_interfaces_are_held_under_one_number():
    for host in ("localhost", "0.0.0.0", "[::]"):  # noqa: S104 - held, not listened on
        port = HeldPort(f"{host}:0")
        assert port.address == f"{host}:{number_of(port)}"
        with pytest.raises(PortTaken):
            HeldPort(f"127.0.0.1:{number_of(port)}")
        port.close()


@pytest.mark.parametrize(("address", "says"), [("192.0.2.1:0", "no such address"), ("nowhere.invalid:1", "not known")])
def test_an_address_that_is_not_here_is_told(address, says):
    with pytest.raises(PortTaken, match=says):
        HeldPort(address)
