"""Filters of the role preflight: what stands in the way, one line with its remedy each."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

# Letter that instance types begin with -> what AWS calls the quota, on-demand, Spot.
FAMILIES = {
    "g": ("G and VT", "ec2/L-DB2E81BA", "ec2/L-3819A6DF"),
    "v": ("G and VT", "ec2/L-DB2E81BA", "ec2/L-3819A6DF"),
    "p": ("P", "ec2/L-417A185B", "ec2/L-7212CCBC"),
}
VPCS, ADDRESSES, NAT_GATEWAYS = "vpc/L-F678F1CE", "ec2/L-0263D0A3", "vpc/L-FE5A380F"

# https://kubernetes.io/docs/concepts/security/pod-security-standards/
LEVELS = ("privileged", "baseline", "restricted")
ENFORCED = "pod-security.kubernetes.io/enforce"
BASELINE_CAPABILITIES = {
    *("AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD"),
    *("NET_BIND_SERVICE", "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT"),
}

Finding = dict[str, str]


def runtime_needs(
    runtimes: Iterable[Mapping[str, Any]], types: list[str], max_replicas: int
) -> list[dict[str, Any]]:
    """What each runtime may start: `name`, `types`, `replicas`, `on_demand`, `spot`.

    `types` and `max_replicas` hold where the configuration does not say.
    """
    needs = []
    for runtime in runtimes:
        provisioner = runtime["values"].get("karpenter", {}).get("provisioner", {})
        scaling = runtime["values"].get("runtime", {}).get("scaling", {})
        capacity = provisioner.get("capacityType", {})
        needs.append(
            {
                "name": runtime["name"],
                "types": provisioner.get("instanceType", types),
                "replicas": scaling.get("maxReplicaCount", max_replicas),
                "on_demand": capacity.get("onDemand", True),
                "spot": capacity.get("spot", True),
            }
        )
    return needs


def quota_codes(needs: Iterable[Mapping[str, Any]]) -> list[str]:
    """The codes of the quotas that these needs are compared with."""
    letters = {name[0] for need in needs for name in need["types"]} & FAMILIES.keys()
    codes = {code for letter in letters for code in FAMILIES[letter][1:]}
    return sorted(codes | {VPCS, ADDRESSES, NAT_GATEWAYS})


def tool_findings(tools: Mapping[str, str], *, applies: bool) -> list[Finding]:
    """Compare the versions of `helm` and `kubectl` with what the playbooks can use.

    A tool that could not be run has an empty version; `darkroom` has its help instead. Charts
    are applied (`applies`) with Helm 3 only, for the modules of kubernetes.core call flags that
    Helm 4 does not have.
    """
    findings = []
    helm = _version(tools["helm"])
    if not helm:
        findings.append(_error("helm is not on the path: install Helm 3.17 or newer, below 4"))
    elif helm < (3, 17) or (applies and helm >= (4, 0)):
        findings.append(
            _error(f"helm is {tools['helm']}: put Helm 3.17 or newer, below 4, on the path")
        )
    kubectl = _version(tools["kubectl"])
    if applies and not kubectl:
        findings.append(_error("kubectl is not on the path: install kubectl 1.30 or newer"))
    elif kubectl and kubectl < (1, 30):
        findings.append(
            _error(f"kubectl is {tools['kubectl']}: put kubectl 1.30 or newer on the path")
        )
    if applies and not tools["darkroom"]:
        findings.append(
            _error(
                "darkroom is not on the path: install the wheel of Darkroom (README, On AWS), "
                "or say where it is with -e darkroom_command=PATH"
            )
        )
    return findings


def type_findings(
    needs: Iterable[Mapping[str, Any]],
    vcpus: Mapping[str, int],
    zones: Mapping[str, list[str]],
    subnets: list[str],
) -> list[Finding]:
    """Say which instance types do not exist, or cannot be had in the zones of our subnets."""
    findings = []
    for need in needs:
        usable = [name for name in need["types"] if set(zones.get(name, [])) & set(subnets)]
        unknown = [name for name in need["types"] if name not in vcpus]
        apart = [name for name in need["types"] if name not in usable and name in vcpus]
        report = _warning if usable else _error
        key = f"runtime {need['name']}"
        if unknown:
            findings.append(
                report(f"{key}: no {', '.join(unknown)} in this region: name other types")
            )
        if apart:
            where = {name: ", ".join(zones.get(name, [])) or "no zone" for name in apart}
            offered = "; ".join(f"{name} in {place}" for name, place in where.items())
            findings.append(
                report(
                    f"{key}: not offered in {', '.join(subnets)}, but {offered}: "
                    "name other types, or set network_zones"
                )
            )
    return findings


def quota_findings(
    needs: Sequence[Mapping[str, Any]], vcpus: Mapping[str, int], quotas: Mapping[str, float]
) -> list[Finding]:
    """Compare the vCPUs that nodes may have with those that the runtimes can ask for.

    One node of each runtime must be possible; all at their largest number should be.
    """
    findings = []
    for title, on_demand, spot in sorted(set(FAMILIES.values())):
        members = [each for need in needs if (each := _need_of(need, title, vcpus))]
        if not members:
            continue
        codes = _codes(members, on_demand, spot)
        have = sum(quotas.get(code, 0) for code in codes)
        least = sum(member["smallest"] for member in members)
        most = sum(member["replicas"] * member["smallest"] for member in members)
        largest = sum(member["replicas"] * member["biggest"] for member in members)
        remedy = f"ask for more of {' or '.join(codes)} in Service Quotas"
        has = f"{title} instances may have {have:g} vCPUs"
        if have < least:
            findings.append(_error(f"{has}, one node a runtime needs {least}: {remedy}"))
        elif have < most:
            findings.append(
                _warning(
                    f"{has}, all replicas need {most} to {largest}: {remedy}, or they wait"
                )
            )
    return findings


def model_keys(runtimes: Iterable[Mapping[str, Any]]) -> list[str]:
    """The keys of the files that runtimes of SD WebUI start with."""
    return sorted({key for runtime in runtimes if (key := _model_key(runtime))})


def model_findings(
    runtimes: Iterable[Mapping[str, Any]], bucket: str, state: str, missing: list[str]
) -> list[Finding]:
    """Say which runtimes would start without their model.

    `state` is that of the bucket, `missing` the keys that it does not have. It can be brought
    in later, except where a GPU node starts at once.
    """
    findings = []
    for runtime in runtimes:
        key = _model_key(runtime)
        if not key or state == "forbidden" or (state == "readable" and key not in missing):
            continue
        scaling = runtime["values"].get("runtime", {}).get("scaling", {})
        at_once = scaling.get("minReplicaCount", 0) > 0 or not scaling.get("enabled", True)
        report = _error if at_once else _warning
        making = " -e create_bucket=true" if state == "missing" else ""
        findings.append(
            report(
                f"runtime {runtime['name']}: no {key} in the bucket {bucket}"
                f"{', which is not there yet' if making else ''}: bring it in with "
                f"playbooks/models.yml -e model_source=URL_OR_FILE "
                f"-e model_filename={runtime['model_filename']}{making}"
            )
        )
    return findings


def pod_security_level(runtime: Mapping[str, Any]) -> str:
    """The strictest Pod Security level that the pod of a runtime meets."""
    server = runtime["values"].get("runtime", {}).get("inferenceApi", {})
    context = server.get("securityContext", {})
    added = set(context.get("capabilities", {}).get("add", ()))
    if context.get("privileged") or added - BASELINE_CAPABILITIES:
        return "privileged"
    no_root = context.get("runAsNonRoot", bool(context.get("runAsUser")))
    strict = no_root and not context.get("allowPrivilegeEscalation")
    return "restricted" if strict and added <= {"NET_BIND_SERVICE"} else "baseline"


def pod_security_findings(
    runtimes: Iterable[Mapping[str, Any]], namespaces: Iterable[Mapping[str, Any]]
) -> list[Finding]:
    """Say which runtimes their namespaces, as the cluster has them, would not let start."""
    labels = {
        each["metadata"]["name"]: each["metadata"].get("labels", {}) for each in namespaces
    }
    findings = []
    for runtime in runtimes:
        name, level = runtime["namespace"], pod_security_level(runtime)
        enforced = labels.get(name, {}).get(ENFORCED, "privileged")
        if enforced in LEVELS and LEVELS.index(level) < LEVELS.index(enforced):
            findings.append(
                _error(
                    f"runtime {runtime['name']}: the namespace {name} enforces Pod Security "
                    f"{enforced}, and its server, which may run as root, meets {level}: name a "
                    f"user in runtime.inferenceApi.securityContext.runAsUser, or "
                    f"kubectl label namespace {name} {ENFORCED}={level} --overwrite"
                )
            )
    return findings


def busiest_zone(
    gateways: Iterable[Mapping[str, str]], subnets: Iterable[Mapping[str, str]]
) -> int:
    """How many NAT gateways are in the zone that has most of them."""
    zones = {subnet["subnet_id"]: subnet["availability_zone"] for subnet in subnets}
    counts = Counter(zones.get(gateway["subnet_id"], "") for gateway in gateways)
    return max(counts.values(), default=0)


def network_findings(
    used: Mapping[str, int], needed: Mapping[str, int], quotas: Mapping[str, float]
) -> list[Finding]:
    """Compare VPCs, elastic IPs and NAT gateways of a zone with their quotas.

    `used` and `needed` have the keys `vpcs`, `addresses` and `nat_gateways`.
    """
    rows = [
        ("vpcs", VPCS, "VPCs", "delete one"),
        ("addresses", ADDRESSES, "elastic IPs", "release some, or set network_nat=single"),
        ("nat_gateways", NAT_GATEWAYS, "NAT gateways in a zone", "delete one"),
    ]
    return [
        _error(
            f"{used[key]} of at most {quotas[code]:g} {title} are there and {needed[key]} more "
            f"needed: ask for more of {code} in Service Quotas, or {remedy}"
        )
        for key, code, title, remedy in rows
        if code in quotas and needed[key] and used[key] + needed[key] > quotas[code]
    ]


def _model_key(runtime: Mapping[str, Any]) -> str:
    if (
        runtime["type"] != "sdwebui"
        or runtime["dynamic_model"]
        or not runtime["model_filename"]
    ):
        return ""
    return f"Stable-diffusion/{runtime['model_filename']}"


def _need_of(
    need: Mapping[str, Any], title: str, vcpus: Mapping[str, int]
) -> dict[str, Any] | None:
    sizes = sorted(_sizes(need["types"], title, vcpus))
    return dict(need) | {"smallest": sizes[0], "biggest": sizes[-1]} if sizes else None


def _sizes(types: Iterable[str], title: str, vcpus: Mapping[str, int]) -> Iterator[int]:
    for name in types:
        if name in vcpus and FAMILIES.get(name[0], ("",))[0] == title:
            yield vcpus[name]


def _codes(members: Iterable[Mapping[str, Any]], on_demand: str, spot: str) -> list[str]:
    codes = {on_demand} if any(member["on_demand"] for member in members) else set()
    return sorted(codes | ({spot} if any(member["spot"] for member in members) else set()))


def _version(text: str) -> tuple[int, int] | None:
    found = re.search(r"(\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2])) if found else None


def _error(text: str) -> Finding:
    return {"level": "error", "text": text}


def _warning(text: str) -> Finding:
    return {"level": "warning", "text": text}


class FilterModule:
    """What Ansible looks for."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """The filters by name."""
        return {
            "preflight_runtime_needs": runtime_needs,
            "preflight_quota_codes": quota_codes,
            "preflight_tool_findings": tool_findings,
            "preflight_type_findings": type_findings,
            "preflight_quota_findings": quota_findings,
            "preflight_model_keys": model_keys,
            "preflight_model_findings": model_findings,
            "preflight_pod_security_findings": pod_security_findings,
            "preflight_busiest_zone": busiest_zone,
            "preflight_network_findings": network_findings,
        }
