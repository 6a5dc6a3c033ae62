"""Fuzzes the reading of streams with atheris: `make fuzz`, or `python tests/fuzz/fuzz_streams.py -max_total_time=60`.

The recorded streams and past findings are the first inputs; an input that breaks an invariant is written to
`.fuzz/crash-*`, to be shortened (`-minimize_crash=1`), repaired and kept in `findings/`.
"""

from __future__ import annotations

import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["router_service.providers"]):
    from stream_invariants import check
    from stream_seeds import seeds

HERE = Path(__file__).parent
WORK = HERE.parent.parent / ".fuzz"


def main() -> None:
    """Hand over to libFuzzer with its own options."""
    corpus = WORK / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    for name, data in seeds().items():
        (corpus / name).write_bytes(data)
    options = [f"-dict={HERE / 'streams.dict'}", f"-artifact_prefix={WORK}/", "-max_len=4096", "-timeout=10"]
    atheris.Setup([sys.argv[0], *options, *sys.argv[1:], str(corpus)], check)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
