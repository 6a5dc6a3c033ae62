"""The command as people run it: a process of its own, real files, real sockets."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import jsonschema
import pytest
import yaml

ROOT = Path(__file__).parent.parent.parent
LLMROUTER = Path(sys.executable).parent / "llmrouter"

CONFIGURATION = """
server: {address: "127.0.0.1:0", lame_duck: 0s}
providers:
  openai: {base_url: "${SIMULATOR_URL}/openai/v1", api_key: sk-one}
models:
  gpt-4o: {provider: openai}
policies:
  default:
    rules:
      - {name: all, use: [gpt-4o]}
"""

FIVE_MISTAKES = """\
providers:
  openai: {api_key: sk-one, regoin: eu}
models:
  gpt-4o: {provider: opnai}
features:
  chat_reply: {max_output_tokens: -5}
policies:
  default:
    baseline: gpt-4o
    rules:
      - {when: {tier: free}, use: [gpt-5o]}
      - {use: [gpt-4o], strategy: cheepest}
"""


def run(*arguments, env=None, timeout=60):
    return subprocess.run(
        [LLMROUTER, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        env={**os.environ, "COLUMNS": "160", **(env or {})},
    )


@contextmanager
def started(*command, ready, env=None):
    """A process, and the rest of the line of its output that begins with `ready`."""
    process = subprocess.Popen(
        [str(part) for part in command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, **(env or {})},
    )
    try:
        for line in process.stdout:
            if ready in line:
                yield process, line.split(ready)[1].split()[0]
                break
        else:
            pytest.fail(f"{command} did not start")
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@contextmanager
def serving(folder):
    file = folder / "router.yaml"
    file.write_text(CONFIGURATION)
    simulator = (sys.executable, "-m", "router_service.simulator", "--port", "0", "--speed", "inf")
    with started(*simulator, ready="SIMULATOR_URL=") as (_, origin):
        serve = (LLMROUTER, "serve", "--config", file)
        with started(*serve, ready="serving on ", env={"SIMULATOR_URL": origin}) as (process, address):
            yield process, address, file


def test_five_planted_mistakes_are_all_reported_with_their_lines(tmp_path):
    file = tmp_path / "router.yaml"
    file.write_text(FIVE_MISTAKES)
    result = run("check", file)
    assert result.returncode == 1
    lines = [line.removeprefix(f"{file}:").partition(":")[0] for line in result.stderr.strip().splitlines()]
    assert lines == ["2", "4", "6", "11", "12"]
    assert "regoin" in result.stderr
    assert "cheepest" in result.stderr


POLICIES = sorted((ROOT / "router_service" / "policies").glob("*.yaml"))


@pytest.mark.parametrize("file", POLICIES, ids=lambda file: file.stem)
def test_every_shipped_policy_is_valid(file):
    result = run("check", file)
    assert result.returncode == 0, result.stderr


def test_the_schema_accepts_the_examples():
    schema = json.loads(run("schema").stdout)
    for example in (ROOT / "docs" / "examples").glob("*.yaml"):
        jsonschema.validate(yaml.safe_load(example.read_text()), schema)


def test_explain_shows_the_rule_and_the_candidates_without_a_server():
    policy = ROOT / "router_service" / "policies" / "table-1-tier-and-feature.yaml"
    result = run("explain", "--config", policy, "--tier", "free", "Hello there", env={"DEEPSEEK_API_KEY": "k"})
    assert result.returncode == 0, result.stderr
    assert "deepseek-chat" in result.stdout


def test_a_running_service_routes_completes_and_tells_from_the_terminal(tmp_path):
    with serving(tmp_path) as (_, address, _):
        routed = run("route", "What is 2+2?", "--address", address)
        assert "gpt-4o" in routed.stdout
        streamed = run("complete", "What is 2+2?", "--address", address)
        assert streamed.returncode == 0, streamed.stderr
        assert "OK, stop" in streamed.stdout
        whole = run("complete", "--no-stream", "--json", "What is 2+2?", "--address", address)
        assert json.loads(whole.stdout)["receipt"]["status"] == "OK"
        request_id = json.loads(whole.stdout)["receipt"]["request_id"]
        assert request_id in run("receipt", request_id, "--address", address).stdout
        assert "gpt-4o" in run("models", "--address", address).stdout
        refused = run("complete", "Hi", "--model", "gpt-9", "--address", address)
        assert refused.returncode == 1
        assert "MODEL_NOT_FOUND" in refused.stderr


def test_sigterm_drains_and_exits_cleanly(tmp_path):
    with serving(tmp_path) as (process, _, _):
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0


def test_sighup_reloads(tmp_path):
    with serving(tmp_path) as (process, address, file):
        file.write_text(CONFIGURATION.replace("name: all", "name: renamed"))
        process.send_signal(signal.SIGHUP)
        for line in process.stdout:
            if "is in force" in line:
                break
        assert "renamed" in run("route", "Hello", "--address", address).stdout


def test_nobody_is_served_without_authentication_beyond_this_machine(tmp_path):
    file = tmp_path / "router.yaml"
    file.write_text(CONFIGURATION)
    result = run("serve", "--config", file, "--address", "0.0.0.0:0", env={"SIMULATOR_URL": "http://127.0.0.1:1"})
    assert result.returncode == 1
    assert "127.0.0.1" in result.stderr


def test_without_a_file_and_without_keys_serve_says_what_to_do():
    keyless = {name: "" for name in os.environ if name.endswith("_API_KEY")}
    result = run("serve", env=keyless)
    assert result.returncode == 1
    assert "OPENAI_API_KEY" in result.stderr


def test_calls_to_nobody_say_how_to_start_a_router():
    result = run("complete", "Hi", "--address", "127.0.0.1:9", "--timeout", "2")
    assert result.returncode == 1
    assert "llmrouter serve" in result.stderr
