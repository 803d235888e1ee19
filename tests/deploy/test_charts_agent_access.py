"""What the agent may change in the cluster, by the rules of the cluster itself."""

from __future__ import annotations

from typing import Any

import cel
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


def test_the_agent_may_change_annotations_of_its_own_pod_only(golden: list[Json]) -> None:
    role = only(golden, "Role")
    policy = only(golden, "ValidatingAdmissionPolicy")["spec"]
    binding = only(golden, "ValidatingAdmissionPolicyBinding")["spec"]

    assert role["rules"] == [
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "patch"]}
    ]
    assert only(golden, "RoleBinding")["subjects"] == [
        {"kind": "ServiceAccount", "name": "queue-agent-sdruntime", "namespace": "art"}
    ]
    (condition,) = policy["matchConditions"]
    assert "system:serviceaccount:art:queue-agent-sdruntime" in condition["expression"]
    assert binding["validationActions"] == ["Deny"]


def test_the_agent_may_look_at_a_node_and_nothing_else_beyond_its_namespace(
    golden: list[Json],
) -> None:
    role, binding = only(golden, "ClusterRole"), only(golden, "ClusterRoleBinding")

    assert role["rules"] == [{"apiGroups": [""], "resources": ["nodes"], "verbs": ["get"]}]
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
    assert binding["subjects"] == only(golden, "RoleBinding")["subjects"]


OWNER = {"apiVersion": "v1", "kind": "ConfigMap", "name": "other", "uid": "2"}
POD: Json = {
    "metadata": {
        "name": "agent-1",
        "generateName": "agent-",
        "namespace": "art",
        "uid": "1",
        "creationTimestamp": "2026-01-01T00:00:00Z",
        "labels": {"team": "art"},
        "ownerReferences": [{**OWNER, "name": "a-replica-set"}],
        "resourceVersion": "7",
        "generation": 1,
    },
    "spec": {"containers": [{"name": "queue-agent", "image": "ours"}]},
}


def _allowed(found: list[Json], old: Json, new: Json, *, agent: str = "agent-1") -> bool:
    """Ask the policy about a change of a pod by the agent in the pod `agent`."""
    user = {"extra": {"authentication.kubernetes.io/pod-name": [agent]}}
    asked = {
        "request": {"name": new["metadata"]["name"], "userInfo": user},
        "oldObject": old,
        "object": new,
    }
    validations = only(found, "ValidatingAdmissionPolicy")["spec"]["validations"]
    return all(cel.evaluate(rule["expression"], asked) for rule in validations)


@pytest.mark.parametrize(
    "change",
    [
        {"annotations": {"busy": "yes"}},
        {"annotations": {"busy": "yes"}, "labels": LABELS},
        # What the server makes of it.
        {"resourceVersion": "8", "generation": 2, "managedFields": [{"manager": "agent"}]},
    ],
    ids=["annotation", "label-of-work", "kept-by-the-server"],
)
def test_the_policy_of_the_cluster_lets_the_agent_mark_its_pod(
    golden: list[Json], change: Json
) -> None:
    marked = merged(POD, {"metadata": change})

    assert _allowed(golden, POD, marked)
    assert _allowed(golden, marked, POD)
    assert not _allowed(golden, POD, marked, agent="agent-2")


@pytest.mark.parametrize(
    "change",
    [
        {"labels": {"team": "other"}},
        {"labels": {**LABELS, "more": "x"}},
        {"finalizers": ["example.com/stay"]},
        {"ownerReferences": [OWNER]},
        {"ownerReferences": [*POD["metadata"]["ownerReferences"], OWNER]},
        {"deletionTimestamp": "2026-01-01T00:00:00Z"},
        {"deletionGracePeriodSeconds": 0},
        {"generateName": "other-"},
        {"namespace": "other"},
        {"uid": "2"},
        {"creationTimestamp": "2027-01-01T00:00:00Z"},
        {"selfLink": "/api"},
    ],
    ids="-".join,
)
def test_the_policy_of_the_cluster_keeps_the_agent_from_the_rest(
    golden: list[Json], change: Json
) -> None:
    changed = merged(POD, {"metadata": change})

    assert not _allowed(golden, POD, changed)
    assert not _allowed(golden, changed, POD)


def test_the_policy_of_the_cluster_keeps_the_agent_from_what_a_pod_runs(
    golden: list[Json],
) -> None:
    image = {"spec": {"containers": [{"name": "queue-agent", "image": "evil"}]}}

    assert not _allowed(golden, POD, merged(POD, image))


def test_the_policy_of_the_cluster_keeps_the_labels_and_owners_of_a_pod(
    golden: list[Json],
) -> None:
    for name in ("labels", "ownerReferences", "generateName"):
        less = {**POD, "metadata": {k: v for k, v in POD["metadata"].items() if k != name}}
        assert not _allowed(golden, POD, less)
