"""All code in the documentation runs, or is checked by what knows its language."""

from __future__ import annotations

import ast
import asyncio
import dataclasses
import inspect
import json
import os
import re
import shlex
import shutil
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import trustme
import typer
import yaml
from doc_blocks import PAGES, ROOT, Block, Command, blocks, blocks_of, commands, commands_of
from go_blocks import compile_all
from google.protobuf import descriptor_pool, json_format, message_factory
from typer.testing import CliRunner

import llmrouter
from router_service.cli.main import app
from router_service.config.load import load
from router_service.config.policy_shape import FileShape
from router_service.domain.error import STATUS_NAMES, Reason
from router_service.telemetry import semconv
from tests.service.running_router import ADMIN_KEY, configured, running, with_keys

CLIENTS_OWN = "compiled by the client's own tests, which read its README"
CHECKED: Mapping[str, str] = {
    "yaml": "checked as a configuration, or as a manifest",
    "json": "parsed",
    "bash": "commands parsed by the command's own parser, and run where they can be",
    "console": "as bash",
    "python": "run against a live router",
    "go": "compiled against the client of this checkout",
    "ts": CLIENTS_OWN,
    "java": CLIENTS_OWN,
    "xml": "parsed by the client's own tests",
    "": "text: diagrams and output",
    "text": "text: diagrams and output",
}
"""What becomes of a language's blocks. A new one needs a check, or a block's `<!-- not run: why -->`."""


def test_every_block_has_a_check_or_a_reason(capsys: pytest.CaptureFixture[str]) -> None:
    found = blocks()
    counts = Counter(block.language or "text" for block in found if not block.not_run)
    with capsys.disabled():
        print(f"\ndocs: {len(found)} blocks on {len(PAGES)} pages: {dict(counts)}")
        for block in found:
            if block.not_run:
                print(f"docs: not run: {block}: {block.not_run}")
    assert [str(block) for block in found if block.language not in CHECKED and not block.not_run] == []
    assert all(len(block.not_run) > 10 for block in found if block.not_run)


def test_text_without_a_language_is_no_code() -> None:
    code = re.compile(r"^(\$ |llmrouter |make |pip |npm |go get |mvn |import |from \w+ import )", re.MULTILINE)
    assert [str(block) for block in blocks("", "text") if code.search(block.code)] == []


def test_code_that_clients_compile_is_in_a_page_that_they_read() -> None:
    read = {"README.md", "clients/typescript/README.md", "clients/java/README.md"}
    elsewhere = [one for one in blocks("ts", "java", "xml") if one.page not in read]
    compiled = [one.code for one in blocks("ts", "java", "xml") if one.page in read]
    assert [str(one) for one in elsewhere if not any(one.code in code for code in compiled)] == []


def test_no_block_is_left_open() -> None:
    for page in PAGES:
        text = page.read_text()
        assert len(re.findall(r"^ *```", text, re.MULTILINE)) == 2 * sum(
            block.page == str(page.relative_to(ROOT)) for block in blocks()
        ), page


