"""Draws by what a text is: every process draws alike."""

from __future__ import annotations

from hashlib import blake2b

_DRAW_BITS = 52  # so that a draw strictly between 0 and 1 is exact in a float


def chance(text: str) -> float:
    """Strictly between 0 and 1, evenly spread over texts, and always the same for the same text."""
    digest = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    drawn: float = ((int.from_bytes(digest, "big") >> (64 - _DRAW_BITS)) + 0.5) / 2**_DRAW_BITS
    return drawn
