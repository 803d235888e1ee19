"""What the roles apply to a cluster, and what teardown takes away, over the cluster's API."""

from __future__ import annotations

import base64
import gzip
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml

from ansible_runs import Ansible, Run
from earlier_roles import cluster_facts, facts, runtime
from kubernetes_api import KubernetesApi, served
from kubernetes_store import Json, Kind, Store, core_kinds, crd_kinds
from rendering import containers, environment
from toolbox import ROOT

SERVICES = ("ingest", "model-sync", "notifier", "router")
OURS = ("platform", "runtimes")
ROLES = ROOT / "playbooks" / "roles"
OBSERVABILITY = ROLES / "observability"
GOLDEN = ROOT / "tests" / "contract" / "golden" / "config.yaml"


@dataclass(frozen=True)
class Cluster:
    """A cluster that the roles reach with a kubeconfig."""

    ansible: Ansible
    api: KubernetesApi
    kubeconfig: Path

    def apply(self, *roles: str, fails: bool = False, **changes: Any) -> Run:
        """Run roles with these changes of their variables."""
        return self.play({"roles": list(roles)}, fails=fails, **changes)

    def tear_down(self, **changes: Any) -> Run:
        """Run teardown's part that is in the cluster."""
        role = {"name": "teardown", "tasks_from": "cluster"}
        tasks = [{"ansible.builtin.include_role": role}]
        return self.play({"tasks": tasks}, **changes)

    def observe(self) -> Run:
        """Apply the manifests of the role `observability`, without its part on AWS."""
        release = {"name": "helm_release", "tasks_from": "manifest"}
        text = "{{ lookup('ansible.builtin.template', item ~ '.yaml.j2') }}"
        tasks = [
            {
                "ansible.builtin.include_role": release,
                "vars": {"helm_release_manifest": text, **names("observability")},
                "loop": ["collector", "dcgm-exporter"],
            }
        ]
        files = [str(OBSERVABILITY / part / "main.yml") for part in ("defaults", "vars")]
        return self.play({"vars_files": files, "tasks": tasks})

    def play(
        self, play: dict[str, Any], *arguments: str, fails: bool = False, **changes: Any
    ) -> Run:
        """Run a play with these changes of the variables."""
        playbook = self.ansible.folder / "applied.yml"
        playbook.write_text(json.dumps([{"hosts": "localhost", "gather_facts": False, **play}]))
        given = {**variables(self), **changes}
        return self.ansible.play(playbook, *arguments, "-e", json.dumps(given), fails=fails)

    def releases(self) -> list[str]:
        """Namespace, name and status of each release."""
        metadata = [item["metadata"] for item in self.named("Secret").values()]
        return sorted(
            f"{each['namespace']} {each['labels']['name']} {each['labels']['status']}"
            for each in metadata
            if each.get("labels", {}).get("owner") == "helm"
        )

    def named(self, kind: str) -> dict[str, dict[str, Any]]:
        """The objects of a kind by name."""
        with self.api.lock:
            return self.api.store.named(kind)

    def everything(self) -> set[tuple[str, str, str]]:
        """Kind, namespace and name of each object."""
        return set(self.versions())

    def versions(self) -> dict[tuple[str, str, str], str]:
        """The version of each object."""
        with self.api.lock:
            return {
                (key[0].name, *key[1:]): item["metadata"]["resourceVersion"]
                for key, item in self.api.store.objects.items()
            }


def names(role: str) -> dict[str, str]:
    return {"helm_release_role": role, "helm_release_name": "{{ item }}"}


def known_runtimes() -> list[dict[str, Any]]:
    (golden,) = yaml.safe_load(GOLDEN.read_text())["modelsRuntime"]
    return [
        runtime("sdruntime", values=golden["extraValues"]),
        runtime("comfy", type="comfyui", namespace="artists", model_filename=None),
    ]


def variables(cluster: Cluster) -> dict[str, Any]:
    folder = cluster.ansible.folder
    return {
        **cluster_facts(cluster.kubeconfig, *known_runtimes()),
        "karpenter_chart": controller(folder, "karpenter"),
        "karpenter_crd_chart": controller(folder, "karpenter-crd"),
        "keda_chart": controller(folder, "keda"),
        "keda_repository": "",
    }


