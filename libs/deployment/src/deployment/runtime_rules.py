"""Rules between the keys of one runtime, which a schema can't express."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from deployment import original
from deployment.findings import Finding, Path, shown, warning
from deployment.schema import part_at
from modelfiles.formats import BY_RUNTIME

LEASE_SECONDS = 120  # of the queue agent
RECEIVE_WAIT_SECONDS = 10  # of the queue agent
SPOT_NOTICE_SECONDS = 120
LONGEST_RUN_MINUTES = 60  # that the queue agent allows, and it stages the task after it

_CLUSTER_NAMESPACES = ("kube-node-lease", "kube-public", "kube-system")
_WEBHOOKS = "webhooks"
_IOPS_PER_GIB = 500
_IOPS_PER_MIB = 4
_IN_GIB = {"Gi": 1, "Ti": 1024, "G": 1, "T": 1000}
_NO_GPU_FOR_US = {"g4ad": "an AMD GPU", "g5g": "an Arm processor"}


def of_runtime(runtime: Mapping[str, Any], path: Path) -> Iterator[Finding]:
    """What is wrong within a runtime whose keys are all allowed by the schema."""
    for rule in _RULES:
        yield from rule(runtime, path)


class _Values:
    """A runtime's `extraValues`, with the defaults of the schema."""

    def __init__(self, runtime: Mapping[str, Any], path: Path) -> None:
        self._values: Any = runtime.get("extraValues", {})
        self._path: Path = (*path, "extraValues")

    def path(self, dotted: str) -> Path:
        return (*self._path, *dotted.split("."))

    def given(self, dotted: str) -> Any:
        """What the file says, or None."""
        value = self._values
        for name in dotted.split("."):
            value = value.get(name) if isinstance(value, dict) else None
        return value

    def __getitem__(self, dotted: str) -> Any:
        value = self.given(dotted)
        return part_at(*dotted.split(".")).get("default") if value is None else value


Rule = Callable[[Mapping[str, Any], Path], Iterator[Finding]]


def _name(runtime: Mapping[str, Any], path: Path) -> Iterator[Finding]:
    name = str(runtime["name"])
    if name.lower() == _WEBHOOKS:
        advice = "another name: it stands for the queue of webhooks"
        yield Finding((*path, "name"), shown(name), advice)


def _namespace(runtime: Mapping[str, Any], path: Path) -> Iterator[Finding]:
    namespace = runtime.get("namespace")
    if namespace in _CLUSTER_NAMESPACES:
        yield Finding((*path, "namespace"), shown(namespace), "a namespace of no cluster part")


def _model(runtime: Mapping[str, Any], path: Path) -> Iterator[Finding]:
    kind = runtime["type"]
    model, dynamic = runtime.get("modelFilename"), runtime.get("dynamicModel")
    formats = BY_RUNTIME[kind]
    allowed = f"a file name that ends in {', '.join(formats[:-1])} or {formats[-1]}"
    place = (*path, "modelFilename")
    if model and not model.endswith(formats):
        yield Finding(place, shown(model), allowed)
        return
    if kind == "sdwebui":
        if not model and not dynamic:
            found = "nothing, and dynamicModel false"
            yield Finding(place, found, f"{allowed}, or dynamicModel: true")
        return
    for key, value in (("modelFilename", model), ("dynamicModel", dynamic)):
        if value:
            advice = f"not used: the tasks of {kind} name their models themselves"
            yield warning((*path, key), shown(value), advice)


def _chart(runtime: Mapping[str, Any], path: Path) -> Iterator[Finding]:
    repository, version = runtime.get("chartRepository"), runtime.get("chartVersion")
    if version and not repository:
        advice = "not used: the chart of this release is deployed"
        yield warning(
            (*path, "chartVersion"), f"{shown(version)} and no chartRepository", advice
        )
    replaced = original.CHART_REPOSITORY.fullmatch(repository or "")
    if repository and not version and not replaced:
        advice = "the newest version is deployed, which may change: name one"
        yield warning((*path, "chartRepository"), "no chartVersion", advice)


def _image(runtime: Mapping[str, Any], path: Path) -> Iterator[Finding]:
    values = _Values(runtime, path)
    key = "runtime.inferenceApi.image.repository"
    kind = runtime["type"]
    if not values.given(key) and kind not in original.EXAMPLE_IMAGES:
        yield Finding(values.path(key), "nothing", f"the image of {kind}: there is no example")


