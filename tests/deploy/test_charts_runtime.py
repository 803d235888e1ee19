from __future__ import annotations

import json
from typing import Any

import pytest

from rendering import (
    VALUES,
    RefusedError,
    containers,
    environment,
    merged,
    objects,
    only,
    read_values,
    render,
)

Json = dict[str, Any]


def _rendered(name: str, /, **above: Any) -> list[Json]:
    values = merged(read_values(VALUES / "runtime" / f"{name}.yaml"), above)
    return objects(render("runtime", values))


@pytest.fixture(scope="module")
def golden() -> list[Json]:
    return _rendered("golden")


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("golden", "/sdapi/v1/memory"),
        ("comfyui", "/system_stats"),
        ("invokeai", "/api/v1/app/version"),
    ],
)
def test_the_runtime_is_ready_before_the_agent_starts_and_ends_after_it(
    name: str, path: str
) -> None:
    pod = only(_rendered(name), "Deployment")["spec"]["template"]["spec"]

    runtime = pod["initContainers"][-1]
    assert runtime["name"] == "runtime"
    assert runtime["restartPolicy"] == "Always"
    assert runtime["startupProbe"]["httpGet"] == {"path": path, "port": "runtime"}
    assert [container["name"] for container in pod["containers"]] == ["queue-agent"]
    assert pod["terminationGracePeriodSeconds"] == 110


def test_the_agent_says_whether_its_runtime_has_to_be_started_anew(golden: list[Json]) -> None:
    """A server whose device is broken answers its own probe as ever."""
    found = containers(only(golden, "Deployment"))

    asked = found["runtime"]["livenessProbe"]["httpGet"]
    [ops] = found["queue-agent"]["ports"]
    assert asked == {"path": "/runtimez", "port": ops["containerPort"]}


@pytest.mark.parametrize(("name", "seconds"), [("golden", 1200), ("everything", 1801)])
def test_a_start_has_its_whole_budget(name: str, seconds: int) -> None:
    probe = containers(only(_rendered(name), "Deployment"))["runtime"]["startupProbe"]

    assert seconds <= probe["failureThreshold"] * probe["periodSeconds"] < seconds + 5


def test_the_agent_may_do_nothing_but_its_work(golden: list[Json]) -> None:
    deployment = only(golden, "Deployment")
    found = containers(deployment)

    assert found["queue-agent"]["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "runAsNonRoot": True,
        "runAsUser": 65532,
        "runAsGroup": 65532,
        "capabilities": {"drop": ["ALL"]},
    }
    pod = deployment["spec"]["template"]["spec"]
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}


def test_the_server_gets_none_of_the_agents_credentials(golden: list[Json]) -> None:
    deployment = only(golden, "Deployment")
    template = deployment["spec"]["template"]

    with_token = [
        name
        for name, container in containers(deployment).items()
        if any(mount["name"] == "token" for mount in container["volumeMounts"])
    ]

    assert with_token == ["queue-agent"]
    assert not template["spec"]["automountServiceAccountToken"]
    skipped = template["metadata"]["annotations"]["eks.amazonaws.com/skip-containers"]
    assert set(skipped.split(",")) == {"runtime", "config"}


def test_a_security_context_of_a_user_wins_key_by_key() -> None:
    runtime = containers(only(_rendered("everything"), "Deployment"))["runtime"]

    assert runtime["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "runAsUser": 1000,
        "runAsNonRoot": True,
        "readOnlyRootFilesystem": True,
    }


@pytest.mark.parametrize(
    ("name", "types"),
    [
        ("golden", ["spot", "on-demand"]),
        ("spot-only", ["spot"]),
        ("on-demand-patient", ["on-demand"]),
    ],
)
def test_nodes_are_bought_as_the_configuration_says(name: str, types: list[str]) -> None:
    template = only(_rendered(name), "NodePool")["spec"]["template"]["spec"]

    (capacity,) = (
        each for each in template["requirements"] if each["key"] == "karpenter.sh/capacity-type"
    )
    assert capacity["values"] == types