def controller(folder: Path, name: str) -> str:
    """Write a chart with the name of one of others, which cannot be fetched here."""
    chart = folder / "charts" / name
    (chart / "templates").mkdir(parents=True, exist_ok=True)
    (chart / "Chart.yaml").write_text(f"{{apiVersion: v2, name: {name}, version: 1.0.0}}")
    names = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": f"{name}-is-here"}}
    (chart / "templates" / "here.yaml").write_text(json.dumps(names))
    return str(chart)


def keda(store: Store) -> None:
    """Hold each ScaledObject until KEDA, if it still runs, has seen it go."""
    for item in store.named("ScaledObject").values():
        _hold(item, "finalizer.keda.sh", let_go="keda-is-here" in store.named("ConfigMap"))


def karpenter(store: Store) -> None:
    """Make a node for each NodePool."""
    claims = store.kind("NodeClaim")
    for name in store.named("NodePool"):
        metadata = {"name": name, "uid": name, "resourceVersion": "1"}
        claim = {"apiVersion": claims.version, "kind": claims.name, "metadata": metadata}
        store.objects.setdefault((claims, "", name), claim)


@dataclass
class StoreOfNodes(Store):
    """Ends the nodes of NodePools that are gone, if Karpenter runs, when asked a third time."""

    looks: int = 0

    def list(self, kind: Kind, namespace: str, selector: str = "") -> list[Json]:
        """The objects of a kind."""
        found = super().list(kind, namespace, selector)
        if kind.name == "NodeClaim" and "karpenter-is-here" in self.named("ConfigMap"):
            self.looks += 1
            for name in self.named("NodeClaim").keys() - self.named("NodePool"):
                if self.looks > 2:
                    del self.objects[kind, "", name]
        return found


def _hold(item: dict[str, Any], finalizer: str, *, let_go: bool) -> None:
    deleted = "deletionTimestamp" in item["metadata"]
    if not deleted:
        item["metadata"]["finalizers"] = [finalizer]
    elif let_go:
        item["metadata"]["finalizers"] = []


@pytest.fixture(scope="module")
def cluster(ansible: Ansible) -> Iterator[Cluster]:
    """An empty cluster; its kubeconfig is not written yet."""
    folder = ansible.folder / "cluster"
    folder.mkdir()
    # Beside the playbooks, as a role's own would be.
    (ansible.folder / "templates").symlink_to(OBSERVABILITY / "templates")
    # Clients keep what an API tells of itself in the folder for temporary files.
    own = replace(ansible, variables={"TMPDIR": str(folder)})
    store = StoreOfNodes([*core_kinds(), *crd_kinds()], controllers=[keda, karpenter])
    with served(store, folder) as api:
        yield Cluster(own, api, folder / "kubeconfig")


@pytest.fixture(scope="module")
def first(cluster: Cluster) -> Run:
    """The first run, after a check without a cluster and one of an empty cluster."""
    everything = variables(cluster)
    cluster.ansible.roles(*OURS, variables=everything, check=True)
    cluster.api.kubeconfig(cluster.kubeconfig)
    empty = cluster.everything()
    assert cluster.ansible.roles("platform", variables=everything, check=True).changed > 0
    assert cluster.everything() == empty
    return cluster.apply("karpenter", "keda", *OURS)


def changed_chart(cluster: Cluster, name: str, file: str, old: str, new: str) -> str:
    """Write a chart of runtimes with a change in one of its files."""
    chart = cluster.ansible.folder / "charts" / name
    shutil.copytree(ROOT / "charts" / "runtime", chart)
    text = (chart / file).read_text()
    assert old in text
    (chart / file).write_text(text.replace(old, new, 1))
    return str(chart)


@pytest.fixture(scope="module")
def broken(cluster: Cluster) -> str:
    """A chart of runtimes with a Deployment that no API server takes."""
    selector = "matchLabels:\n      not: there"
    return changed_chart(
        cluster, "broken", "templates/deployment.yaml", "matchLabels:", selector
    )


