"""How many pods a runtime has: what KEDA is told, and what it makes of it."""

from __future__ import annotations

import math
from typing import Any

import pytest

from queue_agent.pod.kubernetes import LABELS
from rendering import VALUES, merged, objects, only, read_values, render

Json = dict[str, Any]


def _rendered(name: str, /, **above: Any) -> list[Json]:
    values = merged(read_values(VALUES / "runtime" / f"{name}.yaml"), above)
    return objects(render("runtime", values))


@pytest.fixture(scope="module")
def golden() -> list[Json]:
    return _rendered("golden")


def test_a_deployment_that_is_scaled_has_no_replicas(golden: list[Json]) -> None:
    off = _rendered("scaling-off")

    assert "replicas" not in only(golden, "Deployment")["spec"]
    assert only(off, "Deployment")["spec"]["replicas"] == 3
    assert not [item for item in off if item["apiVersion"].startswith("keda")]


def test_keda_reads_the_queue_and_the_marks_of_agents(golden: list[Json]) -> None:
    spec = only(golden, "ScaledObject")["spec"]

    assert (spec["pollingInterval"], spec["cooldownPeriod"]) == (5, 300)
    queue, marks = spec["triggers"]
    assert queue["metadata"] == {
        "queueURL": "https://sqs.us-east-1.amazonaws.com/123456789012/sdoneks-sdruntime",
        "awsRegion": "us-east-1",
        "queueLength": "10",
        "scaleOnInFlight": "true",
    }
    authentication = only(golden, "TriggerAuthentication")
    assert queue["authenticationRef"] == {"name": authentication["metadata"]["name"]}
    assert authentication["spec"] == {"podIdentity": {"provider": "aws"}}
    assert spec["fallback"]["behavior"] == "currentReplicasIfHigher"
    # Its own pods, marked with what the admission policy lets the agent change.
    selected = dict(term.split("=") for term in marks["metadata"]["podSelector"].split(","))
    own: Json = only(golden, "Deployment")["spec"]["selector"]["matchLabels"]
    assert selected == own | LABELS


def _wanted(found: list[Json], *, waiting: int, leased: int, marked: int) -> int:
    """The pods that a HorizontalPodAutoscaler wants: the most that any metric asks for.

    How KEDA reads them: aws_sqs_queue_scaler.go, kubernetes_workload_scaler.go; both are of
    type AverageValue, for which the pods are the value divided by the target, rounded up.
    """
    spec = only(found, "ScaledObject")["spec"]
    assert "scalingModifiers" not in spec.get("advanced", {})
    wanted = []
    for trigger in spec["triggers"]:
        assert "metricType" not in trigger
        given = trigger["metadata"]
        if trigger["type"] == "aws-sqs-queue":
            tasks = waiting + (leased if given["scaleOnInFlight"] == "true" else 0)
            wanted.append(math.ceil(tasks / int(given["queueLength"])))
        else:
            wanted.append(math.ceil(marked / float(given["value"])))
    return min(max(wanted), int(spec["maxReplicaCount"]))


@pytest.mark.parametrize(
    ("waiting", "leased", "marked", "wanted"),
    [
        (0, 0, 0, 0),
        (1, 0, 0, 1),  # from zero
        (10, 0, 0, 1),
        (11, 0, 0, 2),
        (100, 0, 0, 10),  # a burst of short tasks buys a tenth of it
        (80, 20, 0, 10),  # what agents stage ahead buys nothing
        (80, 20, 10, 10),  # nor do their marks: each is one of a pod that is there
        (1000, 40, 20, 20),
        (0, 3, 3, 3),  # the end of a burst of long tasks
        (0, 6, 3, 3),
        (0, 2, 2, 2),
        (0, 3, 0, 1),  # and of short ones, which a pod finishes while it ends
    ],
)
def test_pods_at_work_stay_and_none_is_started_for_a_task_alone(
    golden: list[Json], waiting: int, leased: int, marked: int, wanted: int
) -> None:
    assert _wanted(golden, waiting=waiting, leased=leased, marked=marked) == wanted


@pytest.mark.parametrize(
    ("scaling", "wanted"),
    [
        ({"queueLength": 1}, 9),
        ({"queueLength": 3}, 3),
        ({"queueLength": 100}, 2),
        ({"queueLength": 1, "scaleOnInFlight": False}, 5),
        ({"queueLength": 3, "scaleOnInFlight": False}, 2),
        ({"queueLength": 1, "maxReplicaCount": 4}, 4),
    ],
)
def test_a_queue_length_of_a_user_means_what_it_did(scaling: Json, wanted: int) -> None:
    found = _rendered("golden", runtime={"scaling": scaling})

    assert _wanted(found, waiting=5, leased=4, marked=2) == wanted


def test_behaviour_of_the_autoscaler_is_where_keda_reads_it() -> None:
    behaviour = only(_rendered("everything"), "ScaledObject")["spec"]["advanced"][
        "horizontalPodAutoscalerConfig"
    ]["behavior"]

    assert behaviour["scaleDown"]["stabilizationWindowSeconds"] == 900
    assert behaviour["scaleUp"]["policies"] == [
        {"type": "Pods", "value": 4, "periodSeconds": 60}
    ]
