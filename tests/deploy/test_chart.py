"""The chart as helm renders it: valid, and saying what docs/deploy.md says."""

from __future__ import annotations

import copy
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trustme
import yaml

from router_service.rpc.servicer import SERVICE
from router_service.telemetry.semconv import METRIC_ACTIVE_REQUESTS
from tests.deploy.conftest import CHART, DEPLOY, KUBERNETES, ROOT, Manifests, Ran, router_check

DOCS = ROOT / "docs" / "deploy.md"
VALUE_SETS = ("", *sorted(path.stem for path in (CHART / "ci").glob("*.yaml")))
CONFIGURED = [name for name in VALUE_SETS if name != "own-configmap"]
# Kinds of the Prometheus operator: Kubernetes has no schemas of them.
OPERATOR_KINDS = frozenset({"ServiceMonitor", "PrometheusRule"})

Render = Callable[..., Manifests]
sets = pytest.mark.parametrize("values", VALUE_SETS, ids=lambda name: name or "default")


@sets
def test_helm_lints_the_chart_strictly(tool: Callable[..., Ran], values: str) -> None:
    given = ("--values", CHART / "ci" / f"{values}.yaml") if values else ()
    ran = tool("helm", "lint", "--strict", "--kube-version", KUBERNETES[0], CHART, *given)
    assert ran.status == 0, ran.out + ran.err


@sets
@pytest.mark.parametrize("version", KUBERNETES)
def test_kubernetes_takes_every_manifest(
    tool: Callable[..., Ran], rendered: Render, tmp_path: Path, values: str, version: str
) -> None:
    documents = [one for one in rendered(values).documents if one["kind"] not in OPERATOR_KINDS]
    ran = validated(tool, tmp_path, documents, version)
    assert ran.status == 0, ran.out
    assert ran.out.count("passed for resource") == len(documents), ran.out


@pytest.mark.parametrize("version", KUBERNETES)
def test_the_validator_refuses_what_kubernetes_does_not_know(
    tool: Callable[..., Ran], rendered: Render, tmp_path: Path, version: str
) -> None:
    workload = copy.deepcopy(rendered().one("StatefulSet"))
    workload["spec"]["template"]["spec"]["containers"][0]["livenessProb"] = {}
    ran = validated(tool, tmp_path, [workload], version)
    assert ran.status != 0
    assert "livenessProb" in ran.out


def validated(tool: Callable[..., Ran], folder: Path, documents: list[dict[str, Any]], version: str) -> Ran:
    """What the validator says of manifests."""
    file = folder / "manifests.yaml"
    file.write_text(yaml.safe_dump_all(documents))
    ran = tool("kubernetes-validate", "--strict", "-k", version, file)
    return Ran(ran.status, ran.out + ran.err, "")


@pytest.mark.parametrize("values", CONFIGURED, ids=lambda name: name or "default")
def test_the_router_takes_its_configuration(rendered: Render, tmp_path: Path, values: str) -> None:
    manifests = rendered(values)
    authority = trustme.CA()
    mounted = manifests.router_yaml.replace("/etc/llmrouter-tls/", f"{tmp_path}/")
    authority.cert_pem.write_to_path(tmp_path / "ca.crt")
    authority.issue_cert("router").private_key_and_cert_chain_pem.write_to_path(tmp_path / "tls.crt")
    (tmp_path / "tls.key").write_bytes((tmp_path / "tls.crt").read_bytes())
    checked = router_check(yaml.safe_load(mounted), tmp_path, named_variables(manifests))
    assert checked.status == 0, checked.out + checked.err


@sets
def test_no_secret_stands_in_a_manifest(rendered: Render, values: str) -> None:
    manifests = rendered(values)
    assert not manifests.of("Secret")
    for variable in manifests.container["env"]:
        if re.search("KEY|SECRET|TOKEN|PASS|URL", variable["name"]):
            assert "value" not in variable, variable
            assert "secretKeyRef" in variable["valueFrom"]
    assert not re.search(r"sk-|://[^/\s]*:[^/\s]*@|rk_", manifests.text)


