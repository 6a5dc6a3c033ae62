"""A real Prometheus scrapes a router: what ships is valid there, and no panel stays empty."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import urllib.parse
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import yaml
from queries import ALERTS, alerts, panels
from watched_router import watched_router

PROGRAMS = Path(os.environ["PROMETHEUS"])
CONFIGURATION = ALERTS.with_name("prometheus.yaml")


async def promtool(*arguments: str) -> str:
    process = await asyncio.create_subprocess_exec(
        PROGRAMS / "promtool",
        *arguments,
        cwd=ALERTS.parent,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    told, _ = await process.communicate()
    assert process.returncode == 0, told.decode()
    return told.decode()


async def test_the_configuration_is_valid() -> None:
    told = await promtool("check", "config", "prometheus.yaml")
    assert f"{len(alerts())} rules found" in told


async def test_each_alert_fires_where_it_should_and_nowhere_else() -> None:
    assert "SUCCESS" in await promtool("test", "rules", "alerts_test.yaml")


class Prometheus:
    """A running one."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}/api/v1"

    async def query(self, query: str) -> list[dict[str, Any]]:
        """The series that a query gives now."""
        told = await asyncio.to_thread(self._get, f"/query?{urllib.parse.urlencode({'query': query})}")
        return list(told["data"]["result"])

    def _get(self, path: str) -> Any:
        with urllib.request.urlopen(self._url + path, timeout=60) as answer:  # noqa: S310 - http to this machine
            return json.load(answer)

    async def until(self, query: str) -> None:
        """Wait until a query gives any series."""
        async with asyncio.timeout(120):
            while True:
                try:
                    if await self.query(query):
                        return
                except OSError:
                    pass
                await asyncio.sleep(0.1)


@asynccontextmanager
async def prometheus(folder: Path, target: str) -> AsyncIterator[Prometheus]:
    """One that runs what ships, but scrapes `target`, and often."""
    shipped = yaml.safe_load(CONFIGURATION.read_text())
    shipped["global"] = {"scrape_interval": "250ms", "evaluation_interval": "250ms"}
    shipped["rule_files"] = [str(ALERTS)]
    [job] = shipped["scrape_configs"]
    del job["dns_sd_configs"]
    job["static_configs"] = [{"targets": [target]}]
    file = folder / "prometheus.yaml"
    file.write_text(yaml.safe_dump(shipped))
    port = _free_port()
    with (folder / "prometheus.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            PROGRAMS / "prometheus",
            f"--config.file={file}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
            stdout=log,
            stderr=log,
        )
    try:
        yield Prometheus(port)
    finally:
        process.terminate()
        await process.wait()


async def test_no_panel_is_empty_and_no_query_fails(tmp_path: Path) -> None:
    async with watched_router(tmp_path) as router, prometheus(tmp_path, f"127.0.0.1:{router.http_port}") as server:
        await router.traffic()
        await server.until('count_over_time(up{job="llmrouter"}[1h]) > 3 and up == 1')
        await server.until("count_over_time(llm_router_telemetry_dropped_spans_total[1h]) > 3")
        empty = [name for name, query in panels().items() if not await server.query(query)]
        assert not empty
        for query in alerts().values():
            await server.query(query)
        # Of what the traffic did, what calls for no patience is found at once.
        await server.until('ALERTS{alertname="LLMRouterKeyRefused", alertstate="firing"}')
        spent = await server.query("max by (llm_router_budget_name) (llm_router_budget_used)")
        assert {one["metric"]["llm_router_budget_name"] for one in spent} == {"daily", "spent"}
        [serving] = await server.query("sum by (instance) (llm_router_worker_up)")
        assert serving["value"][1] == "2"


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
