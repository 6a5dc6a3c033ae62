"""The compose file as compose-go, the reference implementation, reads it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.conftest import DEPLOY, Ran, router_check

COMPOSE = DEPLOY / "compose"


@pytest.fixture(scope="module")
def project(tool: Callable[..., Ran]) -> dict[str, Any]:
    """The project with the settings of env.example, as whoever follows it has them."""
    settings = dict(
        line.split("=", 1) for line in (COMPOSE / "env.example").read_text().splitlines() if not line.startswith("#")
    )
    ran = tool("compose-spec", "--format", "json", "compose.yaml", cwd=COMPOSE, environ=settings)
    assert ran.status == 0, ran.err
    return dict(json.loads(ran.out))


def test_what_the_specification_does_not_know_is_refused(tool: Callable[..., Ran], tmp_path: Path) -> None:
    wrong = (COMPOSE / "compose.yaml").read_text().replace("stop_grace_period", "stop_grace")
    (tmp_path / "compose.yaml").write_text(wrong)
    ran = tool("compose-spec", "compose.yaml", cwd=tmp_path)
    assert ran.status != 0
    assert "stop_grace" in ran.err


def test_everything_that_the_router_names_is_there(project: dict[str, Any]) -> None:
    services = project["services"]
    assert set(services) == {"router", "simulator", "redis", "postgres", "jaeger", "prometheus", "grafana"}
    named = {
        host
        for value in services["router"]["environment"].values()
        for host in re.findall(r"(?://|@)([a-z]+):\d", value)
    }
    assert named == {"redis", "postgres", "simulator", "jaeger"}
    assert services["router"]["deploy"]["replicas"] == 2


def test_two_routers_share_one_configuration_that_the_router_takes(project: dict[str, Any], tmp_path: Path) -> None:
    environment = project["services"]["router"]["environment"]
    router = yaml.safe_load((COMPOSE / "router" / "router.yaml").read_text())
    checked = router_check(router, tmp_path, environment)
    assert checked.status == 0, checked.out + checked.err
    assert router["redis"]["replicas"] == project["services"]["router"]["deploy"]["replicas"]
    ports = {port["target"] for port in project["services"]["router"]["ports"]}
    assert ports == {int(router["server"][one]["address"].rpartition(":")[2]) for one in ("http",)} | {
        int(router["server"]["address"].rpartition(":")[2])
    }


def test_nothing_listens_beyond_this_machine(project: dict[str, Any]) -> None:
    ports = [port for service in project["services"].values() for port in service.get("ports", [])]
    assert ports
    assert {port.get("host_ip") for port in ports} == {"127.0.0.1"}


def test_images_have_a_version_and_the_routers_run_read_only(project: dict[str, Any]) -> None:
    for name, service in project["services"].items():
        assert re.search(r":v?\d+(\.\d+)*(-[a-z]+)?$", service["image"]), name
    for name in ("router", "simulator"):
        service = project["services"][name]
        assert service["read_only"]
        assert service["cap_drop"] == ["ALL"]
        assert service["tmpfs"] == ["/tmp"]


def test_every_mounted_file_is_in_the_project(project: dict[str, Any]) -> None:
    sources = [
        Path(volume["source"])
        for service in project["services"].values()
        for volume in service.get("volumes", [])
        if volume["type"] == "bind"
    ]
    assert len(sources) == 4
    assert all(path.exists() for path in sources)


def test_dashboards_and_traces_are_provisioned() -> None:
    sources = yaml.safe_load((DEPLOY / "grafana" / "provisioning" / "datasources" / "llmrouter.yaml").read_text())[
        "datasources"
    ]
    assert {source["uid"]: source["type"] for source in sources} == {"prometheus": "prometheus", "jaeger": "jaeger"}