@sets
def test_probes_ask_the_services_that_the_router_answers_for(rendered: Render, values: str) -> None:
    manifests = rendered(values)
    container = manifests.container
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    probes = {name: container[f"{name}Probe"] for name in ("startup", "liveness", "readiness")}
    if "tls" in {volume["name"] for volume in manifests.pod["volumes"]}:
        # Kubernetes' gRPC probes speak no TLS.
        assert {probe["httpGet"]["port"] for probe in probes.values()} == {"admin"}
        assert probes["readiness"]["httpGet"]["path"] == "/health/ready"
        assert probes["liveness"]["httpGet"]["path"] == "/health/live"
    else:
        assert {probe["grpc"]["port"] for probe in probes.values()} == {ports["grpc"]}
        assert probes["readiness"]["grpc"]["service"] == SERVICE
        assert probes["liveness"]["grpc"]["service"] == probes["startup"]["grpc"]["service"] == ""


@sets
def test_a_drain_is_cut_short_neither_by_the_kubelet_nor_by_the_liveness_probe(rendered: Render, values: str) -> None:
    manifests = rendered(values, "--set", "drain.lameDuckSeconds=7,drain.graceSeconds=95,drain.shipSeconds=11")
    liveness = manifests.container["livenessProbe"]
    assert manifests.pod["terminationGracePeriodSeconds"] == 7 + 95 + 11
    assert liveness["periodSeconds"] * liveness["failureThreshold"] > 7 + 95
    if values != "own-configmap":
        assert manifests.router["server"]["lame_duck"] == "7s"
        assert manifests.router["server"]["grace"] == "95s"


@sets
def test_every_selector_finds_the_pods(rendered: Render, values: str) -> None:
    manifests = rendered(values)
    workload = manifests.one("StatefulSet")["spec"]
    labels = workload["template"]["metadata"]["labels"].items()
    selectors = [workload["selector"]["matchLabels"]]
    selectors += [service["spec"]["selector"] for service in manifests.of("Service")]
    selectors += [one["spec"]["selector"]["matchLabels"] for one in manifests.of("PodDisruptionBudget")]
    selectors += [one["spec"]["podSelector"]["matchLabels"] for one in manifests.of("NetworkPolicy")]
    spread = manifests.pod.get("topologySpreadConstraints", [])
    selectors += [one["labelSelector"]["matchLabels"] for one in spread]
    assert all(selector and selector.items() <= labels for selector in selectors)
    for one in manifests.of("HorizontalPodAutoscaler"):
        assert one["spec"]["scaleTargetRef"]["name"] == manifests.one("StatefulSet")["metadata"]["name"]


@sets
def test_clients_resolve_every_router_by_one_name(rendered: Render, values: str) -> None:
    manifests = rendered(values)
    name = manifests.one("StatefulSet")["spec"]["serviceName"]
    [service] = [one for one in manifests.of("Service") if one["metadata"]["name"] == name]
    assert service["spec"]["clusterIP"] == "None"
    assert [port["targetPort"] for port in service["spec"]["ports"]] == ["grpc"]
    assert not service["spec"].get("publishNotReadyAddresses")


@sets
def test_pods_run_as_nobody_and_write_only_where_volumes_are(rendered: Render, values: str) -> None:
    manifests = rendered(values)
    container, pod = manifests.container, manifests.pod
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    context = pod["securityContext"]
    assert context["runAsNonRoot"]
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    assert f"{context['runAsUser']}:{context['runAsGroup']}" in (DEPLOY / "container" / "Containerfile").read_text()
    assert pod["automountServiceAccountToken"] is False
    writable = {mount["mountPath"] for mount in container["volumeMounts"] if not mount.get("readOnly")}
    assert writable == {"/tmp", "/var/lib/llmrouter"}
    assert {"requests", "limits"} <= container["resources"].keys()


