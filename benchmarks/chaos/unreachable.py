"""Addresses that cannot be reached: real sockets on loopback, and a name that no resolver looks up."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress

import trustme

from benchmarks.chaos.faults import Address

# The system's resolver refuses it by itself: name servers may take seconds to say no to many questions at once.
_NO_NAME = "-chaos.invalid"


@contextmanager
def unreachable() -> Iterator[Mapping[Address, str]]:
    """The base URL of each address, while entered."""
    with ExitStack() as stack:
        yield {
            Address.UNKNOWN_HOST: f"http://{_NO_NAME}/v1",
            Address.REFUSED: f"http://127.0.0.1:{stack.enter_context(_bound_only())}/v1",
            Address.SYN_DROPPED: f"http://127.0.0.1:{stack.enter_context(_full_backlog())}/v1",
            Address.TLS_UNTRUSTED: f"https://localhost:{stack.enter_context(_untrusted())}/v1",
        }


@contextmanager
def _bound_only() -> Iterator[int]:
    """A port that is taken, so that nobody else listens on it, and refuses."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]


@contextmanager
def _full_backlog() -> Iterator[int]:
    """A listener that never accepts and whose queue is full: the kernel drops every further SYN."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        for _ in range(8):
            filler = stack.enter_context(socket.socket())
            filler.settimeout(0.1)
            try:
                filler.connect(address)
            except TimeoutError:
                break
        else:
            raise RuntimeError("this system accepts connections beyond the backlog: SYN drop cannot be staged")
        yield address[1]


@contextmanager
def _untrusted() -> Iterator[int]:
    """A TLS server with a certificate that nobody here trusts."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("localhost", "127.0.0.1").configure_cert(context)
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        thread = threading.Thread(target=_shake_hands, args=(listener, context), daemon=True)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def _shake_hands(listener: socket.socket, context: ssl.SSLContext) -> None:
    while True:
        try:
            client, _ = listener.accept()
        except OSError:
            return
        with client, suppress(OSError):
            client.settimeout(1.0)
            context.wrap_socket(client, server_side=True).close()