@pytest.fixture(scope="module")
def torn_down(cluster: Cluster, first: Run) -> Run:
    """A teardown after the release of one runtime was interrupted."""
    secrets = cluster.named("Secret")
    kept = secrets[max(name for name in secrets if ".comfy." in name)]["data"]
    release = json.loads(gzip.decompress(base64.b64decode(base64.b64decode(kept["release"]))))
    release["info"]["status"] = "pending-install"
    packed = base64.b64encode(gzip.compress(json.dumps(release).encode()))
    kept["release"] = base64.b64encode(packed).decode()
    return cluster.tear_down()


def test_a_kubeconfig_of_the_role_makes_tokens_of_who_uses_it(cluster: Cluster) -> None:
    written = cluster.ansible.folder / "eks-kubeconfig"
    authority = base64.b64encode(cluster.api.authority.read_bytes()).decode()
    asked = {"api_version": "v1", "kind": "Namespace", "kubeconfig": str(written)}
    listing = ["helm", "list", "--all-namespaces", "--kubeconfig", str(written)]
    tasks = [
        {"ansible.builtin.include_role": {"name": "cluster", "tasks_from": "kubeconfig"}},
        {"kubernetes.core.k8s_info": asked, "register": "found"},
        {"ansible.builtin.assert": {"that": "found.resources | length > 0"}},
        {"ansible.builtin.command": {"argv": listing}},
    ]
    facts_of_it: dict[str, Any] = {
        "__cluster_outputs": {"ClusterAuthority": authority},
        "cluster_endpoint": cluster.api.server,
        "kubernetes_kubeconfig": str(written),
    }
    cluster.api.tokens.clear()

    cluster.play({"tasks": tasks}, **facts_of_it)

    (user,) = yaml.safe_load(written.read_text())["users"]
    assert user["user"].keys() == {"exec"}
    assert cluster.api.tokens
    for token in cluster.api.tokens:
        prefix, _, text = token.partition(".")
        url = urlsplit(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode())
        assert (prefix, parse_qs(url.query)["Action"]) == ("k8s-aws-v1", ["GetCallerIdentity"])


def test_every_release_is_in_the_cluster(cluster: Cluster, first: Run) -> None:
    assert first.changed > 0
    assert cluster.releases() == [
        "artists comfy deployed",
        "darkroom platform deployed",
        "default sdruntime deployed",
        "keda keda deployed",
        "kube-system karpenter deployed",
        "kube-system karpenter-crd deployed",
    ]
    found = cluster.everything()
    assert {name for kind, _, name in found if kind == "Deployment"} == {
        *SERVICES,
        *("sdruntime", "comfy"),
    }
    assert {
        ("Secret", "darkroom", "ingest-api-keys"),
        ("ScaledObject", "artists", "comfy"),
        ("NodePool", "", "runtime-sdruntime"),
        ("ValidatingAdmissionPolicy", "", "artists-comfy-own-pod"),
    } <= found


def test_helm_waits_longer_than_a_runtime_may_take_to_start(
    cluster: Cluster, first: Run
) -> None:
    defaults = yaml.safe_load((ROLES / "runtimes" / "defaults" / "main.yml").read_text())
    minutes = int(defaults["runtimes_timeout"].removesuffix("m0s"))

    spec = cluster.named("Deployment")["sdruntime"]["spec"]
    assert minutes * 60 > spec["progressDeadlineSeconds"]


def test_second_run_changes_nothing(cluster: Cluster, first: Run) -> None:
    before, writes = cluster.api.store.revision, len(cluster.api.writes)

    assert cluster.apply(*OURS).changed == 0

    # Manifests are patched with what they are already.
    assert cluster.api.store.revision == before
    assert {write.split("/")[-1] for write in cluster.api.writes[writes:]} == {
        "darkroom",
        "ingest-api-keys",
    }


def test_manifests_are_applied_once(cluster: Cluster, first: Run) -> None:
    assert cluster.observe().changed == 2
    assert cluster.observe().changed == 0

    assert ("Deployment", "observability", "otel-collector") in cluster.everything()
    assert cluster.named("DaemonSet").keys() == {"dcgm-exporter"}