def test_every_link_to_a_file_leads_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(((?!https?:|#|mailto:)[^)#\s]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page}: {target}"


# YAML: configurations and manifests

CHART = ROOT / "deploy" / "helm" / "llmrouter"
MODELS = ("gpt-4o", "gpt-4o-mini", "deepseek-chat", "qwen-plus", "Qwen3-8B", "deepseek-v4-flash", "deepseek-reasoner")
AROUND: dict[str, Any] = {
    "providers": {"openai": {"api_key": "stand-in"}},
    "models": {name: {"provider": "openai"} for name in MODELS},
    "features": {"chat_reply": {}, "support_summary": {}},
    "policies": {"default": {"rules": [{"use": "gpt-4o"}]}},
    "redis": {"url": "redis://stand-in.invalid"},
    "storage": {"url": "sqlite:///stand-in.db"},
    "decision_tokens": {"key": "a-key-that-is-long-enough"},
}
"""What fragments of configurations are completed with; what they say themselves goes before."""
STAND_INS = {"URL": "postgresql://stand-in.invalid/db", "REDIS_URL": "redis://stand-in.invalid", "BATCH_KEY": ADMIN_KEY}


def _with(around: Any, own: Any) -> Any:
    if isinstance(around, dict) and isinstance(own, dict):
        return {**around, **{key: _with(around.get(key), value) for key, value in own.items()}}
    return around if own is None else own


def _stand_in(name: str) -> str:
    if name in STAND_INS:
        return STAND_INS[name]
    if name.endswith("DATABASE_URL"):
        return STAND_INS["URL"]
    if name.endswith("URL") or name.endswith("BASE"):
        return "http://127.0.0.1:1/v1"
    if name.startswith("LLMROUTER_") and "KEY" in name and "PEPPER" not in name:
        return ADMIN_KEY
    return "stand-in-of-enough-letters"


@pytest.mark.parametrize("block", [one for one in blocks("yaml") if not one.not_run], ids=str)
def test_yaml_is_a_configuration_that_passes_the_check_or_a_manifest(block: Block, tmp_path: Path) -> None:
    documents = [one for one in yaml.safe_load_all(block.code) if one is not None]
    if not documents:
        assert block.code.lstrip().startswith("#")
        return
    if all("apiVersion" in one for one in documents):
        assert all({"kind", "metadata"} <= one.keys() for one in documents)
        return
    [fragment] = documents
    if block.within == "chart values":
        values = yaml.safe_load((CHART / "values.schema.json").read_text())
        jsonschema.Draft202012Validator(values).validate(fragment)
        fragment = fragment["config"]
        block = dataclasses.replace(block, within="")
    for step in reversed(block.within.split(".") if block.within else []):
        fragment = {step: fragment}
    unknown = fragment.keys() - FileShape.model_fields.keys()
    assert not unknown, f"{block}: {unknown} is no part of the file: say where it is with <!-- in: policies.default -->"
    _write_pem_files(tmp_path)
    (tmp_path / "router.yaml").write_text(yaml.safe_dump(_with(AROUND, fragment)))
    environ = {name: _stand_in(name) for name in re.findall(r"\$\{(\w+)", block.code)}
    assert load(tmp_path / "router.yaml", lambda *_: None, environ).policies


def _write_pem_files(folder: Path) -> None:
    authority = trustme.CA()
    issued = authority.issue_cert("localhost")
    issued.cert_chain_pems[0].write_to_path(folder / "tls.crt")
    issued.private_key_pem.write_to_path(folder / "tls.key")
    authority.cert_pem.write_to_path(folder / "clients-ca.pem")


@pytest.mark.parametrize("block", [one for one in blocks("json") if not one.not_run], ids=str)
def test_json_parses_as_a_whole_or_line_by_line(block: Block) -> None:
    try:
        json.loads(block.code)
    except ValueError:
        assert all(json.loads(line) for line in block.code.splitlines())


# Shell

FOREIGN = frozenset(
    {
        "cd", "export", "cat", "echo", "cp", "tar", "kill", "curl", "git", "jq", "openssl", "KEY=SUBSTITUTED",
        "pip", "python", "go", "npm", "npx", "node", "mvn", "java", "javac", "grpcurl",
        "docker", "podman", "kubectl", "helm", "promtool", "psql", "pg_dump", "pg_restore", "redis-cli", "sqlite3",
    }
)  # fmt: skip
"""Programs of others, which nothing here runs."""
COMMANDS = [one for one in commands() if not one.block.not_run]


@pytest.mark.parametrize("command", COMMANDS, ids=str)
def test_a_command_is_known_with_its_options(command: Command) -> None:
    if command.is_ours:
        _parse(command.words[1:])
    elif command.words[0] == "make":
        makefile = (ROOT / "Makefile").read_text()
        for target in command.words[1:]:
            assert "=" in target or re.search(rf"^{re.escape(target)}:", makefile, re.MULTILINE), target
    else:
        own = (ROOT / command.words[0]).is_file()
        assert own or command.words[0] in FOREIGN, f"{command}: no program that is known here"


def _parse(words: tuple[str, ...]) -> None:
    """Have the command's own parser read the words; it acts on nothing."""
    current: Any = typer.main.get_command(app)
    context, rest, name = None, list(words), "llmrouter"
    while True:
        context = current.make_context(name, rest, parent=context)
        if not hasattr(current, "commands"):
            return
        rest = [*context._protected_args, *context.args]
        name, current, rest = current.resolve_command(context, rest)
        assert current is not None


LIVE = ("check", "schema", "explain", "route", "complete", "models", "budget", "usage", "export", "replay", "import")
"""What acts on nothing but this test's own folder and router. Others, such as `serve` and `train`, are only parsed."""
EXIT_CODES = {"import": 3}


def _can_be_run(command: Command) -> bool:
    return command.is_ours and command.words[1] in LIVE and not any("$" in word for word in command.words)


async def test_commands_run_against_a_live_router(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tried = [command for command in COMMANDS if _can_be_run(command)]
    assert len(tried) > 10
    for folder in ("docs", "router_service", "clients", "protos"):
        (tmp_path / folder).symlink_to(ROOT / folder)
    async with running(tmp_path, _served()) as router:
        (tmp_path / "new.yaml").write_text((tmp_path / "router.yaml").read_text())
        # What usage and replay are about.
        await router.client(ADMIN_KEY).complete("Hello", feature="chat_reply")
        await router.shipped()
        monkeypatch.chdir(tmp_path)
        environ = {
            **os.environ,
            **router.environ,
            "LLMROUTER_ADDRESS": f"127.0.0.1:{router.port}",
            "LLMROUTER_API_KEY": ADMIN_KEY,
            "LLMROUTER_CONFIG": str(tmp_path / "router.yaml"),
        }
        for command in tried:
            words = [_elsewhere(word) if command.words[1] == "import" else word for word in command.words[1:]]
            (tmp_path / "imported.yaml").unlink(missing_ok=True)
            ran = await asyncio.to_thread(CliRunner().invoke, app, words, env=environ)
            assert ran.exit_code == EXIT_CODES.get(command.words[1], 0), f"{command}\n{ran.output}"


def _elsewhere(word: str) -> str:
    """The router's own file is not to be written over."""
    return "imported.yaml" if word == "router.yaml" else word


def _served() -> dict[str, Any]:
    simulated = {"base_url": "${SIMULATOR_URL}/openai/v1", "api_key": "sk-one"}
    price = {"input": 1, "output": 2}
    return configured(
        providers={"openai": simulated, "deepseek": {**simulated, "base_url": "${SIMULATOR_URL}/deepseek/v1"}},
        models={
            "gpt-4o": {"provider": "openai", "price": price},
            "gpt-4o-mini": {"provider": "openai", "price": price},
            "deepseek-chat": {"provider": "deepseek", "price": price},
        },
        server={"address": "127.0.0.1:0", "lame_duck": "0s", "http": {"address": "127.0.0.1:0"}},
        features={"chat_reply": {"max_output_tokens": 800}, "support_summary": {"max_output_tokens": 300}},
        budgets={"team-month": {"usd": 500, "period": "month", "per": "tenant"}},
        ledger={"folder": "ledger"},
        **with_keys(),
    )


SENT = [one for one in COMMANDS if one.words[0] == "grpcurl" and "-d" in one.words]


@pytest.mark.parametrize("command", SENT, ids=str)
def test_what_grpcurl_sends_is_the_request_of_its_rpc(command: Command) -> None:
    service, rpc = command.words[-1].split("/")
    method = descriptor_pool.Default().FindServiceByName(service).methods_by_name[rpc]
    request = message_factory.GetMessageClass(method.input_type)()
    json_format.Parse(command.words[command.words.index("-d") + 1], request)


# Python

PYTHON_PAGES = sorted({block.page for block in blocks("python") if not block.not_run})


@pytest.mark.parametrize("page", PYTHON_PAGES)
async def test_python_runs_against_a_live_router(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In the page's order: what one block defines, those after it may use. `router` is an asyncio client."""
    async with running(tmp_path, _served()) as router:
        address = f"127.0.0.1:{router.port}"
        monkeypatch.setenv("LLMROUTER_API_KEY", ADMIN_KEY)
        async with llmrouter.AsyncClient.connect(address) as client:
            known: dict[str, Any] = {
                "__name__": "__main__",
                "llmrouter": llmrouter,
                "asyncio": asyncio,
                "router": client,
            }
            for block in blocks("python"):
                if block.page == page and not block.not_run:
                    code = re.sub(r"(localhost|127\.0\.0\.1):50051", address, block.code)
                    code = code.replace("127.0.0.1:8080", f"127.0.0.1:{router.application.http_port}")
                    code = code.replace('"rk_..."', repr(ADMIN_KEY))
                    await _run(compile(code, str(block), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), known)
                    known["router"] = client
                    await router.shipped()
    assert capsys.readouterr().out


async def _run(code: Any, known: dict[str, Any]) -> None:
    """Run a block; one that is not asyncio's itself in a thread, where it may wait and have a loop of its own."""
    if code.co_flags & inspect.CO_COROUTINE:
        await eval(code, known)  # noqa: S307 - the project's own documentation
    else:
        await asyncio.to_thread(exec, code, known)


# Go

GO = [block for block in blocks("go") if not block.not_run]
# On a machine that never compiled the client, gRPC for Go is fetched and compiled first.
compiles_go = pytest.mark.timeout(900)


@compiles_go
def test_go_compiles(tmp_path: Path) -> None:
    if shutil.which("go") is None:
        assert not os.environ.get("CI"), "Go is missing, which CI has"
        pytest.skip("Go is not installed")
    assert compile_all(GO, tmp_path) == ""


@compiles_go
def test_go_that_does_not_compile_is_seen(tmp_path: Path) -> None:
    if shutil.which("go") is None:
        pytest.skip("Go is not installed")
    wrong = Block("page.md", 1, "go", "answer, err := router.Compleet(ctx, request)\n")
    assert "Compleet" in compile_all([wrong], tmp_path)


# What tests of the tests see


@pytest.mark.parametrize(
    "words", [("chek", "x.yaml"), ("explain", "--polcy", "x", "Hi"), ("keys", "destroy"), ("import", "litellm")]
)
def test_commands_that_do_not_exist_are_seen(words: tuple[str, ...]) -> None:
    with pytest.raises(Exception, match=r"No such|Missing parameter"):
        _parse(words)


def test_marks_are_read() -> None:
    text = "<!-- in: policies.default -->\n```yaml\na: 1\n```\n\n"
    text += "  <!-- not run: it takes a day -->\n  ```bash\n  make soak\n  ```\n"
    first, second = blocks_of(text, "page.md")
    assert (first.line, first.language, first.code, first.within) == (2, "yaml", "a: 1\n", "policies.default")
    assert (second.line, second.code, second.not_run) == (7, "make soak\n", "it takes a day")


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("A=1 llmrouter check x.yaml  # why", [("llmrouter", "check", "x.yaml")]),
        ("K=$(llmrouter keys list) && make demo", [("llmrouter", "keys", "list"), ("make", "demo")]),
        ("llmrouter export > out.csv | cat", [("llmrouter", "export"), ("cat",)]),
        (".venv/bin/llmrouter route 'a; b' &", [("llmrouter", "route", "a; b")]),
    ],
)
def test_lines_of_a_shell_are_taken_apart(line: str, found: list[tuple[str, ...]]) -> None:
    assert [command.words for command in commands_of(Block("page.md", 1, "bash", line))] == found


# What is named in the text


PROSE = {page: re.sub(r"^ *```.*?^ *```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL) for page in PAGES}


def test_every_metric_and_attribute_that_is_named_exists() -> None:
    known = {value for name, value in vars(semconv).items() if name.isupper() and isinstance(value, str)}
    for page, text in PROSE.items():
        named = set(re.findall(r"`((?:llm_router|gen_ai|rpc\.server)\.[a-z_.]+[a-z])`", text))
        assert named - known == set(), page
    assert len(re.findall(r"`llm_router\.", PROSE[ROOT / "docs" / "operations.md"])) > 20


def test_every_command_that_is_named_exists() -> None:
    makefile = (ROOT / "Makefile").read_text()
    commands = typer.main.get_command(app).commands
    for page, text in PROSE.items():
        for target in set(re.findall(r"`make ([a-z-]+)", text)):
            assert re.search(rf"^{target}:", makefile, re.MULTILINE), f"{page}: make {target}"
        for name, rest in set(re.findall(r"`llmrouter ([a-z]+)([^`\n]*)`", text)):
            assert name in commands, f"{page}: llmrouter {name}"
            assert _strange((name, *shlex.split(rest))) == "", page


def _strange(words: tuple[str, ...]) -> str:
    """What of a command that prose names does not exist; prose may leave arguments out."""
    try:
        _parse(words)
    except Exception as error:
        return str(error) if "No such" in str(error) else ""
    return ""


@pytest.mark.parametrize("page", ["operations.md", "quick-start.md", "errors.md"])
def test_every_setting_and_reason_that_the_guides_name_exists(page: str) -> None:
    text = PROSE[ROOT / "docs" / page]
    known = set(FileShape.model_fields)
    described = json.loads((ROOT / "docs" / "router.schema.json").read_text())
    keys = known | {key for part in described["$defs"].values() for key in part.get("properties", ())}
    for setting in re.findall(r"`((?:[a-z_]+\.)+[a-z_]+)`", text):
        if setting.split(".")[0] in known | {"timeouts"} and not setting.endswith((".db", ".yaml")):
            assert set(setting.split(".")) <= keys, setting
    reasons = set(re.findall(r"\b[A-Z]{4,}(?:_[A-Z]+)+\b", text)) & set(re.findall(r"\b[A-Z_]+\b", text))
    strangers = {"NOT_SERVING", "RETRY_INFO", "PUBLIC_ID"}
    statuses = set(STATUS_NAMES.values())
    assert {one for one in reasons if not re.search(rf"{one}=", text)} - strangers - statuses <= set(Reason)