def test_neither_way_to_buy_nodes_is_refused() -> None:
    neither = {"provisioner": {"capacityType": {"spot": False, "onDemand": False}}}

    with pytest.raises(RefusedError, match="one of onDemand and spot must be true"):
        _rendered("golden", karpenter=neither)


@pytest.mark.parametrize(
    ("name", "policy"), [("golden", "WhenEmptyOrUnderutilized"), ("spot-only", "WhenEmpty")]
)
def test_consolidation_keeps_its_meaning(name: str, policy: str) -> None:
    disruption = only(_rendered(name), "NodePool")["spec"]["disruption"]

    assert disruption["consolidationPolicy"] == policy


@pytest.mark.parametrize(
    ("name", "grace"),
    [("golden", "115s"), ("everything", "105s"), ("on-demand-patient", "1835s")],
)
def test_a_pod_at_work_is_asked_to_end_before_its_node_does(name: str, grace: str) -> None:
    found = _rendered(name)

    node = only(found, "NodePool")["spec"]["template"]["spec"]
    pod = only(found, "Deployment")["spec"]["template"]["spec"]

    assert node["terminationGracePeriod"] == grace
    assert int(grace[:-1]) == pod["terminationGracePeriodSeconds"] + 5


def test_empty_nodes_end_together_underused_ones_few_at_a_time_and_drifted_ones_not(
    golden: list[Json],
) -> None:
    assert only(golden, "NodePool")["spec"]["disruption"]["budgets"] == [
        {"nodes": "10%", "reasons": ["Underutilized"]},
        {"nodes": "100%", "reasons": ["Empty"]},
        {"nodes": "0", "reasons": ["Drifted"]},
    ]


def test_who_names_drift_in_a_budget_decides_about_it() -> None:
    mine = [{"nodes": "3"}, {"nodes": "1", "reasons": ["Drifted", "Underutilized"]}]

    pool = only(
        _rendered("golden", karpenter={"provisioner": {"disruption": {"budgets": mine}}}),
        "NodePool",
    )

    assert pool["spec"]["disruption"]["budgets"] == mine


@pytest.mark.parametrize("name", ["golden", "everything"])
def test_pods_are_at_home_on_their_own_nodes(name: str) -> None:
    found = _rendered(name)
    pod = only(found, "Deployment")["spec"]["template"]["spec"]
    pool = only(found, "NodePool")

    tolerated = {(each["key"], each.get("value")) for each in pod["tolerations"]}
    taints = {
        (each["key"], each.get("value")) for each in pool["spec"]["template"]["spec"]["taints"]
    }
    assert tolerated == taints
    assert pod["nodeSelector"] == {"karpenter.sh/nodepool": pool["metadata"]["name"]}


def _disk(found: list[Json]) -> Json:
    disks = only(found, "EC2NodeClass")["spec"]["blockDeviceMappings"]
    disk: Json = next(each["ebs"] for each in disks if each["deviceName"] == "/dev/xvdb")
    return disk


def test_a_volume_from_a_snapshot_leaves_encryption_to_it(golden: list[Json]) -> None:
    assert _disk(golden)["snapshotID"] == "snap-0123456789abcdef0"
    assert "encrypted" not in _disk(golden)
    assert _disk(_rendered("snapshot"))["snapshotID"] == "snap-0fedcba9876543210"
    assert _disk(_rendered("soci-ebs"))["encrypted"] is True
    assert "snapshotID" not in _disk(_rendered("soci-ebs"))


def test_pods_on_a_node_cannot_reach_its_metadata(golden: list[Json]) -> None:
    options = only(golden, "EC2NodeClass")["spec"]["metadataOptions"]

    assert (options["httpTokens"], options["httpPutResponseHopLimit"]) == ("required", 1)
    assert "169.254.0.0/16" in _blocks(golden)[0]["except"]


def _blocks(manifests: list[Json]) -> list[Json]:
    return [
        peer["ipBlock"]
        for rule in only(manifests, "NetworkPolicy")["spec"]["egress"]
        for peer in rule["to"]
        if "ipBlock" in peer
    ]


