"""HTTP/2 by hand: clients that do what no gRPC library would."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import IntEnum

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
END_STREAM = ACK = 0x1
END_HEADERS = 0x4
REFUSED_STREAM = 0x7
CANCEL = 0x8
ENHANCE_YOUR_CALM = 0xB
Headers = Iterable[tuple[str, str | bytes]]


class Kind(IntEnum):
    """Frame types of RFC 9113."""

    DATA = 0x0
    HEADERS = 0x1
    RST_STREAM = 0x3
    SETTINGS = 0x4
    PING = 0x6
    GOAWAY = 0x7
    WINDOW_UPDATE = 0x8
    CONTINUATION = 0x9


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame. `kind` is a number, as there may be kinds beyond `Kind`."""

    kind: int
    flags: int
    stream: int
    payload: bytes

    @property
    def error(self) -> int:
        """The error code of a GOAWAY or RST_STREAM."""
        return int(struct.unpack("!I", self.payload[4:8] if self.kind == Kind.GOAWAY else self.payload[:4])[0])


def frame(kind: Kind, stream: int = 0, payload: bytes = b"", flags: int = 0) -> bytes:
    return struct.pack("!BHBBI", len(payload) >> 16, len(payload) & 0xFFFF, kind, flags, stream) + payload


def headers(fields: Headers) -> bytes:
    """A header block of literals that are neither indexed nor compressed."""
    block = bytearray()
    for name, value in fields:
        block += b"\x00" + _string(name.encode()) + _string(value if isinstance(value, bytes) else value.encode())
    return bytes(block)


def _string(text: bytes) -> bytes:
    if len(text) < 127:
        return bytes([len(text)]) + text
    rest, encoded = len(text) - 127, bytearray([127])
    while rest >= 128:
        encoded.append(rest % 128 + 128)
        rest //= 128
    return bytes(encoded) + bytes([rest]) + text


def call_headers(path: str, extra: Headers = ()) -> bytes:
    return headers(
        [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", path),
            (":authority", "localhost"),
            ("te", "trailers"),
            ("content-type", "application/grpc"),
            *extra,
        ]
    )


def message(payload: bytes, *, compressed: bool = False) -> bytes:
    """A gRPC message as it stands in DATA frames."""
    return struct.pack("!BI", compressed, len(payload)) + payload


def call(stream: int, path: str, payload: bytes, extra: Headers = ()) -> bytes:
    """A whole call of one small message."""
    return frame(Kind.HEADERS, stream, call_headers(path, extra), END_HEADERS) + frame(
        Kind.DATA, stream, message(payload), END_STREAM
    )


class RawConnection:
    """A connection whose client reads and writes frames."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def send(self, data: bytes) -> None:
        """Send what the server still takes; raises `ConnectionError` once it takes no more."""
        self._writer.write(data)
        await self._writer.drain()

    async def greet(self, settings: bytes = b"") -> None:
        """Begin HTTP/2, and agree to the server's settings."""
        await self.send(PREFACE + frame(Kind.SETTINGS, payload=settings))
        await self.until(Kind.SETTINGS)
        await self.send(frame(Kind.SETTINGS, flags=ACK))

    async def frames(self) -> AsyncIterator[Frame]:
        """What the server says, until it closes the connection."""
        try:
            while True:
                head = await self._reader.readexactly(9)
                high, low, kind, flags, stream = struct.unpack("!BHBBI", head)
                yield Frame(kind, flags, stream & 0x7FFF_FFFF, await self._reader.readexactly((high << 16) + low))
        except (asyncio.IncompleteReadError, ConnectionError):
            return

    async def until(self, kind: Kind, seconds: float = 30) -> Frame:
        """The next frame of this kind. Raises `AssertionError` where the connection ends before."""
        async with asyncio.timeout(seconds):
            async for seen in self.frames():
                if seen.kind == kind:
                    return seen
        raise AssertionError(f"the connection ended without {kind.name}")

    async def ended(self, seconds: float = 30) -> list[Frame]:
        """All frames until the server closes the connection."""
        async with asyncio.timeout(seconds):
            return [seen async for seen in self.frames()]


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[RawConnection]:
    """A TCP connection on which nothing has been said yet."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield RawConnection(reader, writer)
    finally:
        writer.transport.abort()
