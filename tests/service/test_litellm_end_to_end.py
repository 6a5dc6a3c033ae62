"""litellm's configurations imported by the command, checked, and served over the simulated provider."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from openai import AsyncOpenAI
from typer.testing import CliRunner

from llmrouter import AsyncClient
from llmrouter.v1.receipt_pb2 import Receipt
from router_service.app import Application
from router_service.cli.main import app
from router_service.simulator import SimulatedModel, Simulator
from router_service.simulator.faults import Fault
from router_service.simulator.script import Rule
from tests.service.test_command_line import ROOT

QUICK = {"first_token_seconds": 0.001, "tokens_per_second": 2000.0}

SHOP = """
# Two regions share the chat; a cheap model behind them, and a large window behind that.
model_list:
  - model_name: chat
    litellm_params:
      model: openai/eu
      api_base: os.environ/EU_BASE
      api_key: os.environ/EU_KEY
      rpm: 900
    model_info: {max_input_tokens: 16000}
  - model_name: chat
    litellm_params: {model: openai/us, api_base: os.environ/US_BASE, api_key: os.environ/EU_KEY, rpm: 100}
    model_info: {max_input_tokens: 16000}
  - model_name: cheap
    litellm_params: {model: openai/cheap, api_base: os.environ/EU_BASE, api_key: os.environ/EU_KEY, temperature: 0.1}
  - model_name: cheaper
    litellm_params: {model: openai/cheaper, api_base: os.environ/US_BASE, api_key: none}
  - model_name: large-window
    litellm_params: {model: openai/large, api_base: os.environ/US_BASE, api_key: none}
router_settings:
  routing_strategy: simple-shuffle
  model_group_alias: {gpt-4: chat}
  num_retries: 1
  enable_pre_call_checks: true
litellm_settings:
  fallbacks: [{chat: [cheap]}, {cheap: [cheaper]}]
  context_window_fallbacks: [{chat: [large-window]}]
  drop_params: true
"""

PRIORITIES = """
# A first choice, a second one, and a default for everything that fails.
credential_list:
  - credential_name: house
    credential_values: {api_base: os.environ/EU_BASE, api_key: os.environ/EU_KEY}
    credential_info: {}
model_list:
  - model_name: writer
    litellm_params: {model: openai/first, litellm_credential_name: house, order: 1}
  - model_name: writer
    litellm_params: {model: openai/second, litellm_credential_name: house, order: 2}
  - model_name: rescue
    litellm_params: {model: openai/third, litellm_credential_name: house}
  - model_name: filtered
    litellm_params: {model: openai/strict, litellm_credential_name: house}
router_settings:
  num_retries: 0
  default_fallbacks: [rescue]
  content_policy_fallbacks: [{filtered: [writer]}]