@pytest.mark.parametrize("values", ["cluster", "production"])
def test_the_journal_is_on_a_volume_that_outlives_the_pod(rendered: Render, values: str) -> None:
    manifests = rendered(values)
    [claim] = manifests.one("StatefulSet")["spec"]["volumeClaimTemplates"]
    [mount] = [one for one in manifests.container["volumeMounts"] if one["name"] == claim["metadata"]["name"]]
    assert manifests.router["ledger"]["folder"] == mount["mountPath"]
    kept = manifests.one("StatefulSet")["spec"]["persistentVolumeClaimRetentionPolicy"]
    assert set(kept.values()) == {"Retain"}


def test_the_default_is_one_router_that_may_be_evicted(rendered: Render) -> None:
    manifests = rendered()
    assert manifests.one("StatefulSet")["spec"]["replicas"] == 1
    assert manifests.one("PodDisruptionBudget")["spec"]["maxUnavailable"] == 1
    assert not manifests.of("HorizontalPodAutoscaler")
    assert not manifests.of("NetworkPolicy")


def test_a_fleet_scales_by_calls_in_flight_and_tells_redis_its_most(rendered: Render) -> None:
    manifests = rendered("production")
    scaler = manifests.one("HorizontalPodAutoscaler")["spec"]
    [metric] = scaler["metrics"]
    assert metric["pods"]["metric"]["name"] == METRIC_ACTIVE_REQUESTS.replace(".", "_")
    assert "replicas" not in manifests.one("StatefulSet")["spec"]
    assert manifests.router["redis"]["replicas"] == scaler["maxReplicas"]
    assert rendered("cluster").router["redis"]["replicas"] == 3


def test_the_network_lets_in_callers_and_monitoring_and_out_to_providers_and_stores(rendered: Render) -> None:
    policy = rendered("production").one("NetworkPolicy")["spec"]
    assert set(policy["policyTypes"]) == {"Ingress", "Egress"}
    callers, monitoring = policy["ingress"]
    assert {port["port"] for port in callers["ports"]} == {"grpc", "http"}
    assert {port["port"] for port in monitoring["ports"]} == {"admin"}
    reached = {port["port"] for rule in policy["egress"] for port in rule["ports"]}
    assert reached == {53, 443, 6379, 5432, 4317}
    assert all(rule["to"] for rule in policy["egress"])


def test_metrics_are_scraped_at_the_admin_port(rendered: Render) -> None:
    manifests = rendered("production")
    monitor = manifests.one("ServiceMonitor")["spec"]
    [service] = [
        one
        for one in manifests.of("Service")
        if monitor["selector"]["matchLabels"].items() <= one["metadata"]["labels"].items()
    ]
    [endpoint] = monitor["endpoints"]
    [port] = [port for port in service["spec"]["ports"] if port["name"] == endpoint["port"]]
    assert manifests.router["server"]["http"]["admin_address"] == f"0.0.0.0:{port['port']}"
    assert manifests.one("PrometheusRule")["spec"]["groups"][0]["rules"][0]["alert"] == "NoRouter"


def test_the_alerts_that_ship_are_the_rule_word_for_word(rendered: Render) -> None:
    shipped = CHART.parents[1] / "prometheus" / "alerts.yaml"
    manifests = rendered("production", "--set-file", f"prometheusRule.rules={shipped}")
    assert manifests.one("PrometheusRule")["spec"] == yaml.safe_load(shipped.read_text())


CHECKSUM = "checksum/config"


def checksum(manifests: Manifests) -> str:
    return str(manifests.one("StatefulSet")["spec"]["template"]["metadata"]["annotations"][CHECKSUM])


def test_only_what_is_read_at_the_start_restarts_the_pods(rendered: Render) -> None:
    routing, sampling = "config.policies.default.baseline=x", "config.telemetry.sample_ratio=0.5"
    before = checksum(rendered("production"))
    assert checksum(rendered("production", "--set", routing)) == before
    assert checksum(rendered("production", "--set", sampling)) != before
    every = ("--set", "restartOn=any")
    assert checksum(rendered("production", *every)) != checksum(rendered("production", *every, "--set", routing))


