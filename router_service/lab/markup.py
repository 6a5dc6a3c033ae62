"""Text of models and prompts within HTML: it is hostile, and nothing of it may act."""

from __future__ import annotations

import html

_KEPT = "\n\t"


def safe(text: str) -> str:
    """The text for an element or a quoted attribute. What HTML or a reader's eyes cannot show is marked as such."""
    return html.escape("".join(one if _shows(one) else f"\\u{ord(one):04x}" for one in text), quote=True)


def _shows(one: str) -> bool:
    # Not printable are control and format characters, among them those that turn the direction of what follows, and
    # halves of pairs; all kinds of space are harmless.
    return one.isprintable() or one in _KEPT or (one.isspace() and one not in "\x1c\x1d\x1e\x1f\x0b\x0c\x85")
