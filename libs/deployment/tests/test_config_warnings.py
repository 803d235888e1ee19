"""What deploys but surprises is a warning."""

from __future__ import annotations

from typing import Any

import pytest
from golden_config import IMAGE, comfyui, nodes, runtime, warnings

AT = "modelsRuntime[0].extraValues"
WARNED: list[tuple[dict[str, Any], str]] = [
    (
        {**runtime(), "stackName": "SdOnEKS"},
        "stackName: found 'SdOnEKS'; deployed as 'sdoneks'",
    ),
    (
        {**runtime(), "APIGW": {"throttle": {"rateLimit": 10, "burstLimit": 2}}},
        "APIGW.throttle.burstLimit: found 2, less than rateLimit (10); "
        "more than 2 requests at one moment are throttled",
    ),
    (
        {**runtime(), "clusterComponents": {"desiredCount": 3}},
        "clusterComponents: found a key of the original solution; "
        "left out: the nodes of the services are variables of the role cluster",
    ),
    (
        {**runtime(), "APIGW": None},
        "APIGW: found no value; treated as if the key were not there",
    ),
    (
        {**runtime(), "modelsRuntime": [{**runtime()["modelsRuntime"][0], "name": "SD"}]},
        "modelsRuntime[0].name: found 'SD'; deployed as 'sd': requests must name it so",
    ),
    (
        {**runtime(), "modelsRuntime": [{**runtime()["modelsRuntime"][0], "type": "comfyui"}]},
        "modelsRuntime[0].modelFilename: found 'v1-5-pruned-emaonly.safetensors'; "
        "not used: the tasks of comfyui name their models themselves",
    ),
    (
        runtime(scaling={"cooldownPeriod": 60}),
        f"{AT}.runtime.scaling.cooldownPeriod: found 60, shorter than a lease (120 s); "
        "the last pod may end before a task that was lost comes back, and start again",
    ),
    (
        runtime(scaling={"maxReplicaCount": 150}),
        f"{AT}.runtime.scaling.maxReplicaCount: found 150, more than the GPUs of "
        "resourceLimits (100); 100 pods run, the others wait",
    ),
    (
        runtime(replicas=2),
        f"{AT}.runtime.replicas: found 2; "
        "not used while scaling.enabled is true: see minReplicaCount",
    ),
    (
        runtime(terminationGracePeriodSeconds=600),
        f"{AT}.runtime.terminationGracePeriodSeconds: found 600; "
        "Spot ends a node 120 s after its notice",
    ),
    (
        runtime(inferenceApi={"image": IMAGE, "keepFilesMinutes": 600}),
        f"{AT}.runtime.inferenceApi.keepFilesMinutes: found 600; "
        "not used: sdwebui keeps no files",
    ),
    (
        comfyui(inferenceApi={"image": IMAGE, "keepFilesMinutes": 119}),
        f"{AT}.runtime.inferenceApi.keepFilesMinutes: found 119; an input may be removed "
        "before its run, which waits for another of up to an hour",
    ),
    (
        runtime(serviceAccountName="runtime-sa"),
        f"{AT}.runtime.serviceAccountName: found a key of the original solution; "
        "left out: the deployment sets it",
    ),
    (
        nodes(provisioner={"instanceType": ["m5.large"]}),
        f"{AT}.karpenter.provisioner.instanceType[0]: found 'm5.large' with no NVIDIA GPU "
        "as far as its name tells; the runtime may not start there",
    ),
    (
        nodes(provisioner={"instanceType": ["g5g.xlarge"]}),
        f"{AT}.karpenter.provisioner.instanceType[0]: found 'g5g.xlarge' with an Arm "
        "processor; the runtime may not start there",
    ),
    (
        nodes(
            nodeTemplate={"imageCache": "soci", "dataVolume": {"snapshotID": "snap-01234567"}}
        ),
        f"{AT}.karpenter.nodeTemplate.dataVolume.snapshotID: found 'snap-01234567'; "
        "not used with imageCache: soci",
    ),
    (
        nodes(
            nodeTemplate={
                "instanceStorePolicy": "RAID0",
                "dataVolume": {"snapshotID": "snap-01234567"},
            }
        ),
        f"{AT}.karpenter.nodeTemplate.instanceStorePolicy: found RAID0 with snapshot "
        "snap-01234567; images are kept on the disks of the instance then: "
        "the snapshot is not used",
    ),
]


@pytest.mark.parametrize(("values", "message"), WARNED)
def test_what_deploys_but_surprises_is_a_warning(values: dict[str, Any], message: str) -> None:
    assert warnings(values) == [message]
