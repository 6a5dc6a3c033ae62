"""Compressed bodies, in pieces of any size."""

from __future__ import annotations

import gzip
import zlib

import httpx2
import pytest

from router_service.providers.inflate import Inflating

TEXT = b"".join(b"%d bottles of beer\n" % number for number in range(50_000))


def bare(data: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return compressor.compress(data) + compressor.flush()


async def inflated(body: bytes, coding: str, size: int = 1_000_000) -> list[bytes]:
    arriving = iter([body[at : at + size] for at in range(0, len(body), size)])

    async def read() -> bytes:
        return next(arriving, b"")

    inflating = Inflating(read, coding)
    pieces = []
    while piece := await inflating():
        pieces.append(piece)
    return pieces


def zipped(data: bytes) -> bytes:
    """Compressed without the time of day, which would name the tests anew each second."""
    return gzip.compress(data, mtime=0)


@pytest.mark.parametrize("size", [1, 7, 1_000_000])
@pytest.mark.parametrize(
    ("coding", "body"),
    [
        ("gzip", zipped(TEXT)),
        (" X-GZIP", zipped(TEXT)),
        ("gzip", zipped(TEXT[:70_000]) + zipped(b"") + zipped(TEXT[70_000:])),
        ("deflate", zlib.compress(TEXT)),
        ("deflate", bare(TEXT)),
        ("deflate", zlib.compress(TEXT) + b"rubbish"),
    ],
)
async def test_a_body_is_inflated_in_small_pieces(coding: str, body: bytes, size: int) -> None:
    pieces = await inflated(body, coding, size)
    assert b"".join(pieces) == TEXT
    assert max(map(len, pieces)) <= 64 * 1024


async def test_a_body_that_is_cut_off_gives_what_was_there() -> None:
    cut = zipped(TEXT)[:-100]
    said = b"".join(await inflated(cut, "gzip"))
    assert 0 < len(said) < len(TEXT)
    assert TEXT.startswith(said)


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        ("br", b"x"),
        ("zstd", b"x"),
        ("gzip, gzip", zipped(zipped(b"x"))),
        ("gzip", b"not compressed"),
        ("gzip", zipped(b"x") + b"rubbish"),
        ("deflate", b"\x78\x9c\xff\xff\xff"),
    ],
)
async def test_what_cannot_be_read_is_an_error(coding: str, body: bytes) -> None:
    with pytest.raises(httpx2.DecodingError):
        await inflated(body, coding)
