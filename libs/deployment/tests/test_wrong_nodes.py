"""Nodes of a runtime that are refused, each with its message."""

from __future__ import annotations

import pytest
from golden_config import FIRST, FIRST_AT, NODE, NODE_AT, POOL, POOL_AT, refused

# where, what is put there, what is said
WRONG: list[tuple[str, object, str]] = [
    (
        f"{FIRST_AT}.extraValues.karpneter",
        {},
        f"{FIRST}.extraValues.karpneter: found an unknown key; allowed: "
        "karpenter, runtime (did you mean karpenter?)",
    ),
    (
        f"{POOL_AT}.capacityType",
        {"onDemand": False, "spot": False},
        f"{POOL}.capacityType: found neither spot nor onDemand; allowed: "
        "one of them true, or both",
    ),
    (
        f"{POOL_AT}.capacityType.Spot",
        True,
        f"{POOL}.capacityType.Spot: found an unknown key; allowed: "
        "onDemand, spot (did you mean spot?)",
    ),
    (
        f"{POOL_AT}.instanceType",
        [],
        f"{POOL}.instanceType: found a list with 0 entries; allowed: a list of 1 to 60 entries",
    ),
    (
        f"{POOL_AT}.instanceType",
        "g5.xlarge",
        f"{POOL}.instanceType: found 'g5.xlarge' (text); allowed: a list of 1 to 60 entries",
    ),
    (
        f"{POOL_AT}.instanceType",
        ["g5"],
        f"{POOL}.instanceType[0]: found 'g5'; allowed: an instance type such as g5.xlarge",
    ),
    (
        f"{POOL_AT}.resourceLimits",
        {"nvidia.com/gpu": -1},
        f"{POOL}.resourceLimits['nvidia.com/gpu']: found -1; allowed: "
        "a quantity of Kubernetes such as 2500m, 6Gi or 1",
    ),
    (
        f"{POOL_AT}.resourceLimits",
        {"nvidia.com/gpu": "many"},
        f"{POOL}.resourceLimits['nvidia.com/gpu']: found 'many'; allowed: "
        "a quantity of Kubernetes such as 2500m, 6Gi or 1",
    ),
    (
        f"{POOL_AT}.extraTaints",
        [{"key": "a", "effect": "Never"}],
        f"{POOL}.extraTaints[0].effect: found 'Never'; allowed: "
        "NoSchedule, PreferNoSchedule or NoExecute",
    ),
    (
        f"{POOL_AT}.extraRequirements",
        [{"key": "a", "operator": "In"}],
        f"{POOL}.extraRequirements[0].values: found 0 values with operator In; "
        "allowed: "
        "one value or more",
    ),
    (
        f"{POOL_AT}.disruption.consolidateAfter",
        30,
        f"{POOL}.disruption.consolidateAfter: found 30 (a number); allowed: "
        "a duration such as 300s, 5m or 720h, or Never, in quotes",
    ),
    (
        f"{POOL_AT}.disruption.budgets",
        [{"nodes": "1", "schedule": "@daily"}],
        f"{POOL}.disruption.budgets[0].duration: found nothing; allowed: "
        "both schedule and duration, or neither",
    ),
    (
        f"{POOL_AT}.labels",
        {"a": 1},
        f"{POOL}.labels.a: found 1 (a number); allowed: "
        "text of at most 63 letters, digits, dots, dashes and underscores, with"
        " a letter or digit at both ends, in quotes",
    ),
    (f"{NODE_AT}.amiFamily", "AL2", f"{NODE}.amiFamily: found 'AL2'; allowed: Bottlerocket"),
    (
        f"{NODE_AT}.dataVolume.iops",
        2999,
        f"{NODE}.dataVolume.iops: found 2999; allowed: a whole number from 3000 to 16000",
    ),
    (
        f"{NODE_AT}.dataVolume.iops",
        16001,
        f"{NODE}.dataVolume.iops: found 16001; allowed: a whole number from 3000 to 16000",
    ),
    (
        f"{NODE_AT}.dataVolume.throughput",
        1001,
        f"{NODE}.dataVolume.throughput: found 1001; allowed: a whole number from 125 to 1000",
    ),
    (
        f"{NODE_AT}.dataVolume.iops",
        3000,
        f"{NODE}.dataVolume.throughput: found 1000 with 3000 IOPS; allowed: "
        "750 at most: gp3 gives a MiB/s for 4 IOPS",
    ),
    (
        f"{NODE_AT}.osVolume.iops",
        6000,
        f"{NODE}.osVolume.iops: found 6000 with 10Gi; allowed: "
        "5000 at most: gp3 gives 500 IOPS for a GiB",
    ),
    (
        f"{NODE_AT}.dataVolume.snapshotID",
        "vol-0123456789abcdef0",
        f"{NODE}.dataVolume.snapshotID: found 'vol-0123456789abcdef0'; allowed: "
        "snap- and 8 or 17 hexadecimal digits, or nothing",
    ),
    (
        f"{NODE_AT}.dataVolume.volumeSize",
        80,
        f"{NODE}.dataVolume.volumeSize: found 80 (a number); allowed: "
        "a size such as 80Gi, in quotes",
    ),
    (
        f"{NODE_AT}.imageCache",
        "sochi",
        f"{NODE}.imageCache: found 'sochi'; allowed: "
        "snapshot, soci or none (did you mean soci?)",
    ),
    (
        f"{NODE_AT}.instanceStorePolicy",
        "RAID1",
        f"{NODE}.instanceStorePolicy: found 'RAID1'; allowed: RAID0 (did you mean RAID0?)",
    ),
    (
        f"{NODE_AT}.tags",
        {"aws:x": "y"},
        f"{NODE}.tags['aws:x']: found a tag of this name; allowed: "
        "names that AWS and Kubernetes do not own",
    ),
]


@pytest.mark.parametrize(("where", "value", "message"), WRONG)
def test_wrong_value_is_one_sentence_with_its_key(
    where: str, value: object, message: str
) -> None:
    assert refused(where, value) == [message]
