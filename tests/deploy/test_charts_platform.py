from __future__ import annotations

from typing import Any

import pytest
import yaml

from rendering import VALUES, containers, merged, objects, only, read_values, render
from toolbox import ROOT

Json = dict[str, Any]
SERVICES = ("ingest", "router", "notifier", "model-sync")
# Millicores of an m5.large that EKS leaves to pods, and what else asks for them by default.
M5_LARGE = 1930
ON_EACH_NODE = {
    "aws-node": 50,
    "kube-proxy": 100,
    "s3-csi-node": 10,
    "cloudwatch-agent": 250,
    "fluent-bit": 50,
}
ONCE = {
    "karpenter": 2 * 250,
    "coredns": 2 * 100,
    "metrics-server": 2 * 100,
    "keda-operator": 2 * 100,
    "keda-metrics-apiserver": 100,
    "keda-admission-webhooks": 100,
    "cloudwatch-operator": 100,
    "collector": 100,
}
METADATA_OF_THE_NODE = "169.254.169.254"


def _rendered(name: str) -> list[Json]:
    return objects(render("platform", read_values(VALUES / "platform" / f"{name}.yaml")))


@pytest.fixture(scope="module")
def golden() -> list[Json]:
    return _rendered("golden")


@pytest.mark.parametrize("service", SERVICES)
def test_a_container_may_do_nothing_but_its_work(golden: list[Json], service: str) -> None:
    deployment = only(golden, "Deployment", service)
    pod = deployment["spec"]["template"]["spec"]

    assert pod["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": 65532,
        "runAsGroup": 65532,
        "fsGroup": 65532,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert not pod["automountServiceAccountToken"]
    assert containers(deployment)[service]["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


@pytest.mark.parametrize("service", SERVICES)
def test_a_pod_that_ends_serves_on_and_has_time_to_finish(
    golden: list[Json], service: str
) -> None:
    deployment = only(golden, "Deployment", service)
    hook = containers(deployment)[service]["lifecycle"]["preStop"]

    grace = deployment["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    stopping = 20  # calls in flight over gRPC, then over HTTP, get 10 s each
    assert 5 <= hook["sleep"]["seconds"] < grace - stopping


@pytest.mark.parametrize("service", SERVICES)
def test_an_image_goes_by_its_digest_even_if_it_has_a_tag(service: str) -> None:
    container = containers(only(_rendered("everything"), "Deployment", service))[service]

    assert container["image"].startswith(f"registry.example.com/studio/{service}@sha256:")


def test_selectors_do_not_change_with_a_version() -> None:
    for item in _rendered("everything"):
        if item["kind"] in {"Deployment", "Service", "PodDisruptionBudget"}:
            selector = item["spec"]["selector"]
            assert set(selector.get("matchLabels", selector)) == {
                "app.kubernetes.io/name",
                "app.kubernetes.io/instance",
            }


def test_replicas_are_set_only_without_an_autoscaler(golden: list[Json]) -> None:
    smallest = _rendered("smallest")

    assert all("replicas" not in only(golden, "Deployment", name)["spec"] for name in SERVICES)
    assert all(only(smallest, "Deployment", n)["spec"]["replicas"] == 1 for n in SERVICES)
    assert not [item for item in smallest if item["kind"] == "HorizontalPodAutoscaler"]


def test_nobody_may_call_and_nothing_may_be_called_by_default(golden: list[Json]) -> None:
    spec = only(golden, "NetworkPolicy", "default-deny")["spec"]

    assert spec == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


def _called(policy: Json) -> set[str]:
    return {
        peer["podSelector"]["matchLabels"]["app.kubernetes.io/name"]
        for rule in policy["spec"]["egress"]
        for peer in rule["to"]
        if "matchLabels" in peer.get("podSelector", {})
    }


def _callers(policy: Json) -> set[str]:
    labels = [
        peer["podSelector"]["matchLabels"]
        for rule in policy["spec"].get("ingress", ())
        for peer in rule["from"]
        if "podSelector" in peer
    ]
    return {
        each.get("app.kubernetes.io/name") or each["app.kubernetes.io/component"]
        for each in labels
    }


def test_calls_go_the_way_of_a_task_only(golden: list[Json]) -> None:
    policies = {name: only(golden, "NetworkPolicy", name) for name in SERVICES}

    assert {name: _called(policy) for name, policy in policies.items()} == {
        "ingest": {"router", "model-sync", "notifier"},
        "router": {"model-sync", "notifier"},
        "notifier": set(),
        "model-sync": set(),
    }
    assert {name: _callers(policy) for name, policy in policies.items()} == {
        "ingest": set(),  # by address
        "router": {"ingest"},
        "notifier": {"ingest", "router", "runtime"},
        "model-sync": {"ingest", "router"},
    }


def test_ingest_calls_aws_only_for_a_secret_of_keys() -> None:
    for secret, ports in (("", []), ("studio-api-keys", [443])):
        values = merged(
            read_values(VALUES / "platform" / "golden.yaml"),
            {"deployment": {"apiKeysSecret": secret}},
        )
        policy = only(objects(render("platform", values)), "NetworkPolicy", "ingest")
        open_to = [
            port["port"]
            for rule in policy["spec"]["egress"]
            for to in rule["to"]
            for port in rule["ports"]
            if to.get("ipBlock", {}).get("cidr") == "0.0.0.0/0"
        ]
        assert open_to == ports


@pytest.mark.parametrize("service", SERVICES)
def test_the_metadata_of_the_node_is_out_of_reach(golden: list[Json], service: str) -> None:
    blocks = [
        peer["ipBlock"]
        for rule in only(golden, "NetworkPolicy", service)["spec"]["egress"]
        for peer in rule["to"]
        if "ipBlock" in peer
    ]

    # ingest calls nothing of AWS.
    assert [block["cidr"] for block in blocks] == (
        [] if service == "ingest" else ["0.0.0.0/0", "169.254.170.23/32"]
    )
    assert all("169.254.0.0/16" in b["except"] for b in blocks if b["cidr"] == "0.0.0.0/0")
    assert METADATA_OF_THE_NODE not in str(blocks)


def test_the_gateway_reaches_ingest_by_an_internal_load_balancer() -> None:
    service = only(_rendered("gateway"), "Service", "ingest")

    assert service["spec"]["type"] == "LoadBalancer"
    prefix = "service.beta.kubernetes.io/aws-load-balancer-"
    found = service["metadata"]["annotations"]
    assert found[f"{prefix}type"] == "nlb"
    assert found[f"{prefix}scheme"] == "internal"
    assert found[f"{prefix}internal"] == "true"
    assert found[f"{prefix}additional-resource-tags"] == "darkroom/stack=sdoneks"


def test_without_a_gateway_ingest_stays_in_the_cluster(golden: list[Json]) -> None:
    service = only(golden, "Service", "ingest")

    assert service["spec"]["type"] == "ClusterIP"
    assert {port["name"]: port["port"] for port in service["spec"]["ports"]} == {
        "http": 8080,
        "grpc": 50051,
    }


def test_the_name_of_a_service_that_ours_call_is_that_of_each_pod(golden: list[Json]) -> None:
    services = {
        item["metadata"]["name"]: item["spec"].get("clusterIP")
        for item in golden
        if item["kind"] == "Service"
    }

    assert services == {
        "ingest": None,
        "router": "None",
        "notifier": "None",
        "model-sync": "None",
    }


def test_a_new_runtime_restarts_the_router_and_nothing_else(golden: list[Json]) -> None:
    values = read_values(VALUES / "platform" / "golden.yaml")
    values["runtimes"] = [*values["runtimes"], {"name": "more", "type": "comfyui"}]
    after = objects(render("platform", values))

    changed = {
        name
        for name in SERVICES
        if only(golden, "Deployment", name) != only(after, "Deployment", name)
    }

    assert changed == {"router"}


def test_labels_of_a_user_do_not_replace_those_that_select() -> None:
    values = read_values(VALUES / "platform" / "golden.yaml")
    values["podLabels"] = {"app.kubernetes.io/name": "mine", "team": "art"}

    labels = only(objects(render("platform", values)), "Deployment", "router")["spec"][
        "template"
    ]["metadata"]["labels"]

    assert labels["app.kubernetes.io/name"] == "router"
    assert labels["team"] == "art"


def test_the_default_nodes_have_room_for_a_rolling_update_of_every_service(
    golden: list[Json],
) -> None:
    cluster = yaml.safe_load((ROOT / "playbooks/roles/cluster/defaults/main.yml").read_text())
    assert cluster["cluster_node_instance_types"] == ["m5.large"]
    nodes = cluster["cluster_node_min"]

    wanted = 0
    for service in SERVICES:
        scaler = only(golden, "HorizontalPodAutoscaler", service)["spec"]
        container = containers(only(golden, "Deployment", service))[service]
        cpu = container["resources"]["requests"]["cpu"]
        assert cpu.endswith("m")
        wanted += (scaler["minReplicas"] + 1) * int(cpu[:-1])

    free = nodes * (M5_LARGE - sum(ON_EACH_NODE.values())) - sum(ONCE.values())
    assert wanted <= free