def test_pods_find_nothing_in_the_vpc_but_the_api_server(golden: list[Json]) -> None:
    everywhere, *others = _blocks(golden)

    private = ["10.0.0.0/8", "100.64.0.0/10", "172.16.0.0/12", "192.168.0.0/16"]
    assert everywhere["cidr"] == "0.0.0.0/0"
    assert set(everywhere["except"]) == {*private, "169.254.0.0/16"}
    assert others == [
        {"cidr": "172.20.0.1/32"},
        {"cidr": "10.100.0.1/32"},
        {"cidr": "169.254.170.23/32"},
    ]


def test_pods_find_what_else_in_the_vpc_they_are_let_to() -> None:
    manifests = _rendered("everything")

    assert {"cidr": "10.1.0.0/24"} in _blocks(manifests)
    assert {"cidr": "10.96.0.1/32"} in _blocks(manifests)
    assert {"cidr": "172.20.0.1/32"} not in _blocks(manifests)


def test_images_are_pulled_in_parallel_onto_the_disks() -> None:
    spec = only(_rendered("nvme-soci"), "EC2NodeClass")["spec"]

    assert spec["instanceStorePolicy"] == "RAID0"
    assert 'snapshotter = "soci"' in spec["userData"]


@pytest.mark.parametrize(
    ("version", "binds"),
    [("latest", False), ("v1.44.0", True), ("1.45.0", True), ("v1.46.0", False)],
)
def test_the_folder_of_soci_is_bound_where_the_system_does_not_do_it_itself(
    version: str, binds: bool
) -> None:
    node = {"nodeTemplate": {"amiAlias": f"bottlerocket@{version}"}}

    user_data = only(_rendered("nvme-soci", karpenter=node), "EC2NodeClass")["spec"]["userData"]

    assert ("/var/lib/soci-snapshotter" in user_data) == binds


def test_further_settings_of_bottlerocket_stay() -> None:
    user_data = only(_rendered("soci-ebs"), "EC2NodeClass")["spec"]["userData"]

    assert user_data.index("soci-snapshotter") < user_data.index('lockdown = "integrity"')


def test_a_snapshot_that_the_disks_would_hide_is_refused() -> None:
    disks = {"nodeTemplate": {"instanceStorePolicy": "RAID0"}}

    with pytest.raises(RefusedError, match="would hide the images"):
        _rendered("golden", karpenter=disks)


def test_a_copy_of_the_models_without_disks_for_it_is_refused() -> None:
    with pytest.raises(RefusedError, match="nvme needs"):
        _rendered("golden", runtime={"persistence": {"type": "nvme"}})


def test_the_bucket_is_mounted_read_only(golden: list[Json]) -> None:
    volume = only(golden, "PersistentVolume")
    claim = only(golden, "PersistentVolumeClaim")
    deployment = only(golden, "Deployment")

    assert volume["spec"]["csi"]["readOnly"]
    assert "read-only" in volume["spec"]["mountOptions"]
    assert not [option for option in volume["spec"]["mountOptions"] if "delete" in option]
    assert volume["spec"]["claimRef"]["name"] == claim["metadata"]["name"]
    (models,) = (
        each
        for each in deployment["spec"]["template"]["spec"]["volumes"]
        if each["name"] == "models"
    )
    assert models["persistentVolumeClaim"] == {
        "claimName": claim["metadata"]["name"],
        "readOnly": True,
    }


def test_each_release_and_bucket_has_a_volume_handle_of_its_own() -> None:
    changes: list[Json] = [
        {},
        {"name": "other"},
        {"deployment": {"modelBucket": "other-bucket"}},
        {"deployment": {"stackName": "other"}},
    ]
    handles = {
        only(_rendered("golden", **change), "PersistentVolume")["spec"]["csi"]["volumeHandle"]
        for change in changes
    }

    assert len(handles) == len(changes)


