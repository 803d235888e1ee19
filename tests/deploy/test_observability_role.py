from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_runs import Ansible
from toolbox import ROOT

STACK = "sdoneks"
RUNTIMES = ("sdruntime", "comfyruntime")


def variables(ansible: Ansible, runtimes: tuple[str, ...] = RUNTIMES) -> dict[str, Any]:
    return {
        "deployment": {"stack": STACK, "runtimes": [{"name": name} for name in runtimes]},
        "deployment_region": "us-east-1",
        "deployment_tags": {"darkroom/stack": STACK},
        "cluster_name": STACK,
        "kubernetes_apply": False,
        "kubernetes_render_dir": str(ansible.folder / "rendered"),
        "observability_alarm_topic_arn": "arn:aws:sns:us-east-1:000000000000:alarms",
    }


@pytest.fixture(scope="module")
def observed(ansible: Ansible) -> Ansible:
    """An account in which the role has run; test_site.py checks first and runs again."""
    ansible.client("eks").create_cluster(
        name=STACK,
        roleArn="arn:aws:iam::000000000000:role/cluster",
        resourcesVpcConfig={"subnetIds": ["subnet-00000001", "subnet-00000002"]},
    )
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


def alarms(ansible: Ansible) -> dict[str, dict[str, Any]]:
    found = ansible.client("cloudwatch").describe_alarms()["MetricAlarms"]
    return {alarm["AlarmName"]: alarm for alarm in found}


def asked_for(ansible: Ansible) -> list[dict[str, Any]]:
    """The alarms as the role asks for them; the emulator does not show their queries."""
    role = ROOT / "playbooks" / "roles" / "observability"
    written = ansible.folder / "alarms.json"
    template = {"src": str(role / "templates" / "alarms.json.j2"), "dest": str(written)}
    play = {
        "name": "Write the alarms",
        "hosts": "localhost",
        "gather_facts": False,
        "vars_files": [str(role / "defaults" / "main.yml")],
        "tasks": [{"name": "Write the alarms", "ansible.builtin.template": template}],
    }
    playbook = ansible.folder / "alarms.yml"
    playbook.write_text(json.dumps([play]))
    ansible.play(playbook, "-e", json.dumps(variables(ansible, ("a",))))
    found: list[dict[str, Any]] = json.loads(written.read_text())
    return found


def test_logs_are_kept_for_two_weeks(observed: Ansible) -> None:
    groups = observed.client("logs").describe_log_groups()["logGroups"]

    kept = {group["logGroupName"]: group["retentionInDays"] for group in groups}
    assert kept[f"/aws/containerinsights/{STACK}/application"] == 14
    assert kept[f"/darkroom/{STACK}/metrics"] == 14
    assert set(kept.values()) == {14}


def test_add_on_leaves_the_gpus_to_the_collector(observed: Ansible) -> None:
    addon = observed.client("eks").describe_addon(
        clusterName=STACK, addonName="amazon-cloudwatch-observability"
    )["addon"]

    config = json.loads(addon["configurationValues"])
    insights = config["agent"]["config"]["logs"]["metrics_collected"]["kubernetes"]
    assert insights == {
        "enhanced_container_insights": True,
        "accelerated_compute_metrics": False,
    }


def test_every_runtime_has_its_four_alarms(observed: Ansible) -> None:
    found = alarms(observed)

    assert set(found) == {
        f"{STACK}/{runtime}-{what}"
        for runtime in RUNTIMES
        for what in ("dlq", "oldest-task", "no-results", "failed-share")
    }
    for alarm in found.values():
        assert alarm["AlarmActions"] == ["arn:aws:sns:us-east-1:000000000000:alarms"]


def test_stuck_alarm_outlasts_the_start_of_a_node(observed: Ansible) -> None:
    (stuck,) = [each for each in asked_for(observed) if each["name"] == "a-no-results"]

    queries = {query["Id"]: query for query in stuck["metrics"]}
    assert stuck["periods"] * queries["waiting"]["MetricStat"]["Period"] == 45 * 60
    assert [query for query in queries.values() if query["ReturnData"]] == [queries["stuck"]]
    assert queries["ended"]["MetricStat"]["Metric"] == {
        "Namespace": f"Darkroom/{STACK}",
        "MetricName": "darkroom.tasks.ended",
        "Dimensions": [{"Name": "runtime", "Value": "a"}],
    }


def test_what_a_stack_no_longer_has_goes_and_what_others_have_stays(observed: Ansible) -> None:
    observed.client("cloudwatch").put_metric_alarm(
        AlarmName=f"{STACK}-two/other-dlq",
        ComparisonOperator="GreaterThanThreshold",
        EvaluationPeriods=1,
        MetricName="x",
        Namespace="x",
        Period=60,
        Statistic="Sum",
        Threshold=1,
    )

    # Its GPUs are left alone, too.
    other = {
        "observability_dcgm_image": "",
        "kubernetes_render_dir": str(observed.folder / "x"),
    }
    observed.roles("observability", variables=variables(observed, RUNTIMES[:1]) | other)

    assert {name.rpartition("-")[0] for name in alarms(observed)} == {
        f"{STACK}/sdruntime",
        f"{STACK}/sdruntime-oldest",
        f"{STACK}/sdruntime-no",
        f"{STACK}/sdruntime-failed",
        f"{STACK}-two/other",
    }
    folder = observed.folder / "x" / "observability"
    assert [file.name for file in folder.iterdir()] == ["collector.yaml"]
    assert "prometheus" not in (folder / "collector.yaml").read_text()


def test_dashboard_has_a_graph_of_every_metric_that_the_services_count(
    observed: Ansible,
) -> None:
    body = observed.client("cloudwatch").get_dashboard(DashboardName=STACK)["DashboardBody"]

    widgets = json.loads(body)["widgets"]
    places = {(widget["x"], widget["y"]) for widget in widgets}
    assert len(places) == len(widgets)
    for name in ("tasks.ended", "agent.queue_wait", "agent.generation", "ingest.requests"):
        assert f"darkroom.{name}" in body
    assert "DCGM_FI_DEV_GPU_UTIL" in body


def test_dashboard_searches_a_namespace_with_a_slash_in_quotes(observed: Ansible) -> None:
    """CloudWatch wants quotes around what has other than letters and digits."""
    body = observed.client("cloudwatch").get_dashboard(DashboardName=STACK)["DashboardBody"]

    searches = [
        metric[0]["expression"]
        for widget in json.loads(body)["widgets"]
        for metric in widget["properties"]["metrics"]
        if isinstance(metric[0], dict)
    ]
    assert searches
    assert [each for each in searches if not each.startswith("SEARCH('{\"Darkroom/")] == []


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
