from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_runs import Ansible
from toolbox import ROOT

STACK = "sdoneks"


def variables(ansible: Ansible) -> dict[str, Any]:
    return {
        "deployment": {"stack": STACK},
        "deployment_region": "us-east-1",
        "deployment_tags": {"darkroom/stack": STACK},
        "kubernetes_apply": False,
        "kubernetes_render_dir": str(ansible.folder / "rendered"),
    }


@pytest.fixture(scope="module")
def observed(ansible: Ansible) -> Ansible:
    """An account in which the role has run; test_site.py checks first and runs again."""
    assert ansible.roles("observability", variables=variables(ansible)).changed > 0
    return ansible


def rendered(ansible: Ansible, name: str) -> list[dict[str, Any]]:
    file: Path = ansible.folder / "rendered" / "observability" / f"{name}.yaml"
    return [each for each in yaml.safe_load_all(file.read_text()) if each]


def of_kind(ansible: Ansible, kind: str, name: str = "collector") -> dict[str, Any]:
    (found,) = [each for each in rendered(ansible, name) if each["kind"] == kind]
    return found


def collector(ansible: Ansible) -> dict[str, Any]:
    text = of_kind(ansible, "ConfigMap")["data"]["config.yaml"]
    config: dict[str, Any] = yaml.safe_load(text)
    return config


def test_logs_are_kept_for_two_weeks(observed: Ansible) -> None:
    groups = observed.client("logs").describe_log_groups()["logGroups"]

    kept = {group["logGroupName"]: group["retentionInDays"] for group in groups}
    assert kept[f"/aws/containerinsights/{STACK}/application"] == 14
    assert kept[f"/darkroom/{STACK}/metrics"] == 14
    assert set(kept.values()) == {14}


def test_collector_sends_on_only_metrics_that_are_documented(observed: Ansible) -> None:
    declared = [
        selector
        for declaration in collector(observed)["exporters"]["awsemf"]["metric_declarations"]
        for selector in declaration["metric_name_selectors"]
    ]
    telemetry = (ROOT / "docs" / "telemetry.md").read_text()
    named = [line.split("`")[1] for line in telemetry.splitlines() if line[:3] == "| `"]
    documented = [name for name in named if name.startswith("darkroom.")]

    for selector in declared:
        assert any(re.search(selector, name) for name in documented), selector
    for name in documented:
        assert any(re.search(selector, name) for selector in declared), name


def test_gpu_exporter_is_found_by_the_collector(observed: Ansible) -> None:
    scrape = collector(observed)["receivers"]["prometheus"]["config"]["scrape_configs"][0]
    exporter = of_kind(observed, "DaemonSet", "dcgm-exporter")

    keep = next(rule for rule in scrape["relabel_configs"] if rule.get("action") == "keep")
    (label,) = exporter["spec"]["template"]["metadata"]["labels"].items()
    assert label == ("app.kubernetes.io/name", keep["regex"])
    assert keep["source_labels"] == ["__meta_kubernetes_pod_label_app_kubernetes_io_name"]
    assert scrape["kubernetes_sd_configs"][0]["namespaces"]["names"] == [
        exporter["metadata"]["namespace"]
    ]
    assert of_kind(observed, "Role")["rules"][0]["resources"] == ["pods"]


def test_collector_listens_where_the_services_send(observed: Ansible) -> None:
    service, deployment = of_kind(observed, "Service"), of_kind(observed, "Deployment")

    ports = {port["name"]: port["port"] for port in service["spec"]["ports"]}
    assert ports == {"otlp-grpc": 4317, "otlp-http": 4318}
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert service["spec"]["selector"] == labels
    assert deployment["spec"]["replicas"] == 1
    pipelines = collector(observed)["service"]["pipelines"]
    assert pipelines["traces"]["exporters"] == ["awsxray"]
    assert pipelines["metrics/gpu"]["receivers"] == ["prometheus"]


def test_gpus_are_left_alone_when_their_exporter_has_no_image(observed: Ansible) -> None:
    other = {
        "observability_dcgm_image": "",
        "kubernetes_render_dir": str(observed.folder / "x"),
    }
    observed.roles("observability", variables=variables(observed) | other)

    folder = observed.folder / "x" / "observability"
    assert [file.name for file in folder.iterdir()] == ["collector.yaml"]
    assert "prometheus" not in (folder / "collector.yaml").read_text()
