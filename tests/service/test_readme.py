"""What README shows is what runs."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from pathlib import Path

from router_service.app import Application, read_configuration
from router_service.simulator.server import Simulator

ROOT = Path(__file__).parent.parent.parent
README = (ROOT / "README.md").read_text()


def block(language):
    return re.search(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)[1]


async def test_the_configuration_serves_and_the_call_prints_an_answer(tmp_path):
    async with Simulator() as simulator:
        providers = {name: simulator.url(name) for name in ("openai", "deepseek")}
        configuration = block("yaml")
        for name, url in providers.items():
            configuration = re.sub(rf"({name}: +){{", rf'\1{{base_url: "{url}", ', configuration, count=1)
        file = tmp_path / "router.yaml"
        file.write_text(configuration)
        keys = {"OPENAI_API_KEY": "k", "DEEPSEEK_API_KEY": "k"}
        application = Application(file, environ=keys, address="127.0.0.1:0")
        port = await application.start()
        example = block("python").replace("127.0.0.1:50051", f"127.0.0.1:{port}")
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", example, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        out, errors = await process.communicate()
        await application.stop()
    assert process.returncode == 0, errors.decode()
    assert "deepseek-chat" in out.decode()
    assert "1 attempt(s)" in out.decode()


def test_without_keys_the_simulator_serves_where_it_says():
    commands = r"^\.venv/bin/python -m (\S+) .*\nexport SIMULATOR_URL=http://127\.0\.0\.1:(\d+)\n.* -c (\S+)$"
    tried = re.search(commands, README, re.MULTILINE)
    assert tried
    module, port, file = tried.groups()
    usage = subprocess.run([sys.executable, "-m", module, "--help"], capture_output=True, text=True, check=True)
    assert "--port" in usage.stdout
    assert f'"--port", type=int, default={port},' in (ROOT / module.replace(".", "/") / "__main__.py").read_text()
    read_configuration(ROOT / file, {"SIMULATOR_URL": f"http://127.0.0.1:{port}"})


def test_every_link_leads_somewhere():
    for target in re.findall(r"\]\(((?!https?:)[^)#]+)", README):
        assert (ROOT / target).exists(), target


def test_the_commands_it_names_exist():
    makefile = (ROOT / "Makefile").read_text()
    for target in set(re.findall(r"\bmake ([a-z-]+)", README)):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