"""

ENVIRON = {"EU_KEY": "sk-eu"}
MODELS = ("eu", "us", "cheap", "cheaper", "large", "first", "second", "third", "strict")


@asynccontextmanager
async def served(text: str, folder: Path) -> AsyncIterator[tuple[AsyncClient, Simulator]]:
    """A router with what the command makes of this text, which has to be all of it."""
    (folder / "config.yaml").write_text(text)
    models = [SimulatedModel(name=name, context_window=1_000_000, **QUICK) for name in MODELS]
    async with Simulator(models) as simulator:
        environ = {**ENVIRON, "EU_BASE": simulator.url("eu"), "US_BASE": simulator.url("us")}
        ran = run("import", "litellm", folder / "config.yaml", "--out", folder / "router.yaml", environ=environ)
        assert (ran.exit_code, ran.stdout) == (0, ""), ran.output
        checked = run("check", folder / "router.yaml", environ=environ)
        assert checked.exit_code == 0, checked.output
        application = Application(folder / "router.yaml", environ=environ, address="127.0.0.1:0")
        port = await application.start()
        try:
            async with AsyncClient.connect(f"127.0.0.1:{port}", timeout=60) as client:
                yield client, simulator
        finally:
            await application.stop()


def run(*arguments: object, environ: Mapping[str, str] | None = None):
    return CliRunner().invoke(app, [str(one) for one in arguments], env={**os.environ, **(environ or {})})


async def receipt(client: AsyncClient, policy: str, prompt: str = "Hi") -> Receipt:
    return (await client.complete(prompt, policy=policy)).receipt


def asked(one: Receipt) -> list[str]:
    return [attempt.deployment for attempt in one.attempts]


def break_down(simulator: Simulator, *models: str, fault: str = "503") -> None:
    for model in models:
        simulator.script.add(Rule(fault=Fault.of(fault), model=model, times=None))


async def test_a_group_shares_its_calls_by_rate_and_so_does_its_alias(tmp_path):
    async with served(SHOP, tmp_path) as (client, _):
        for name in ("chat", "gpt-4"):
            models = Counter([(await receipt(client, name)).model for _ in range(60)])
            assert set(models) == {"openai/eu", "openai/us"}
            assert models["openai/eu"] > 40


async def test_programs_written_for_openai_keep_the_names_they_used(tmp_path):
    async with served(SHOP, tmp_path) as (_, simulator):
        application = Application(
            tmp_path / "router.yaml",
            environ={**ENVIRON, "EU_BASE": simulator.url("eu"), "US_BASE": simulator.url("us")},
            address="127.0.0.1:0",
            http_port=0,
        )
        await application.start()
        async with AsyncOpenAI(base_url=f"http://127.0.0.1:{application.http_port}/v1", api_key="none") as openai:
            break_down(simulator, "eu", "us")
            for name in ("chat", "gpt-4", "cheap"):
                said = await openai.chat.completions.create(model=name, messages=[{"role": "user", "content": "Hi"}])
                assert said.model == "openai/cheap"
        await application.stop()


async def test_fallbacks_follow_the_group_and_theirs_follow_them(tmp_path):
    async with served(SHOP, tmp_path) as (client, simulator):
        break_down(simulator, "eu", "us", "cheap")
        answered = await receipt(client, "chat")
        tried = asked(answered)
        assert set(tried[:2]) == {"openai/eu", "openai/us"}
        assert tried[2:] == ["openai/cheap", "openai/cheaper"]
        assert answered.model == "openai/cheaper"


async def test_a_retry_goes_to_the_other_deployment_of_the_group(tmp_path):
    async with served(SHOP, tmp_path) as (client, simulator):
        break_down(simulator, "eu")
        for _ in range(3):
            assert (await receipt(client, "chat")).model == "openai/us"


async def test_a_prompt_beyond_the_window_goes_to_the_context_window_fallback_at_the_latest(tmp_path):
    async with served(SHOP, tmp_path) as (client, simulator):
        break_down(simulator, "cheap", "cheaper", fault="context_length")
        answered = await receipt(client, "chat", "word " * 20_000)
        assert asked(answered) == ["openai/cheap", "openai/cheaper", "openai/large"]


async def test_parameters_reach_the_provider(tmp_path):
    async with served(SHOP, tmp_path) as (client, simulator):
        await receipt(client, "cheap")
        assert [entry.body["temperature"] for entry in simulator.journal] == [0.1]


async def test_the_order_of_deployments_and_the_default_fallback(tmp_path):
    async with served(PRIORITIES, tmp_path) as (client, simulator):
        assert asked(await receipt(client, "writer")) == ["openai/first"]
        break_down(simulator, "first", "second")
        assert asked(await receipt(client, "writer")) == ["openai/first", "openai/second", "openai/third"]


async def test_a_filtered_prompt_goes_to_the_content_policy_fallback(tmp_path):
    async with served(PRIORITIES, tmp_path) as (client, simulator):
        break_down(simulator, "strict", "third", fault="content_filter")
        assert (await receipt(client, "filtered")).model == "openai/first"


# The command


def test_the_example_is_imported_with_what_is_left_out(tmp_path):
    out = tmp_path / "router.yaml"
    ran = run("import", "litellm", ROOT / "docs" / "examples" / "litellm" / "config.yaml", "--out", out)
    assert ran.exit_code == 3
    assert "config.yaml:17:3: litellm_settings.cache: not mapped" in ran.stderr
    assert "AZURE_API_KEY: key, line 4" in ran.stderr
    keys = {"AZURE_API_KEY": "a", "OPENAI_API_KEY": "b", "DEEPSEEK_API_KEY": "c", "AZURE_API_BASE": "https://a.example"}
    assert run("check", out, environ=keys).exit_code == 0


def test_without_out_the_configuration_alone_is_on_standard_output(tmp_path):
    (tmp_path / "config.yaml").write_text("model_list: [{model_name: a, litellm_params: {model: ollama/llama3}}]")
    ran = run("import", "litellm", tmp_path / "config.yaml")
    assert ran.exit_code == 0
    (tmp_path / "router.yaml").write_text(ran.stdout)
    assert run("check", tmp_path / "router.yaml").exit_code == 0


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("model_list: [", "not valid YAML"),
        ("model_list: []", "no deployment of it can be called"),
        ("model_list: [{model_name: a, litellm_params: {model: gpt-4o, temperature: 9}}]", "needs mending by hand"),
        (None, "cannot read the file"),
    ],
)
def test_what_cannot_be_used_ends_with_1(tmp_path, text, told):
    file = tmp_path / "config.yaml"
    if text is not None:
        file.write_text(text)
    ran = run("import", "litellm", file, "--out", tmp_path / "router.yaml")
    assert ran.exit_code == 1
    assert told in ran.stderr


def test_an_existing_file_is_not_overwritten(tmp_path):
    (tmp_path / "router.yaml").write_text("mine")
    ran = run("import", "litellm", tmp_path / "config.yaml", "--out", tmp_path / "router.yaml")
    assert ran.exit_code == 1
    assert "exists already" in ran.stderr
    assert (tmp_path / "router.yaml").read_text() == "mine"
