"""The command as people run it: a process of its own, real files, real sockets."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import grpc
import jsonschema
import pytest
import trustme
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

NOBODY = {"SIMULATOR_URL": "http://127.0.0.1:1"}
LONG_ID = "a-deployment-whose-name-is-longer-than-any-narrow-terminal-is-wide"

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


def run(*arguments, env=None, timeout=240, stdin=None):
    """`stdin` is bytes."""
    arguments = [argument if isinstance(argument, bytes) else str(argument) for argument in arguments]
    result = subprocess.run(
        [LLMROUTER, *arguments],
        capture_output=True,
        input=stdin,
        timeout=timeout,
        check=False,
        env={**os.environ, **(env or {})},
    )
    result.stdout, result.stderr = result.stdout.decode(), result.stderr.decode()
    return result


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
def serving(folder, configuration=CONFIGURATION):
    file = folder / "router.yaml"
    file.write_text(configuration)
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
        assert "OK, stop" in streamed.stderr
        whole = run("complete", "--no-stream", "--json", "What is 2+2?", "--address", address)
        assert json.loads(whole.stdout)["receipt"]["status"] == "OK"
        request_id = json.loads(whole.stdout)["receipt"]["request_id"]
        assert request_id in run("receipt", request_id, "--address", address).stdout
        assert "gpt-4o" in run("models", "--address", address).stdout
        refused = run("complete", "Hi", "--model", "gpt-9", "--address", address)
        assert refused.returncode == 1
        assert "MODEL_NOT_FOUND" in refused.stderr


def test_in_a_pipe_the_answer_comes_alone_and_no_id_is_cut(tmp_path):
    configuration = CONFIGURATION.replace("gpt-4o:", f"{LONG_ID}: {{provider: openai, model: gpt-4o}}\n  gpt-4o:")
    with serving(tmp_path, configuration) as (_, address, _):
        streamed = run("complete", "What is 2+2?", "--address", address)
        whole = run("complete", "--no-stream", "What is 2+2?", "--address", address)
        assert streamed.stdout == whole.stdout == "2 + 2 = 4.\n"
        assert "at openai" in streamed.stderr
        assert "OK, stop" in whole.stderr
        narrow = {"COLUMNS": "40"}
        assert LONG_ID in run("models", "--address", address, env=narrow).stdout
        assert LONG_ID in run("route", "Hi", "--deployment", LONG_ID, "--address", address, env=narrow).stdout


def test_a_prompt_that_is_too_large_is_told_the_limit(tmp_path):
    with serving(tmp_path) as (_, address, _):
        result = run("complete", "-", "--address", address, stdin=b"x" * 4_500_000)
    assert result.returncode == 1
    assert "too large" in result.stderr
    assert "at most 4194304" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "stdin", "says"),
    [
        (["complete", "-"], b"\xff\xfe", "The prompt is not UTF-8 text."),
        (["complete", b"\xff"], None, "The prompt is not UTF-8 text."),
        (["complete", "-"], b" \n", "The prompt is empty."),
        (["route", ""], None, "The prompt is empty."),
        (["explain", ""], None, "The prompt is empty."),
        (["complete", "Hi", "--ca-file", "nope.pem"], None, "Cannot read --ca-file nope.pem: No such file"),
        (["models", "--ca-file", ROOT / "README.md"], None, "holds no PEM certificate."),
        (["complete", "Hi", "--model", "a", "--deployment", "b"], None, "Give --model or --deployment, not both."),
        (["explain", "Hi", "--model", "a", "--deployment", "b"], None, "Give --model or --deployment, not both."),
        (["complete", "Hi", "--label", "x"], None, "--label takes key=value"),
        (["complete", "Hi", "--timeout", "0"], None, "seconds above 0, not 0.0"),
        (["complete", "Hi", "--timeout", "-1"], None, "seconds above 0, not -1.0"),
        (["models", "--address", "localhost"], None, "host:port, such as 127.0.0.1:50051, not 'localhost'"),
        (["models", "--address", "http://localhost:1"], None, "host:port"),
        (["serve", "--log-level", "loud"], None, "--log-level is one of debug, info, warning, error, not 'loud'."),
    ],
    ids=str,
)
def test_what_cannot_be_done_is_said_in_a_line(arguments, stdin, says):
    result = run(*arguments, stdin=stdin)
    assert result.returncode == 2
    assert says in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_clients_learn_what_to_do_about_tls():
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    pair = (certificate.private_key_pem.bytes(), certificate.cert_chain_pems[0].bytes())
    server = grpc.server(ThreadPoolExecutor(1))
    address = f"127.0.0.1:{server.add_secure_port('127.0.0.1:0', grpc.ssl_server_credentials([pair]))}"
    server.start()
    plain = run("complete", "Hi", "--address", address, "--timeout", "30")
    with trustme.CA().cert_pem.tempfile() as stranger:
        astray = run("complete", "Hi", "--address", address, "--timeout", "30", "--ca-file", stranger)
    server.stop(None).wait()
    assert plain.stderr.splitlines()[0].startswith("UNAVAILABLE: ")
    assert "--ca-file" in plain.stderr.splitlines()[1]
    assert "No authority in --ca-file vouches for" in astray.stderr.splitlines()[-1]


def test_numbers_agree_with_their_nouns(tmp_path):
    file = tmp_path / "router.yaml"
    file.write_text(CONFIGURATION.replace("${SIMULATOR_URL}", "http://127.0.0.1:1"))
    assert "1 provider, 1 deployment, 1 policy, fingerprint" in run("check", file).stdout


def test_commands_that_need_no_server_do_not_load_one():
    program = "import sys, router_service.cli.main; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert not {"router_service.app", "router_service.simulator", "pydantic", "aiohttp"} & set(loaded)


def test_sigterm_drains_and_exits_cleanly(tmp_path):
    with serving(tmp_path) as (process, _, _):
        process.send_signal(signal.SIGTERM)
        assert process.wait(120) == 0


def test_a_second_signal_stops_at_once(tmp_path):
    patient = CONFIGURATION.replace("lame_duck: 0s", "lame_duck: 600s")
    for number in (signal.SIGTERM, signal.SIGINT):
        with serving(tmp_path, patient) as (process, _, _):
            process.send_signal(number)
            assert "a second signal stops at once" in process.stdout.readline()
            process.send_signal(number)
            assert process.wait(120) == -number


def test_the_start_tells_file_fingerprint_and_tls(tmp_path):
    file = tmp_path / "router.yaml"
    file.write_text(CONFIGURATION)
    with started(LLMROUTER, "serve", "-c", file, ready=f"without TLS from {file}, ", env=NOBODY) as (_, word):
        assert word == "fingerprint"


def test_without_a_file_the_start_tells_what_the_environment_offers():
    serve = (LLMROUTER, "serve", "--address", "127.0.0.1:0")
    keys = {name: "" for name in os.environ if name.endswith("_API_KEY")} | {"DEEPSEEK_API_KEY": "k"}
    with started(*serve, ready="found in the environment: ", env=keys) as (_, first):
        assert first.startswith("deepseek/")


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
    result = run("complete", "Hi", "--address", "127.0.0.1:9", "--timeout", "30")
    assert result.returncode == 1
    assert "llmrouter serve" in result.stderr
