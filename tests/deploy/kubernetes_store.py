"""What a Kubernetes API keeps, and what it says about what it is asked to keep.

Objects are judged by `manifests.problems`, which is stricter than a real server: that one drops
an unknown field with a warning. There are no admission plug-ins and no authorization. Of the
controllers there is what a client that waits looks at: a Deployment is ready at once, a load
balancer has an address, a claim is bound. Deleting is at once, too, except for finalizers.
"""

from __future__ import annotations

import copy
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from kubernetes_patches import merged, schema
from manifests import custom_kinds, problems

Json = dict[str, Any]

_ADMISSION = "admissionregistration.k8s.io/v1 validatingadmissionpolic"
_KINDS = f"""
v1 namespaces Namespace
v1 persistentvolumes PersistentVolume
v1 nodes Node
v1 configmaps ConfigMap namespaced
v1 persistentvolumeclaims PersistentVolumeClaim namespaced
v1 pods Pod namespaced
v1 secrets Secret namespaced
v1 serviceaccounts ServiceAccount namespaced
v1 services Service namespaced
{_ADMISSION}ies ValidatingAdmissionPolicy
{_ADMISSION}ybindings ValidatingAdmissionPolicyBinding
apps/v1 daemonsets DaemonSet namespaced
apps/v1 deployments Deployment namespaced
apps/v1 replicasets ReplicaSet namespaced
autoscaling/v2 horizontalpodautoscalers HorizontalPodAutoscaler namespaced
networking.k8s.io/v1 networkpolicies NetworkPolicy namespaced
policy/v1 poddisruptionbudgets PodDisruptionBudget namespaced
rbac.authorization.k8s.io/v1 clusterrolebindings ClusterRoleBinding
rbac.authorization.k8s.io/v1 clusterroles ClusterRole
rbac.authorization.k8s.io/v1 rolebindings RoleBinding namespaced
rbac.authorization.k8s.io/v1 roles Role namespaced
"""
# What a real server never changes.
_FIXED = {
    "Deployment": ("selector",),
    "PersistentVolume": ("csi", "volumeMode"),
    "PersistentVolumeClaim": ("accessModes", "resources", "storageClassName", "volumeName"),
}


