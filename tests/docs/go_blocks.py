"""Go blocks, each a package of its own, compiled against the client of this checkout."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

from doc_blocks import ROOT, Block

CLIENT = ROOT / "clients" / "go"
_MODULE = "github.com/llmrouter/llmrouter/clients/go"
_IMPORTS = {
    "context": "context", "errors": "errors", "fmt": "fmt", "io": "io", "log": "log", "os": "os", "time": "time",
    "codes": "google.golang.org/grpc/codes", "credentials": "google.golang.org/grpc/credentials",
    "llmrouter": f"{_MODULE}/llmrouter", "llmrouterv1": f"{_MODULE}/llmrouter/v1",
}  # fmt: skip
_GIVEN = "ctx context.Context, router *llmrouter.Client, request *llmrouter.Request"


def program_of(block: Block) -> str:
    """The block as a file; one that is no file stands in a function that is given a context, a client and a request."""
    if block.code.lstrip().startswith("package "):
        return block.code
    names = [
        name for found in re.findall(r"^(\w+(?:, \w+)*) :=", block.code, re.MULTILINE) for name in found.split(",")
    ]
    used = "".join(f"\t_ = {name.strip()}\n" for name in dict.fromkeys(names))
    body = f"func block({_GIVEN}) error {{\n{block.code}{used}\treturn nil\n}}\n\nfunc main() {{ _ = block }}\n"
    imports = "".join(f'\t{name} "{path}"\n' for name, path in _IMPORTS.items() if re.search(rf"\b{name}\.", body))
    return f"package main\n\nimport (\n{imports})\n\n{body}"


def compile_all(blocks: Iterable[Block], folder: Path) -> str:
    """What the compiler says of them; empty where it has nothing to say."""
    shutil.copy(CLIENT / "go.sum", folder / "go.sum")
    requires = (CLIENT / "go.mod").read_text().replace(f"module {_MODULE}", "module example.com/docs")
    own = f"\nrequire {_MODULE} v0.0.0\n\nreplace {_MODULE} => {CLIENT}\n"
    (folder / "go.mod").write_text(requires + own)
    for number, block in enumerate(blocks):
        package = folder / f"block{number}"
        package.mkdir()
        (package / "main.go").write_text(f"//line {block.page}:{block.line}\n{program_of(block)}")
    ran = subprocess.run(
        ["go", "vet", "-mod=mod", "./..."],  # noqa: S607 - whichever Go is installed
        cwd=folder,
        env={**os.environ, "GOFLAGS": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    return "" if ran.returncode == 0 else ran.stderr or "go vet failed"
