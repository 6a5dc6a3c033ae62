"""Numbers with their nouns."""

from __future__ import annotations


def counted(number: int, one: str, many: str = "") -> str:
    """Such as "1 call" or "2 calls"; `many` where the plural is not made with an s."""
    return f"{number} {one if number == 1 else many or f'{one}s'}"
