"""`python -m tests.conformance.run [LANGUAGE ...]`: every language's runner against the same cases, and their counts.

A language whose tools are missing is left out with a line; in CI (CI=true) that fails.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.conformance.cases import load
from tests.conformance.serve import Fixture
from tests.conformance.session import KEYS, Session

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Language:
    """How one language's runner is started, in which folder, and which tools it takes.

    `examples` are run too, with the address of a router as their last argument and a key in the environment.
    """

    name: str
    command: tuple[str, ...]
    examples: tuple[tuple[str, ...], ...] = ()
    folder: str = "."
    tools: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)


_PYTEST = (sys.executable, "-m", "pytest", "-n", "0", "tests/conformance/python_cases.py", "-k")
_JAVA = ("sh", "-c", 'exec java -cp "target/classes:$(cat target/classpath)" "$@"', "java")
LANGUAGES = (
    Language(
        name="python (asyncio)",
        command=(*_PYTEST, "awaited"),
        examples=((sys.executable, "clients/python/examples/complete.py"),),
    ),
    Language(
        name="python (threads)",
        command=(*_PYTEST, "threaded"),
        examples=((sys.executable, "clients/python/examples/stream.py"),),
    ),
    Language(
        name="go",
        command=("go", "test", "-count=1", "./..."),
        examples=(("go", "run", "./examples/complete"), ("go", "run", "./examples/stream")),
        folder="clients/go",
        tools=("go",),
    ),
    Language(
        name="typescript",
        command=("sh", "-c", "npm ci --silent --no-fund --no-audit && npm test --silent"),
        examples=(("node", "build/examples/complete.js"), ("node", "build/examples/stream.js")),
        folder="clients/typescript",
        tools=("node", "npm"),
    ),
    Language(
        name="java",
        command=("mvn", "-q", "-B", "-Dstyle.color=never", "test"),
        examples=((*_JAVA, "examples/Complete.java"), (*_JAVA, "examples/Stream.java")),
        folder="clients/java",
        tools=("java", "mvn"),
    ),
)


def main(wanted: Iterable[str]) -> int:
    """Run the named languages (all without a name), print their counts; returns the exit status."""
    names = set(wanted)
    chosen = [one for one in LANGUAGES if not names or names & {one.name, one.name.partition(" ")[0]}]
    if not chosen:
        sys.stderr.write(f"Known languages: {', '.join(one.name for one in LANGUAGES)}\n")
        return 2
    cases = load()
    counts, sound = [], True
    for language in chosen:
        missing = [tool for tool in language.tools if shutil.which(tool) is None]
        if missing:
            sys.stdout.write(f"{language.name}: left out, {' and '.join(missing)} is missing here\n")
            counts.append(f"{language.name}: left out")
            sound &= not os.environ.get("CI")
            continue
        passed, ended_well = asyncio.run(_run(language))
        ended_well &= asyncio.run(_examples(language))
        counts.append(f"{language.name}: {passed} passed")
        if passed != len(cases) or not ended_well:
            sound = False
    sys.stdout.write(f"{', '.join(counts)}, of {len(cases)} cases each\n")
    return 0 if sound else 1


async def _run(language: Language) -> tuple[int, bool]:
    """How many cases passed, and whether the runner itself is content."""
    cases = load()
    async with Fixture(cases) as fixture:
        status, _ = await _command(language, language.command, LLMROUTER_CONFORMANCE=fixture.url)
        for name, problems in fixture.failed.items():
            sys.stdout.write(f"{language.name}: {name}\n" + "".join(f"    {problem[:2000]}\n" for problem in problems))
        if left_out := sorted(cases.keys() - set(fixture.passed) - fixture.failed.keys()):
            sys.stdout.write(f"{language.name}: not run: {', '.join(left_out)}\n")
        return len(fixture.passed), status == 0


async def _examples(language: Language) -> bool:
    """Whether all examples run against a router, and say something."""
    sound = True
    for example in language.examples:
        session = Session(load()["stream/plain"])
        try:
            await session.start()
            status, said = await _command(
                language, (*example, session.target), show=False, LLMROUTER_API_KEY=KEYS["acme"]
            )
        finally:
            await session.stop()
        if status or not said.strip():
            sys.stdout.write(f"{language.name}: {' '.join(example)} ended with {status} and said {said!r}\n")
            sound = False
    return sound


async def _command(
    language: Language, command: tuple[str, ...], *, show: bool = True, **environment: str
) -> tuple[int, str]:
    """The exit status of a command in the language's folder, and what it said where that is not shown."""
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=ROOT / language.folder,
        env={**os.environ, **language.environment, **environment},
        stdout=None if show else asyncio.subprocess.PIPE,
    )
    said, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, (said or b"").decode()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