def _replicas(runtime: Mapping[str, Any], path: Path) -> Iterator[Finding]:
    values = _Values(runtime, path)
    low, high = "runtime.scaling.minReplicaCount", "runtime.scaling.maxReplicaCount"
    if not values["runtime.scaling.enabled"]:
        return
    if values[low] > values[high]:
        found = f"{values[low]}, more than maxReplicaCount ({values[high]})"
        yield Finding(values.path(low), found, f"0 to {values[high]}")
    if values.given("runtime.replicas") is not None:
        key = values.path("runtime.replicas")
        advice = "not used while scaling.enabled is true: see minReplicaCount"
        yield warning(key, shown(values["runtime.replicas"]), advice)
    limits = values["karpenter.provisioner.resourceLimits"]
    gpus = limits.get("nvidia.com/gpu")
    if str(gpus).isdigit() and int(gpus) < values[high]:
        found = f"{values[high]}, more than the GPUs of resourceLimits ({gpus})"
        yield warning(values.path(high), found, f"{gpus} pods run, the others wait")


def _cooldown(runtime: Mapping[str, Any], path: Path) -> Iterator[Finding]:
    values = _Values(runtime, path)
    key = "runtime.scaling.cooldownPeriod"
    if values[key] < LEASE_SECONDS:
        yield warning(
            values.path(key),
            f"{values[key]}, shorter than a lease ({LEASE_SECONDS} s)",
            "the last pod may end before a task that was lost comes back, and start again",
        )


def _ending(runtime: Mapping[str, Any], path: Path) -> Iterator[Finding]:
    values = _Values(runtime, path)
    drain, grace = "runtime.drainSeconds", "runtime.terminationGracePeriodSeconds"
    if values[drain] + RECEIVE_WAIT_SECONDS >= values[grace]:
        found = f"{values[drain]}, with terminationGracePeriodSeconds {values[grace]}"
        allowed = f"less than {values[grace] - RECEIVE_WAIT_SECONDS}: the grace period less "
        yield Finding(
            values.path(drain), found, f"{allowed}the {RECEIVE_WAIT_SECONDS} s of a receive"
        )
    if (
        values["karpenter.provisioner.capacityType.spot"]
        and values[grace] > SPOT_NOTICE_SECONDS
    ):
        advice = f"Spot ends a node {SPOT_NOTICE_SECONDS} s after its notice"
        yield warning(values.path(grace), shown(values[grace]), advice)


def _files(runtime: Mapping[str, Any], path: Path) -> Iterator[Finding]:
    values = _Values(runtime, path)
    key = "runtime.inferenceApi.keepFilesMinutes"
    kept = values.given(key)
    if kept is None:
        return
    if runtime["type"] == "sdwebui":
        yield warning(values.path(key), str(kept), "not used: sdwebui keeps no files")
    elif 0 < kept < 2 * LONGEST_RUN_MINUTES:
        advice = (
            "an input may be removed before its run, which waits for another of up to an hour"
        )
        yield warning(values.path(key), str(kept), advice)


def _capacity(runtime: Mapping[str, Any], path: Path) -> Iterator[Finding]:
    values = _Values(runtime, path)
    key = "karpenter.provisioner.capacityType"
    if not values[f"{key}.spot"] and not values[f"{key}.onDemand"]:
        yield Finding(
            values.path(key), "neither spot nor onDemand", "one of them true, or both"
        )


def _instances(runtime: Mapping[str, Any], path: Path) -> Iterator[Finding]:
    values = _Values(runtime, path)
    key = "karpenter.provisioner.instanceType"
    for index, instance in enumerate(values[key]):
        family = instance.partition(".")[0]
        why = _NO_GPU_FOR_US.get(family)
        if not why and not re.match(r"(g|p)[0-9]|gr[0-9]", family):
            why = "no NVIDIA GPU as far as its name tells"
        if why:
            advice = "the runtime may not start there"
            yield warning((*values.path(key), index), f"{shown(instance)} with {why}", advice)


def _volumes(runtime: Mapping[str, Any], path: Path) -> Iterator[Finding]:
    values = _Values(runtime, path)
    for name in ("osVolume", "dataVolume"):
        key = f"karpenter.nodeTemplate.{name}"
        iops, throughput = values[f"{key}.iops"], values[f"{key}.throughput"]
        size = values[f"{key}.volumeSize"]
        gib = int(size.rstrip("GTi")) * _IN_GIB[size.lstrip("0123456789")]
        if throughput * _IOPS_PER_MIB > iops:
            found = f"{throughput} with {iops} IOPS"
            allowed = (
                f"{iops // _IOPS_PER_MIB} at most: gp3 gives a MiB/s for {_IOPS_PER_MIB} IOPS"
            )
            yield Finding(values.path(f"{key}.throughput"), found, allowed)
        if iops > max(gib * _IOPS_PER_GIB, 3000):
            found = f"{iops} with {size}"
            allowed = f"{gib * _IOPS_PER_GIB} at most: gp3 gives {_IOPS_PER_GIB} IOPS for a GiB"
            yield Finding(values.path(f"{key}.iops"), found, allowed)


