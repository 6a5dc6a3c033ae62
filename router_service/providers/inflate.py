"""Reading a compressed body, which nobody asked for, in small pieces: however little arrives may become anything."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Awaitable, Callable

import httpx2

_STEP = 64 * 1024
_GZIP = ("gzip", "x-gzip")
_GZIP_WINDOW = zlib.MAX_WBITS | 16


class Inflating:
    """`read` gives what arrived, empty at the end; so does this, inflated, at most 64 KiB at a time.

    `coding` is the body's `content-encoding`. Raises `httpx2.DecodingError` for one that is unknown, and for damage.
    """

    def __init__(self, read: Callable[[], Awaitable[bytes]], coding: str) -> None:
        self._read = read
        self._coding = coding.strip().lower()
        self._inflater: zlib._Decompress | None = None
        self._arrived = b""
        self._ended = False

    async def __call__(self) -> bytes:
        if self._coding not in (*_GZIP, "deflate"):
            raise httpx2.DecodingError("The content encoding is unknown")
        while not (piece := self._inflate()):
            data = b"" if self._ended else await self._read()
            if not data:
                return b""
            self._arrived += data
        # There may be many pieces in what arrived at once, and others want their turn in between.
        await asyncio.sleep(0)
        return piece

    def _inflate(self) -> bytes:
        """The next piece of what arrived, empty where more must arrive for one."""
        piece = b""
        while not piece and len(self._arrived) >= (1 if self._inflater else 2):
            inflater = self._inflater = self._inflater or zlib.decompressobj(self._window())
            try:
                piece = inflater.decompress(self._arrived, _STEP)
            except zlib.error as error:
                raise httpx2.DecodingError("The compressed body is damaged") from error
            self._arrived = inflater.unconsumed_tail
            if inflater.eof:
                # A gzip body may be several, one after the other; behind any other nothing counts.
                self._ended = self._coding not in _GZIP
                self._arrived = b"" if self._ended else inflater.unused_data
                self._inflater = None
        return piece

    def _window(self) -> int:
        if self._coding in _GZIP:
            return _GZIP_WINDOW
        # Some mean by "deflate" what has no zlib header.
        first, second = self._arrived[:2]
        has_header = first & 15 == zlib.DEFLATED and (first * 256 + second) % 31 == 0
        return zlib.MAX_WBITS if has_header else -zlib.MAX_WBITS
