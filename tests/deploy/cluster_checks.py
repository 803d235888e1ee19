"""What holds on any cluster, asked of its API: one function for each check, in this order.

`CHECKS` has all of them. Those that need nothing but an API (`API_CHECKS`) are run against
`kubernetes_api.py` with the other tests; `test_cluster.py` runs all on a cluster of yours.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3  # type: ignore[import-untyped]  # comes without types
import pytest
import yaml

from ansible_runs import Ansible, Run
from earlier_roles import REGION, cluster_facts, runtime
from pod_security import level
from queue_agent.pod.kubernetes import ANNOTATIONS, LABELS
from rendering import CHARTS, merged, objects, read_values, render, values_files
from toolbox import schemas, tool

Json = dict[str, Any]

NAMESPACE = "darkroom-suite"  # of the runtime; that of the services is fixed
NAME = "suite"
AGENT = f"queue-agent-{NAME}"
PATIENCE = 240.0  # seconds for KEDA and the autoscaler, which looks every 15
KINDS = {"keda": "keda.sh/v1alpha1", "karpenter-aws": "karpenter.sh/v1"}
OURS = "deployments,scaledobjects,nodepools,ec2nodeclasses,persistentvolumes,networkpolicies"


@dataclass(frozen=True)
class TestedCluster:
    """A cluster with nothing of Darkroom's and no Helm releases but those of controllers."""

    __test__ = False  # to pytest, the name is a test's

    ansible: Ansible
    kubeconfig: Path
    queue_url: str = ""  # empty: KEDA is not asked for anything
    endpoint: str = ""  # of SQS, as the cluster and this machine reach it

    def kubectl(
        self, *arguments: str, given: list[Json] | None = None, fails: bool = False
    ) -> str:
        """What kubectl says; `given` are objects for its standard input."""
        done = subprocess.run(
            [tool("kubectl"), f"--kubeconfig={self.kubeconfig}", *arguments],
            input=None if given is None else yaml.safe_dump_all(given),
            env={"HOME": str(self.ansible.folder), "PATH": os.environ.get("PATH", "")},
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        assert (done.returncode != 0) == fails, done.stdout + done.stderr
        return done.stdout + done.stderr if fails else done.stdout

    def serves(self, version: str) -> bool:
        """Whether it has the kinds of an API group."""
        return version in self.kubectl("api-versions").split()

    def dry_run(self, found: list[Json], *, fails: bool = False) -> str:
        """What the API says of new objects, where each warning is an error."""
        strict = ["--dry-run=server", "--validate=strict", "--warnings-as-errors"]
        return self.kubectl("create", *strict, "--filename=-", given=found, fails=fails)

    def apply(self) -> Run:
        """Run the roles that release the services and the runtime."""
        return self.ansible.roles("platform", "runtimes", variables=self._given())

    def tear_down(self) -> Run:
        """Run teardown's part that is in the cluster."""
        role = {"name": "teardown", "tasks_from": "cluster"}
        play = {"hosts": "localhost", "gather_facts": False}
        tasks = [{"ansible.builtin.include_role": role}]
        playbook = self.ansible.folder / "teardown.yml"
        playbook.write_text(json.dumps([{**play, "tasks": tasks}]))
        return self.ansible.play(playbook, "-e", json.dumps(self._given()))

    def replicas(self) -> int:
        """How many pods of the runtime there are to be."""
        where = ["deployment", NAME, f"--namespace={NAMESPACE}"]
        return int(self.kubectl("get", *where, "--output=jsonpath={.spec.replicas}"))

    def _given(self) -> Json:
        facts = cluster_facts(self.kubeconfig, _runtime())
        if self.queue_url:
            facts["messaging_queues"][NAME]["url"] = self.queue_url
        deployment = {"awsEndpointUrl": self.endpoint} if self.endpoint else {}
        # Nothing runs: there need be no images, and no node is to be bought.
        return {**facts, "helm_release_wait": False, "runtimes_deployment_values": deployment}


def _runtime() -> Json:
    image = {"repository": "registry.example/suite", "tag": "1"}
    at_once = {"scaleDown": {"stabilizationWindowSeconds": 0}}
    scaling = {"cooldownPeriod": 5, "pollingInterval": 1, "extraHPAConfig": at_once}
    values = {
        "runtime": {"inferenceApi": {"image": image}, "scaling": scaling},
        "karpenter": {"provisioner": {"resourceLimits": {"cpu": 0}}},
    }
    return runtime(NAME, namespace=NAMESPACE, values=values)


@contextmanager
def prepared(cluster: TestedCluster) -> Iterator[TestedCluster]:
    """The cluster with the kinds that it lacks and a namespace, until the end."""
    listed = ["list", "--all-namespaces", "--output=json", f"--kubeconfig={cluster.kubeconfig}"]
    done = subprocess.run([tool("helm3"), *listed], check=True, capture_output=True, text=True)
    others = [each["chart"] for each in json.loads(done.stdout)]
    assert not [name for name in others if not name.startswith(("keda-", "karpenter-"))], others
    lacking = [folder for folder, version in KINDS.items() if not cluster.serves(version)]
    kinds = [f"--filename={schemas(folder)}" for folder in lacking]
    if kinds:
        cluster.kubectl("create", *kinds)
        cluster.kubectl("wait", "--for=condition=established", *kinds)
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
    cluster.kubectl("create", "--filename=-", given=[namespace])
    try:
        yield cluster
    finally:
        gone = ["delete", "--wait=false", "--ignore-not-found"]
        cluster.kubectl(*gone, "namespace", NAMESPACE, "darkroom")
        if kinds:
            cluster.kubectl(*gone, *kinds)


def every_rendered_object_passes_a_strict_dry_run(cluster: TestedCluster) -> None:
    """Of every values file of both charts."""
    for chart in CHARTS:
        for path in values_files(chart):
            rendered = render(chart, read_values(path), namespace=NAMESPACE)
            cluster.dry_run(objects(rendered))


def the_cluster_agrees_about_pod_security(cluster: TestedCluster) -> None:
    """It warns of the pods that do not meet `restricted`, and of no other."""
    strict = "pod-security.kubernetes.io/warn=restricted"
    cluster.kubectl("label", "namespace", NAMESPACE, strict)
    warned = []
    for chart, path, context in _contexts():
        above = {"runtime": {"inferenceApi": {"securityContext": context}}}
        values = merged(read_values(path), above if chart == "runtime" else {})
        rendered = objects(render(chart, values, namespace=NAMESPACE))
        for item in (each for each in rendered if each["kind"] == "Deployment"):
            strictest = level(item["spec"]["template"]["spec"]) == "restricted"
            told = cluster.dry_run([item], fails=not strictest)
            assert strictest or "would violate PodSecurity" in told
            warned.append(not strictest)
    cluster.kubectl("label", "namespace", NAMESPACE, f"{strict.partition('=')[0]}-")
    assert set(warned) == {True, False}


def _contexts() -> Iterator[tuple[str, Path, Json]]:
    for chart in CHARTS:
        for path in values_files(chart):
            yield chart, path, {}
            if chart == "runtime":
                yield chart, path, {"runAsUser": 1000}


def a_first_run_installs_everything(cluster: TestedCluster) -> None:
    """The services and a runtime, by the roles."""
    assert cluster.apply().changed > 0

    for namespace, name in (("darkroom", "ingest"), (NAMESPACE, NAME)):
        found = cluster.kubectl("get", "deployment", name, f"--namespace={namespace}")
        assert name in found


def a_second_run_changes_nothing(cluster: TestedCluster) -> None:
    """Whatever the server has added to the objects."""
    assert cluster.apply().changed == 0


def the_agent_changes_its_marks_only(cluster: TestedCluster) -> None:
    """With a token of its own; the admission policy refuses what the Role cannot tell apart."""
    _pod_of_the_agent(cluster)
    where = [f"--namespace={NAMESPACE}", "--bound-object-kind=Pod", "--bound-object-name=suite"]
    token = cluster.kubectl("create", "token", AGENT, *where).strip()
    agent = TestedCluster(cluster.ansible, _with_token(cluster, token))
    owner = {"apiVersion": "v1", "kind": "Namespace", "name": NAMESPACE, "uid": "1"}

    def patch(fails: bool, **metadata: object) -> str:
        change = json.dumps({"metadata": metadata})
        what = ["patch", "pod", "suite", "--type=merge", f"--patch={change}"]
        return agent.kubectl(*what, f"--namespace={NAMESPACE}", "--dry-run=server", fails=fails)

    # A policy counts a moment after it was made; until then all would pass.
    _until(lambda: _refused(lambda: patch(True, finalizers=["example.com/a"])))
    patch(False, annotations=ANNOTATIONS, labels=LABELS)
    patch(False, annotations=dict.fromkeys(ANNOTATIONS), labels=dict.fromkeys(LABELS))
    assert "annotations and its own label" in patch(True, ownerReferences=[owner])
    assert "of the labels" in patch(True, labels={"team": "other"})


def _pod_of_the_agent(cluster: TestedCluster) -> None:
    name = {"name": "suite", "namespace": NAMESPACE, "labels": {"team": "suite"}}
    container = {"name": "agent", "image": "registry.example/suite:1"}
    # No node has it, so nothing is pulled.
    spec = {"serviceAccountName": AGENT, "nodeSelector": {"darkroom/suite": "nowhere"}}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": name}
    whole = {**pod, "spec": {**spec, "containers": [container]}}
    cluster.kubectl("create", "--filename=-", given=[whole])


def _with_token(cluster: TestedCluster, token: str) -> Path:
    view = cluster.kubectl("config", "view", "--raw", "--minify", "--flatten", "--output=json")
    config = json.loads(view)
    for user in config["users"]:
        user["user"] = {"token": token}
    path = cluster.ansible.folder / "agent.kubeconfig"
    path.write_text(yaml.safe_dump(config))
    return path


def pods_come_with_tasks_stay_while_at_work_and_go(cluster: TestedCluster) -> None:
    """From zero, by the tasks in the queue, and to zero again."""
    if not cluster.queue_url:
        pytest.skip("KEDA is given no queue: DARKROOM_CLUSTER_QUEUE_URL")
    sqs = boto3.client("sqs", endpoint_url=cluster.endpoint or None, region_name=REGION)
    _until(lambda: cluster.replicas() == 0)
    for number in range(31):
        sqs.send_message(QueueUrl=cluster.queue_url, MessageBody=str(number))
    _until(lambda: cluster.replicas() == 4)

    own = [f"--namespace={NAMESPACE}", f"--selector=app.kubernetes.io/name={NAME}"]
    pods = cluster.kubectl("get", "pods", *own, "--output=name").split()
    label = ",".join(f"{key}={value}" for key, value in LABELS.items())
    cluster.kubectl("label", f"--namespace={NAMESPACE}", *pods[:3], label)
    sqs.purge_queue(QueueUrl=cluster.queue_url)
    _until(lambda: cluster.replicas() == 3)
    ends = time.monotonic() + 45  # three looks of the autoscaler
    while time.monotonic() < ends:
        assert cluster.replicas() == 3
    cluster.kubectl("label", *own, "pods", *(f"{key}-" for key in LABELS))
    _until(lambda: cluster.replicas() == 0)


def teardown_leaves_nothing(cluster: TestedCluster) -> None:
    """And finds nothing to do the second time."""
    assert cluster.tear_down().changed > 0
    assert cluster.tear_down().changed == 0

    everywhere = ["--all-namespaces", "--selector=app.kubernetes.io/part-of=darkroom"]
    assert cluster.kubectl("get", OURS, *everywhere, "--output=name").split() == []


def _refused(patched: Callable[[], str]) -> bool:
    try:
        return "annotations and its own label" in patched()
    except AssertionError:
        return False


def _until(holds: Callable[[], bool]) -> None:
    ends = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < ends, f"not within {PATIENCE:.0f} s"
        time.sleep(1)


CHECKS = (
    every_rendered_object_passes_a_strict_dry_run,
    the_cluster_agrees_about_pod_security,
    a_first_run_installs_everything,
    a_second_run_changes_nothing,
    the_agent_changes_its_marks_only,
    pods_come_with_tasks_stay_while_at_work_and_go,
    teardown_leaves_nothing,
)
# The others need admission or controllers.
API_CHECKS = (CHECKS[0], CHECKS[2], CHECKS[3], CHECKS[6])