def test_a_configmap_of_ones_own_is_mounted_as_it_is(rendered: Render) -> None:
    manifests = rendered("own-configmap")
    assert not manifests.of("ConfigMap")
    [volume] = [one for one in manifests.pod["volumes"] if one["name"] == "config"]
    assert volume["configMap"]["name"] == "router-configuration"
    assert "--address=0.0.0.0:50051" in manifests.container["args"]


REFUSED = {
    "replica=3": "additional properties 'replica' not allowed",
    "replicas=0": "at '/replicas': minimum: got 0, want 1",
    "drain.graceSeconds=30s": "at '/drain/graceSeconds': got string, want integer",
    "image.digest=latest": "at '/image/digest'",
    "env.OPENAI_API_KEY=sk-1": "env.OPENAI_API_KEY sounds of a secret",
    "config.providers.openai.api_key=sk-1": "config.providers.openai.api_key holds a secret in plain",
    "config.identity.api_keys.keys.a.key=rk": "config.identity.api_keys.keys.a.key holds a secret in plain",
    "config.providers.gpu.base_url=http://u:p@gpu/v1": "config.providers.gpu.base_url holds a secret in plain",
    "config.server.grace=3s": "set the value drain.graceSeconds instead",
    "config.server.http.address=a,http.enabled=true": "set the value http.port instead",
    "config.server.http.keep_alive=9s": "config.server.http needs http.enabled",
    "config.storage.url=sqlite://": "set the value postgresql.secret instead",
    "config.policies.a.baseline=x": "config.identity is missing",
    "tls.enabled=true,tls.secret=a": "tls.enabled needs http.enabled",
    "tls.enabled=true,http.enabled=true": "tls.enabled needs tls.secret",
    "redis.enabled=true": "redis.enabled needs redis.secret",
    "postgresql.enabled=true": "postgresql.enabled needs postgresql.secret",
    "serviceMonitor.enabled=true": "serviceMonitor.enabled needs http.enabled",
    "prometheusRule.enabled=true": "--set-file prometheusRule.rules=",
    "autoscaling.enabled=true,autoscaling.minReplicas=11": "minReplicas is more than",
    "networkPolicy.enabled=true,redis.enabled=true,redis.secret=a": "networkPolicy.egress is empty",
    "http.enabled=true,http.port=50051": "must differ",
    "existingConfigMap=a,config.identity.anonymous.tenant=a": "config and existingConfigMap are both given",
    "podDisruptionBudget.maxUnavailable=0": "at '/podDisruptionBudget/maxUnavailable'",
}


@pytest.mark.parametrize("setting", REFUSED)
def test_values_that_cannot_work_are_refused_with_what_to_do(template: Callable[..., Ran], setting: str) -> None:
    ran = template("--set", setting)
    assert ran.status != 0
    assert REFUSED[setting] in ran.err


def test_secrets_by_reference_are_taken(rendered: Render) -> None:
    settings = "config.identity.anonymous.tenant=a,config.providers.openai.api_key=${OPENAI_API_KEY}"
    assert rendered("", "--set", settings).router["providers"]["openai"]["api_key"] == "${OPENAI_API_KEY}"


def test_what_the_chart_does_not_decide_is_kept(rendered: Render) -> None:
    server = rendered("production", "--set", "config.server.http.keep_alive=9s").router["server"]
    assert server["http"] == {"address": "0.0.0.0:8080", "admin_address": "0.0.0.0:9464", "keep_alive": "9s"}
    assert server["max_concurrent_calls"] == 4000


