"""What fuzzing begins with: the recorded streams, cut here and there, and what it found before."""

from __future__ import annotations

from pathlib import Path

from stream_invariants import an_input

_HERE = Path(__file__).parent
_RECORDINGS = _HERE.parent / "contract" / "providers" / "streams"


def seeds() -> dict[str, bytes]:
    """Inputs by name."""
    found = {path.name: path.read_bytes() for path in sorted((_HERE / "findings").iterdir())}
    for path in sorted(_RECORDINGS.glob("*.sse")):
        stream = path.read_bytes()
        found[path.stem] = an_input(stream)
        found[f"{path.stem}-cut"] = an_input(stream, len(stream) // 3, len(stream) // 2, len(stream) - 3)
        found[f"{path.stem}-crlf"] = an_input(stream.replace(b"\n", b"\r\n"), 7, len(stream) // 2)
    return found