def test_an_upgrade_writes_only_what_is_different(cluster: Cluster, first: Run) -> None:
    images = variables(cluster)["images"]
    images["router"] = {**images["router"], "digest": "sha256:" + "cd" * 32}
    before = cluster.versions()

    run = cluster.apply("platform", images=images, platform_otlp_endpoint="")

    assert run.changed == 1
    now = cluster.versions()
    changed = {name for name, version in before.items() if now.get(name) != version}
    assert changed == {
        *(("Deployment", "darkroom", name) for name in SERVICES),
        *(("NetworkPolicy", "darkroom", name) for name in SERVICES),
        ("Secret", "darkroom", "sh.helm.release.v1.platform.v1"),
    }
    router = containers(cluster.named("Deployment")["router"])["router"]
    assert router["image"].endswith("cd" * 32)
    assert "OTEL_EXPORTER_OTLP_ENDPOINT" not in environment(router)
    assert "AWS_REGION" in environment(router)


def test_a_runtime_moves_to_another_bucket(cluster: Cluster, first: Run) -> None:
    known = known_runtimes()[0]
    changes = {**facts(known), "storage_model_bucket": "another-bucket"}

    assert cluster.apply("runtimes", **changes).changed == 1

    pod = cluster.named("Deployment")["sdruntime"]["spec"]["template"]["spec"]
    (claimed,) = (v["persistentVolumeClaim"] for v in pod["volumes"] if v["name"] == "models")
    claim = cluster.named("PersistentVolumeClaim")[claimed["claimName"]]
    volume = cluster.named("PersistentVolume")[claim["spec"]["volumeName"]]
    assert volume["spec"]["csi"]["volumeAttributes"] == {"bucketName": "another-bucket"}
    assert volume["spec"]["claimRef"]["name"] == claimed["claimName"]


def test_a_changed_template_reaches_a_release(cluster: Cluster, first: Run) -> None:
    known = facts(known_runtimes()[1])
    chart = changed_chart(
        cluster,
        "changed",
        "templates/scaling.yaml",
        "name: {{ .Values.name }}",
        "name: another",
    )
    before = cluster.versions()

    assert cluster.apply("runtimes", **known, runtimes_chart=chart).changed == 1
    assert cluster.apply("runtimes", **known, runtimes_chart=chart).changed == 0

    scaled = cluster.named("ScaledObject")["comfy"]
    assert scaled["spec"]["scaleTargetRef"]["name"] == "another"
    # The pods are the same.
    deployment = cluster.named("Deployment")["comfy"]
    assert deployment["metadata"]["generation"] == 1
    assert (
        before[("Deployment", "artists", "comfy")]
        != cluster.versions()[("Deployment", "artists", "comfy")]
    )
    assert cluster.apply("runtimes", **known).changed == 1
    assert "artists comfy deployed" in cluster.releases()


def test_a_release_that_the_api_refuses_says_why_and_leaves_nothing(
    cluster: Cluster, first: Run, broken: str
) -> None:
    before = cluster.versions()
    new = facts(runtime("broken", namespace="broken"))

    run = cluster.apply("runtimes", fails=True, **new, runtimes_chart=broken)

    assert 'Deployment.apps "broken" is invalid' in run.output
    assert "selector does not match the labels of the template" in run.output
    left = cluster.versions().keys() - before
    assert {each for each in left if each[0] != "NodeClaim"} == {("Namespace", "", "broken")}


def test_an_upgrade_that_the_api_refuses_is_undone(
    cluster: Cluster, first: Run, broken: str
) -> None:
    before = cluster.named("Deployment")["comfy"]["spec"]
    known = known_runtimes()[1]

    run = cluster.apply("runtimes", fails=True, **facts(known), runtimes_chart=broken)

    assert 'Deployment.apps "comfy" is invalid' in run.output
    assert cluster.named("Deployment")["comfy"]["spec"] == before
    assert "artists comfy deployed" in cluster.releases()


def test_teardown_leaves_controllers_and_no_node(cluster: Cluster, torn_down: Run) -> None:
    assert torn_down.changed == 1
    assert "FAILED - RETRYING" in torn_down.output  # a node was still there
    assert cluster.releases() == [
        "keda keda deployed",
        "kube-system karpenter deployed",
        "kube-system karpenter-crd deployed",
    ]
    left = {kind for kind, _, _ in cluster.everything()}
    assert not left & {"NodePool", "NodeClaim", "ScaledObject", "EC2NodeClass"}


def test_second_teardown_changes_nothing(cluster: Cluster, torn_down: Run) -> None:
    assert cluster.tear_down().changed == 0