@pytest.fixture
def notes(tool: Callable[..., Ran], tmp_path: Path) -> Callable[..., str]:
    """What an install would say of a value set. helm renders its notes only against a cluster: here as a file."""

    def render(values: str) -> str:
        chart = shutil.copytree(CHART, tmp_path / (values or "default"))
        shutil.move(chart / "templates" / "NOTES.txt", chart / "files" / "notes")
        (chart / "templates" / "notes.yaml").write_text(
            '{kind: Notes, text: {{ tpl (.Files.Get "files/notes") . | quote }}}'
        )
        given = ("--values", CHART / "ci" / f"{values}.yaml") if values else ()
        shown = ("--show-only", "templates/notes.yaml", "--kube-version", KUBERNETES[0])
        ran = tool("helm", "template", "rel", chart, "--namespace", "llm", *shown, *given)
        assert ran.status == 0, ran.err
        return str(yaml.safe_load(ran.out)["text"])

    return render


def test_an_install_tells_where_to_call_and_warns_of_what_is_not_shared(notes: Callable[..., str]) -> None:
    assert "dns:///rel-llmrouter.llm.svc:50051" in notes("")
    assert "WARNING" not in notes("cluster")
    assert "https://rel-llmrouter-http.llm.svc:8080/v1" in notes("production")
    assert "persistence.enabled" in notes("minimal")


def test_the_readme_lists_every_value() -> None:
    listed = set(re.findall(r"^\| `([^`]+)` \|", (CHART / "README.md").read_text(), re.MULTILINE))
    assert listed == set(leaves(yaml.safe_load((CHART / "values.yaml").read_text())))


def test_the_schema_knows_every_value() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    values = yaml.safe_load((CHART / "values.yaml").read_text())

    def compare(properties: dict[str, Any], given: dict[str, Any]) -> None:
        assert given.keys() == properties.keys() - {"global", "claims"}
        for key, value in given.items():
            if properties[key].get("additionalProperties") is False:
                compare(properties[key]["properties"], value)

    compare(schema["properties"], values)


def test_the_values_of_the_docs_render_to_a_configuration_that_the_router_takes(
    rendered: Render, tmp_path: Path
) -> None:
    [values] = re.findall(r"^```yaml\n# values.yaml\n(.*?)^```", DOCS.read_text(), re.MULTILINE | re.DOTALL)
    (tmp_path / "values.yaml").write_text(values)
    manifests = rendered("", "--values", str(tmp_path / "values.yaml"))
    checked = router_check(manifests.router, tmp_path, named_variables(manifests))
    assert checked.status == 0, checked.out + checked.err
    assert manifests.one("StatefulSet")["spec"]["replicas"] == 3


def test_the_adapters_rule_of_the_docs_serves_the_metric_that_scales(rendered: Render) -> None:
    [rule] = re.findall(r"^```yaml\n(rules:\n  custom:.*?)^```", DOCS.read_text(), re.MULTILINE | re.DOTALL)
    [custom] = yaml.safe_load(rule)["rules"]["custom"]
    [metric] = rendered("production").one("HorizontalPodAutoscaler")["spec"]["metrics"]
    assert custom["name"]["as"] == metric["pods"]["metric"]["name"]
    assert custom["seriesQuery"].startswith(custom["name"]["as"] + "{")


def leaves(values: dict[str, Any], path: str = "") -> list[str]:
    """The values' names, as `a.b`; a mapping whose keys are the user's is one value."""
    found = []
    for key, value in values.items():
        name = f"{path}{key}"
        found += leaves(value, f"{name}.") if value and isinstance(value, dict) and name != "resources" else [name]
    return found


def named_variables(manifests: Manifests) -> dict[str, str]:
    """Every variable that the pod has of Secrets; those of `secret` are whatever the configuration names."""
    given = {
        variable["name"] for variable in manifests.container["env"] if "secretKeyRef" in variable.get("valueFrom", {})
    }
    named = set(re.findall(r"\$\{([A-Z_]+)", manifests.router_yaml))
    if "envFrom" in manifests.container:
        given |= named | {"OPENAI_API_KEY", "ANTHROPIC_API_KEY"}
    urls = {"REDIS_URL": "redis://redis:6379", "DATABASE_URL": "postgresql://router:secret@postgres/router"}
    return {name: urls.get(name, f"rk_abcdefghijkl_{'k' * 48}") for name in given}
