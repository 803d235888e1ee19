"""The levels of Pod Security, as far as pods of ours could miss them.

https://kubernetes.io/docs/concepts/security/pod-security-standards/
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Json = dict[str, Any]

_BASELINE = {
    *("AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD"),
    *("NET_BIND_SERVICE", "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT"),
}
_VOLUMES = {
    *("configMap", "csi", "downwardAPI", "emptyDir", "ephemeral"),
    *("persistentVolumeClaim", "projected", "secret"),
}


def level(pod: Json) -> str:
    """The strictest level that the `spec` of a pod meets."""
    everyone = [*pod.get("initContainers", ()), *pod["containers"]]
    if any(_below_baseline(pod, container) for container in everyone):
        return "privileged"
    if any(_below_restricted(pod, container) for container in everyone):
        return "baseline"
    return "restricted"


def _below_baseline(pod: Json, container: Json) -> bool:
    context = container.get("securityContext", {})
    volumes = (volume.keys() for volume in pod.get("volumes", ()))
    return bool(
        context.get("privileged")
        or pod.keys() & {"hostNetwork", "hostPID", "hostIPC"}
        or any("hostPath" in volume for volume in volumes)
        or any("hostPort" in port for port in container.get("ports", ()))
        or _capabilities(context, "add") - _BASELINE
    )


def _below_restricted(pod: Json, container: Json) -> bool:
    context = {**pod.get("securityContext", {}), **container.get("securityContext", {})}
    return not (
        context.get("allowPrivilegeEscalation") is False
        and context.get("runAsNonRoot") is True
        and context.get("runAsUser", 1) != 0
        and context.get("seccompProfile", {}).get("type") in {"RuntimeDefault", "Localhost"}
        and "ALL" in _capabilities(context, "drop")
        and _capabilities(context, "add") <= {"NET_BIND_SERVICE"}
        and all(_VOLUMES & kinds for kinds in _volumes(pod))
    )


def _volumes(pod: Json) -> Iterator[set[str]]:
    return (volume.keys() - {"name"} for volume in pod.get("volumes", ()))


def _capabilities(context: Json, verb: str) -> set[str]:
    return set(context.get("capabilities", {}).get(verb, ()))
