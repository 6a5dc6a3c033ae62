"""Every fenced block of the documentation, and the marks that authors give them.

A comment right before a block says what a reader can see anyway and a test cannot:

    <!-- in: policies.default -->    the YAML below belongs there in a configuration; `chart values` are the chart's
    <!-- not run: why -->            the block is only parsed, or looked at; the reason is printed with the count
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    page
    for pattern in ("*.md", "docs/*.md", "docs/adr/*.md", "clients/*/README.md", "tests/*/README.md", "deploy/**/*.md")
    for page in ROOT.glob(pattern)
)

_FENCE = re.compile(
    r"(?:^[ ]*<!-- (?P<mark>in|not run): (?P<said>[^\n]*?) -->\n+)?"
    r"^(?P<indent>[ ]*)```(?P<language>[\w+-]*)[^\n]*\n(?P<code>.*?)^(?P=indent)```[ ]*$",
    re.MULTILINE | re.DOTALL,
)
_OURS = "llmrouter"


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block; `page` is relative to the project, `within` a path in a configuration, `not_run` a reason."""

    page: str
    line: int
    language: str
    code: str
    within: str = ""
    not_run: str = ""

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


@cache
def blocks(*languages: str) -> list[Block]:
    """All blocks in these languages; of every language where none is given."""
    found = [
        block for page in PAGES for block in blocks_of(page.read_text(encoding="utf-8"), str(page.relative_to(ROOT)))
    ]
    return [block for block in found if not languages or block.language in languages]


def blocks_of(text: str, page: str) -> Iterator[Block]:
    """The blocks of one page."""
    for match in _FENCE.finditer(text):
        code = re.sub(rf"^{match['indent']}", "", match["code"], flags=re.MULTILINE)
        line = text.count("\n", 0, match.start("language")) + 1
        mark, said = match["mark"], match["said"] or ""
        yield Block(
            page=page,
            line=line,
            language=match["language"],
            code=code,
            within=said if mark == "in" else "",
            not_run=said if mark == "not run" else "",
        )


@dataclass(frozen=True, slots=True)
class Command:
    """A command of a shell block: its words, after the program's folder and variables before it are taken off."""

    block: Block
    words: tuple[str, ...]

    @property
    def is_ours(self) -> bool:
        return self.words[0] == _OURS

    def __str__(self) -> str:
        return f"{self.block}: {' '.join(self.words)[:60]}"


def commands() -> list[Command]:
    """Every command of the shell blocks, those inside `$(...)` too."""
    return [command for block in blocks("bash", "console") for command in commands_of(block)]


def commands_of(block: Block) -> list[Command]:
    """The commands of one block."""
    return [Command(block, words) for line in _shell_lines(block) for words in _simple_commands(line)]


def _shell_lines(block: Block) -> Iterator[str]:
    """Lines that are typed: of a console those behind `$`, with what is continued below."""
    code = re.sub(r"\\\n\s*", " ", block.code)
    for line in code.splitlines():
        if block.language == "console":
            if line.startswith("$ "):
                yield line[2:]
        elif line.strip():
            yield line


def _simple_commands(line: str) -> Iterator[tuple[str, ...]]:
    for inner in re.findall(r"\$\(([^()]*)\)", line):
        yield from _simple_commands(inner)
    lexer = shlex.shlex(re.sub(r"\$\([^()]*\)", "SUBSTITUTED", line), posix=True, punctuation_chars="|&;<>")
    lexer.whitespace_split = True
    words: list[str] = []
    tokens = iter(lexer)
    for token in tokens:
        if set(token) <= set("|&;"):
            yield from _command(words)
            words = []
        elif set(token) <= set("<>"):
            next(tokens, None)  # where it goes, or comes from
        else:
            words.append(token)
    yield from _command(words)


def _command(words: list[str]) -> Iterator[tuple[str, ...]]:
    while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
        words = words[1:]
    if words:
        yield (words[0].removeprefix(".venv/bin/"), *words[1:])