@pytest.mark.parametrize("name", ["nvme-soci", "no-models-emulator", "own-claim"])
def test_no_volume_is_made_that_is_not_used(name: str) -> None:
    assert not [item for item in _rendered(name) if item["kind"].startswith("Persistent")]


def test_models_are_copied_before_the_runtime_starts() -> None:
    pod = only(_rendered("nvme-soci"), "Deployment")["spec"]["template"]["spec"]

    names = [container["name"] for container in pod["initContainers"]]
    assert names.index("copy-models") < names.index("runtime")
    copier = pod["initContainers"][names.index("copy-models")]
    variables = environment(copier)
    assert variables["MODEL_SYNC_MODEL_BUCKET"] == "model-bucket"
    assert variables["MODEL_SYNC_COPY_TO"] == "/opt/ml/code/models"
    assert variables["MODEL_SYNC_COPY_KEYS"] == '["Stable-diffusion/v1-5*","VAE/*"]'
    assert copier["securityContext"]["runAsNonRoot"]


def test_a_copy_without_an_image_is_refused() -> None:
    with pytest.raises(RefusedError, match="name the image that copies the models"):
        _rendered("nvme-soci", deployment={"modelSyncImage": {"repository": ""}})


def test_china_has_addresses_of_its_own() -> None:
    options = only(_rendered("china"), "PersistentVolume")["spec"]["mountOptions"]

    assert "endpoint-url https://s3.cn-northwest-1.amazonaws.com.cn" in options


def test_a_runtime_of_many_models_starts_with_none() -> None:
    found = containers(only(_rendered("dynamic-model"), "Deployment"))

    variables = environment(found["runtime"])
    assert variables["DYNAMIC_SD_MODEL"] == "true"
    assert "SD_MODEL_CHECKPOINT" not in variables
    assert environment(found["queue-agent"])["QUEUE_AGENT_DYNAMIC_MODEL"] == "true"


def test_sd_webui_maps_no_models_and_fetches_nothing_itself(golden: list[Json]) -> None:
    file = json.loads(only(golden, "ConfigMap")["data"]["config.json"])

    assert file == {
        "api_enable_requests": False,
        "api_forbid_local_requests": True,
        "disable_mmap_load_safetensors": True,
    }


@pytest.mark.parametrize("name", ["golden", "comfyui"])
def test_the_agent_is_ours_where_none_or_the_originals_is_named(name: str) -> None:
    image = containers(only(_rendered(name), "Deployment"))["queue-agent"]["image"]

    assert "/sdoneks/queue-agent@sha256:" in image


def test_another_agent_runs_where_it_is_named() -> None:
    image = containers(only(_rendered("own-claim"), "Deployment"))["queue-agent"]["image"]

    assert image == "123456789012.dkr.ecr.us-east-1.amazonaws.com/mine/agent:v7"


def test_runtime_and_agent_do_not_share_a_port() -> None:
    found = containers(only(_rendered("invokeai"), "Deployment"))

    assert found["runtime"]["ports"][0]["containerPort"] == 9090
    assert environment(found["queue-agent"])["QUEUE_AGENT_OPS_PORT"] == "9091"


def test_labels_of_a_user_do_not_replace_those_that_select() -> None:
    mine = {"labels": {"app.kubernetes.io/name": "mine", "team": "art"}}

    template = only(_rendered("golden", runtime=mine), "Deployment")["spec"]["template"]

    assert template["metadata"]["labels"]["app.kubernetes.io/name"] == "sdruntime"
    assert template["metadata"]["labels"]["team"] == "art"


def test_a_variable_of_a_user_replaces_ours() -> None:
    variables = environment(containers(only(_rendered("everything"), "Deployment"))["runtime"])

    assert variables["API_ONLY"] == "false"


def test_a_runtime_needs_an_image() -> None:
    values = read_values(VALUES / "runtime" / "golden.yaml")
    del values["runtime"]["inferenceApi"]

    with pytest.raises(RefusedError, match="name the image of the runtime"):
        render("runtime", values)
