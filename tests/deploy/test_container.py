"""The container file is linted, and as no engine runs here, its own steps are carried out: what it would install is
installed from what it would be sent, and serves as its user on a read-only root."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import yaml

from benchmarks.roll.fleet import Child, free_ports
from llmrouter import AsyncClient
from router_service.simulator import Simulator
from tests.deploy.conftest import DEPLOY, ROOT, Ran

CONTAINER = DEPLOY / "container"
SANDBOX = Path(__file__).with_name("sandbox.sh")
_UNSHARE = "/usr/bin/unshare"
KEY = f"rk_abcdefghijkl_{'k' * 48}"
# A wheel that is not in uv's cache yet may be fetched.
pytestmark = pytest.mark.timeout(240)


def instructions(name: str) -> list[str]:
    """The arguments of an instruction of the container file, in order."""
    text = (CONTAINER / "Containerfile").read_text().replace("\\\n", " ")
    return re.findall(rf"^{name} +(.+)$", text, re.MULTILINE)


def test_hadolint_finds_nothing(tool: Callable[..., Ran]) -> None:
    ran = tool("hadolint", "--failure-threshold", "info", CONTAINER / "Containerfile")
    assert ran.status == 0, ran.out + ran.err


def test_hadolint_finds_what_is_wrong(tool: Callable[..., Ran], tmp_path: Path) -> None:
    wrong = (CONTAINER / "Containerfile").read_text().replace("python:${PYTHON}", "python:latest")
    (tmp_path / "Containerfile").write_text(wrong)
    assert tool("hadolint", tmp_path / "Containerfile").status != 0


def test_the_image_has_the_versions_that_are_tested() -> None:
    tested, shipped = pins(ROOT / "requirements.lock"), pins(CONTAINER / "requirements.lock")
    assert "grpcio" in shipped
    assert "pytest" not in shipped
    stale = {name for name, version in shipped.items() if tested.get(name) != version}
    assert not stale, "run `make lock`"


def test_the_image_has_every_dependency() -> None:
    declared = re.findall(
        r'^  "([a-z0-9-]+)[^"]*",$', (ROOT / "pyproject.toml").read_text().split("[dep")[0], re.MULTILINE
    )
    assert "grpcio" in declared
    assert set(declared) - {"llmrouter-client"} <= pins(CONTAINER / "requirements.lock").keys(), "run `make lock`"


def test_the_image_is_built_by_the_uv_of_the_makefile() -> None:
    [version] = re.findall(r"^UV_VERSION := (.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert pins(CONTAINER / "build.lock")["uv"] == version


def pins(lock: Path) -> dict[str, str]:
    """The versions in a lock file."""
    return dict(re.findall(r"^([a-z0-9.-]+)==([^ ;]+)", lock.read_text(), re.MULTILINE))


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the image has in /opt/llmrouter, made by its own script from what .dockerignore lets through."""
    assert ". ." in instructions("COPY")
    assert "deploy/container/install.sh /opt/llmrouter" in instructions("RUN")
    context, folder = tmp_path_factory.mktemp("context"), tmp_path_factory.mktemp("opt") / "llmrouter"
    let_through = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    for name in let_through:
        source, target = ROOT / name, context / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        else:
            shutil.copy(source, target)
    uv = ROOT / ".tools" / "uv" / "bin"
    environment = {**os.environ, "PATH": f"{uv}:{os.environ['PATH']}", "PYTHON": sys.executable}
    environment.pop("VIRTUAL_ENV", None)
    command = [str(context / "deploy" / "container" / "install.sh"), str(folder)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=200)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def sandboxed(installed: Path, folder: Path, *command: str) -> list[str]:
    """The command on the image's root, as its user, with nothing but its environment."""
    for name in ("root", "state", "config"):
        (folder / name).mkdir(exist_ok=True)
    [user] = instructions("USER")
    number = user.partition(":")[0]
    os.chown(folder / "state", int(number), int(number))
    variables = [variable for line in instructions("ENV") for variable in line.split()]
    places = [str(folder / "root"), str(installed), str(folder / "state"), str(folder / "config"), sys.base_prefix]
    environment = ["env", "-i", *variables, "LLMROUTER_API_KEY=" + KEY]
    return [_UNSHARE, "--mount", "--propagation", "private", str(SANDBOX), *places, number, *environment, *command]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where a sandbox is built. Without root it is skipped, except in CI."""
    possible = os.getuid() == 0 and subprocess.run([_UNSHARE, "--mount", "true"], check=False).returncode == 0
    if not possible:
        absent = "a read-only root needs root, and the right to mount"
        if os.environ.get("CI"):
            pytest.fail(absent, pytrace=False)
        pytest.skip(absent)
    return tmp_path


def test_its_user_may_write_nowhere_but_to_the_journal_and_tmp(installed: Path, folder: Path) -> None:
    places = ["/", "/opt/llmrouter", "/etc/llmrouter", "/usr/bin", "/tmp", "/var/lib/llmrouter"]
    script = 'id -u; for f in "$@"; do touch "$f/x" 2>/dev/null && echo "$f"; done; true'
    command = sandboxed(installed, folder, "sh", "-c", script, "sh", *places)
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout.split() == ["10001", "/tmp", "/var/lib/llmrouter"], done.stderr


@pytest.fixture
async def provider() -> AsyncIterator[Simulator]:
    """A provider beside the sandbox."""
    async with Simulator(speed=float("inf")) as simulator:
        yield simulator


async def test_it_serves_records_and_drains_as_the_image_starts_it(
    installed: Path, folder: Path, provider: Simulator
) -> None:
    [entrypoint], [arguments] = instructions("ENTRYPOINT"), instructions("CMD")
    [port] = free_ports(1)
    command = sandboxed(installed, folder, *json.loads(entrypoint), *json.loads(arguments))
    granted = dict.fromkeys(("features", "models", "policies", "tiers"), "*")
    configuration = {
        "server": {"address": f"0.0.0.0:{port}", "lame_duck": "0s"},
        "identity": {"api_keys": {"keys": {"any": {"key": "${LLMROUTER_API_KEY}", "tenant": "any", **granted}}}},
        "ledger": {"folder": "/var/lib/llmrouter"},
        "providers": {"openai": {"base_url": provider.url("openai"), "api_key": "sk-simulated"}},
        "models": {"gpt-4o": {"provider": "openai"}},
        "policies": {"default": {"rules": [{"use": ["gpt-4o"]}]}},
    }
    (folder / "config" / "router.yaml").write_text(yaml.safe_dump(configuration))
    (folder / "config").chmod(0o755)
    child = await Child.start(*command)
    try:
        await child.line("serving on")
        async with AsyncClient.connect(f"127.0.0.1:{port}", api_key=KEY) as client:
            assert (await client.complete("Hello")).text
        child.signal(signal.SIGTERM)
        assert await asyncio.wait_for(child.finish(), 30) == 0, child.said
    finally:
        await child.kill()
    assert (folder / "state" / "ledger.db").stat().st_size > 0