class RefusedError(Exception):
    """A request is not carried out; `code` is HTTP's and `reason` is of Kubernetes."""

    def __init__(self, code: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.code, self.reason = code, reason


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind that is served."""

    version: str  # with its group
    plural: str
    name: str
    namespaced: bool

    @property
    def qualified(self) -> str:
        """The name by which messages call it."""
        group = self.version.rpartition("/")[0]
        return f"{self.plural}.{group}" if group else self.plural


Key = tuple[Kind, str, str]  # a kind, a namespace or nothing, a name


def core_kinds() -> list[Kind]:
    """The kinds that every cluster has."""
    rows = [line.split() for line in _KINDS.strip().splitlines()]
    return [Kind(row[0], row[1], row[2], "namespaced" in row) for row in rows]


def crd_kinds() -> list[Kind]:
    """The kinds of KEDA and Karpenter."""
    return [
        Kind(
            f"{spec['group']}/{version['name']}",
            spec["names"]["plural"],
            spec["names"]["kind"],
            spec["scope"] == "Namespaced",
        )
        for spec in custom_kinds()
        for version in spec["versions"]
    ]


@dataclass
class Store:
    """The objects of one cluster; not safe for use by more than one thread at once."""

    kinds: list[Kind] = field(default_factory=core_kinds)
    # Called with the store after each change and before each read.
    controllers: list[Callable[[Store], None]] = field(default_factory=list)
    objects: dict[Key, Json] = field(default_factory=dict)
    revision: int = 0

    def __post_init__(self) -> None:
        for name in ("default", "kube-system"):
            namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
            self.create(self.kind("Namespace"), "", namespace)

    def kind(self, name: str) -> Kind:
        """A kind that is served by its name."""
        return next(kind for kind in self.kinds if kind.name == name)

    def named(self, name: str) -> dict[str, Json]:
        """The objects of a kind by name, whatever their namespace."""
        return {key[2]: item for key, item in self.objects.items() if key[0].name == name}

    def list(self, kind: Kind, namespace: str, selector: str = "") -> list[Json]:
        """The objects with these labels, in all namespaces if none is named."""
        self._reconcile()
        return [
            item
            for key, item in sorted(self.objects.items(), key=lambda pair: pair[0][1:])
            if key[0] == kind
            and namespace in {"", key[1]}
            and _selected(item["metadata"].get("labels", {}), selector)
        ]

    def get(self, key: Key) -> Json:
        """An object; raises `RefusedError` if there is none."""
        self._reconcile()
        if key not in self.objects:
            raise RefusedError(404, "NotFound", f'{key[0].qualified} "{key[2]}" not found')
        return self.objects[key]

    def create(self, kind: Kind, namespace: str, item: Json, *, dry: bool = False) -> Json:
        """Keep a new object and give it as it is kept; raises `RefusedError`."""
        key = (kind, namespace, str(item.get("metadata", {}).get("name", "")))
        if namespace:
            self.get((self.kind("Namespace"), "", namespace))
        if key in self.objects:
            message = f'{kind.qualified} "{key[2]}" already exists'
            raise RefusedError(409, "AlreadyExists", message)
        made = copy.deepcopy(item)
        made["metadata"] |= {
            "uid": str(uuid.uuid4()),
            "creationTimestamp": "2026-01-01T00:00:00Z",
        }
        return self._keep(key, made, dry=dry)

    def replace(self, key: Key, item: Json, *, dry: bool = False) -> Json:
        """Keep an object in place of the old one; raises `RefusedError`."""
        old = self.get(key)
        based_on = item["metadata"].get("resourceVersion")
        if based_on not in {None, "", old["metadata"]["resourceVersion"]}:
            raise RefusedError(409, "Conflict", f'{key[0].qualified} "{key[2]}" has changed')
        for name in _FIXED.get(key[0].name, ()):
            if item["spec"].get(name) != old["spec"].get(name):
                message = f"spec.{name}: Invalid value: field is immutable"
                raise _invalid(key, [message])
        new = copy.deepcopy(item)
        for name in ("uid", "creationTimestamp", "resourceVersion", "generation"):
            if name in old["metadata"]:
                new["metadata"][name] = old["metadata"][name]
        return old if new == old else self._keep(key, new, dry=dry)

    def patch(self, key: Key, patch: Json, *, strategic: bool, dry: bool = False) -> Json:
        """Merge into an object, lists by their keys if `strategic`; raises `RefusedError`."""
        kind = key[0]
        by = schema(kind.version, kind.name) if strategic else None
        if strategic and by is None:
            raise RefusedError(415, "UnsupportedMediaType", "a custom kind is merged as JSON")
        return self.replace(key, merged(self.get(key), patch, by), dry=dry)

    def delete(self, key: Key, *, dry: bool = False) -> Json:
        """Remove an object with what it holds, or mark it if it has finalizers."""
        item = self.get(key)
        if dry:
            return item
        if item["metadata"].get("finalizers"):
            item["metadata"].setdefault("deletionTimestamp", "2026-01-01T00:00:00Z")
        else:
            self._forget(key)
        self._reconcile()
        return item

    def _forget(self, key: Key) -> None:
        uid = self.objects.pop(key)["metadata"]["uid"]
        for other, item in list(self.objects.items()):
            owners = item["metadata"].get("ownerReferences", ())
            inside = key[0].name == "Namespace" and other[1] == key[2]
            if inside or uid in {owner["uid"] for owner in owners}:
                self.objects.pop(other, None)

    def _keep(self, key: Key, item: Json, *, dry: bool) -> Json:
        if key[1]:
            item["metadata"]["namespace"] = key[1]
        found = problems(item)
        if found:
            raise _invalid(key, found)
        old = self.objects.get(key, {})
        _default(item)
        if item.get("spec") != old.get("spec"):
            item["metadata"]["generation"] = old.get("metadata", {}).get("generation", 0) + 1
        self.revision += 1
        item["metadata"]["resourceVersion"] = str(self.revision)
        if not dry:
            self.objects[key] = item
            self._reconcile()
        return item

    def _reconcile(self) -> None:
        for controller in (*_CONTROLLERS, *self.controllers):
            controller(self)
        for key, item in list(self.objects.items()):
            metadata = item["metadata"]
            if "deletionTimestamp" in metadata and not metadata.get("finalizers"):
                self._forget(key)


def _invalid(key: Key, found: list[str]) -> RefusedError:
    kind = f"{key[0].name}.{key[0].version.rpartition('/')[0]}".rstrip(".")
    return RefusedError(422, "Invalid", f'{kind} "{key[2]}" is invalid: {"; ".join(found)}')


def _selected(labels: Mapping[str, str], selector: str) -> bool:
    for term in filter(None, selector.split(",")):
        name, equal, value = term.replace("==", "=").partition("=")
        if not equal or " " in term:
            raise RefusedError(400, "BadRequest", f"the selector {term!r} is not known here")
        unequal = name.endswith("!")
        if (labels.get(name.rstrip("!")) == value) == unequal:
            return False
    return True


def _default(item: Json) -> None:
    # Only what clients follow without asking whether it is there.
    if item["kind"] in {"Deployment", "ReplicaSet"}:
        item["spec"].setdefault("replicas", 1)


# What the controllers of a cluster would do, as far as Helm waits for it.
def _deployments(store: Store) -> None:
    for key, item in list(store.objects.items()):
        if key[0].name != "Deployment":
            continue
        wanted, generation = item["spec"]["replicas"], item["metadata"]["generation"]
        ready = {"replicas": wanted, "readyReplicas": wanted, "observedGeneration": generation}
        item["status"] = {**ready, "updatedReplicas": wanted, "availableReplicas": wanted}
        sets = store.kind("ReplicaSet")
        name = f"{key[2]}-{generation}"
        if (sets, key[1], name) not in store.objects:
            store.objects[sets, key[1], name] = {**_replica_set(item, name), "status": ready}


def _replica_set(owner: Json, name: str) -> Json:
    metadata = owner["metadata"]
    reference = {"apiVersion": "apps/v1", "kind": "Deployment", "controller": True}
    return {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": name,
            "namespace": metadata["namespace"],
            "uid": str(uuid.uuid4()),
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "resourceVersion": metadata["resourceVersion"],
            "generation": metadata["generation"],
            "labels": owner["spec"]["template"]["metadata"]["labels"],
            "ownerReferences": [
                {**reference, "name": metadata["name"], "uid": metadata["uid"]},
            ],
        },
        "spec": {part: owner["spec"][part] for part in ("replicas", "selector", "template")},
    }


def _addresses(store: Store) -> None:
    for service in store.named("Service").values():
        service["spec"].setdefault("clusterIP", "10.96.0.10")
        if service["spec"].get("type") == "LoadBalancer":
            ingress = [{"hostname": "balancer.example"}]
            service["status"] = {"loadBalancer": {"ingress": ingress}}


def _volumes(store: Store) -> None:
    for kind in ("PersistentVolume", "PersistentVolumeClaim"):
        for item in store.named(kind).values():
            item["status"] = {"phase": "Bound"}


_CONTROLLERS: tuple[Callable[[Store], None], ...] = (_deployments, _addresses, _volumes)