def _image_cache(runtime: Mapping[str, Any], path: Path) -> Iterator[Finding]:
    values = _Values(runtime, path)
    template = "karpenter.nodeTemplate"
    cache, snapshot = (
        values[f"{template}.imageCache"],
        values[f"{template}.dataVolume.snapshotID"],
    )
    if snapshot and cache != "snapshot":
        key = values.path(f"{template}.dataVolume.snapshotID")
        yield warning(key, shown(snapshot), f"not used with imageCache: {cache}")
    elif snapshot and values.given(f"{template}.instanceStorePolicy"):
        yield warning(
            values.path(f"{template}.instanceStorePolicy"),
            f"RAID0 with snapshot {snapshot}",
            "images are kept on the disks of the instance then: the snapshot is not used",
        )


def _persistence(runtime: Mapping[str, Any], path: Path) -> Iterator[Finding]:
    values = _Values(runtime, path)
    key = "runtime.persistence.type"
    if values[key] != "nvme" or not values["runtime.persistence.enabled"]:
        if keys := values["runtime.persistence.keys"]:
            allowed = "no keys, or type: nvme, which copies them"
            yield Finding(values.path("runtime.persistence.keys"), shown(keys), allowed)
        return
    if not values.given("karpenter.nodeTemplate.instanceStorePolicy"):
        allowed = "s3, or nvme with karpenter.nodeTemplate.instanceStorePolicy: RAID0"
        yield Finding(values.path(key), "'nvme' and no instanceStorePolicy", allowed)
    if values["runtime.persistence.existingClaim"]:
        found = f"{shown(values['runtime.persistence.existingClaim'])} with type nvme"
        allowed = "no claim with nvme, or type s3"
        yield Finding(values.path("runtime.persistence.existingClaim"), found, allowed)


def _tags(runtime: Mapping[str, Any], path: Path) -> Iterator[Finding]:
    values = _Values(runtime, path)
    for name in values["karpenter.nodeTemplate.tags"]:
        if name.lower().startswith(("aws:", "kubernetes.io/cluster/")):
            key = (*values.path("karpenter.nodeTemplate.tags"), name)
            yield Finding(key, "a tag of this name", "names that AWS and Kubernetes do not own")


def _requirements(runtime: Mapping[str, Any], path: Path) -> Iterator[Finding]:
    values = _Values(runtime, path)
    key = "karpenter.provisioner.extraRequirements"
    for index, requirement in enumerate(values[key]):
        operator, given = requirement["operator"], len(requirement.get("values", []))
        wanted = _VALUES_WANTED[operator]
        if not wanted[0] <= given <= wanted[1]:
            found = f"{given} values with operator {operator}"
            yield Finding((*values.path(key), index, "values"), found, wanted[2])


_VALUES_WANTED: dict[str, tuple[int, float, str]] = {
    "In": (1, float("inf"), "one value or more"),
    "NotIn": (1, float("inf"), "one value or more"),
    "Exists": (0, 0, "no values"),
    "DoesNotExist": (0, 0, "no values"),
    "Gt": (1, 1, "one value"),
    "Lt": (1, 1, "one value"),
    "Gte": (1, 1, "one value"),
    "Lte": (1, 1, "one value"),
}


def _budgets(runtime: Mapping[str, Any], path: Path) -> Iterator[Finding]:
    values = _Values(runtime, path)
    key = "karpenter.provisioner.disruption.budgets"
    for index, budget in enumerate(values[key]):
        for name, other in (("schedule", "duration"), ("duration", "schedule")):
            if name in budget and other not in budget:
                where = (*values.path(key), index, other)
                yield Finding(where, "nothing", f"both {name} and {other}, or neither")


_RULES: tuple[Rule, ...] = (
    _name,
    _namespace,
    _model,
    _chart,
    _image,
    _replicas,
    _cooldown,
    _ending,
    _files,
    _capacity,
    _instances,
    _volumes,
    _image_cache,
    _persistence,
    _tags,
    _requirements,
    _budgets,
)
