"""Pods of a runtime that are refused, each with its message."""

from __future__ import annotations

import pytest
from golden_config import PODS, PODS_AT, refused

# where, what is put there, what is said
WRONG: list[tuple[str, object, str]] = [
    (
        f"{PODS_AT}.scaling.minReplicaCount",
        21,
        f"{PODS}.scaling.minReplicaCount: found 21, more than maxReplicaCount "
        "(20); allowed: "
        "0 to 20",
    ),
    (
        f"{PODS_AT}.scaling.maxReplicaCount",
        0,
        f"{PODS}.scaling.maxReplicaCount: found 0; allowed: a whole number from 1 to 1000",
    ),
    (
        f"{PODS_AT}.scaling.queueLength",
        0,
        f"{PODS}.scaling.queueLength: found 0; allowed: a whole number from 1 to 100000",
    ),
    (
        f"{PODS_AT}.scaling.coolDownPeriod",
        3,
        f"{PODS}.scaling.coolDownPeriod: found an unknown key; allowed: "
        "cooldownPeriod, enabled, extraHPAConfig, fallback, maxReplicaCount, "
        "minReplicaCount, pollingInterval, queueLength, scaleOnInFlight (did "
        "you mean cooldownPeriod?)",
    ),
    (
        f"{PODS_AT}.scaling.scaleOnInFlight",
        "true",
        f"{PODS}.scaling.scaleOnInFlight: found 'true' (text); allowed: true or false",
    ),
    (
        f"{PODS_AT}.drainSeconds",
        100,
        f"{PODS}.drainSeconds: found 100, with terminationGracePeriodSeconds "
        "110; allowed: "
        "less than 100: the grace period less the 10 s of a receive",
    ),
    (
        f"{PODS_AT}.persistence.type",
        "nvme",
        f"{PODS}.persistence.type: found 'nvme' and no instanceStorePolicy; "
        "allowed: "
        "s3, or nvme with karpenter.nodeTemplate.instanceStorePolicy: RAID0",
    ),
    (
        f"{PODS_AT}.persistence.type",
        "efs",
        f"{PODS}.persistence.type: found 'efs'; allowed: s3 or nvme",
    ),
    (
        f"{PODS_AT}.persistence.keys",
        ["Lora/*"],
        f"{PODS}.persistence.keys: found a list with 1 entry; allowed: "
        "no keys, or type: nvme, which copies them",
    ),
    (
        f"{PODS_AT}.persistence.existingClaim",
        "My_Claim",
        f"{PODS}.persistence.existingClaim: found 'My_Claim'; allowed: "
        "the name of a claim, or nothing",
    ),
    (
        f"{PODS_AT}.inferenceApi.image.repository",
        "https://example.com/x",
        f"{PODS}.inferenceApi.image.repository: found 'https://example.com/x'; "
        "allowed: "
        "a repository in lower case, with neither https:// nor a tag",
    ),
    (
        f"{PODS_AT}.inferenceApi.image.repository",
        "example.com/x:latest",
        f"{PODS}.inferenceApi.image.repository: found 'example.com/x:latest'; "
        "allowed: "
        "a repository in lower case, with neither https:// nor a tag",
    ),
    (
        f"{PODS_AT}.inferenceApi.image.tag",
        1.1,
        f"{PODS}.inferenceApi.image.tag: found 1.1 (a number); allowed: "
        "1 to 128 letters, digits, dots, dashes and underscores, in quotes",
    ),
    (
        f"{PODS_AT}.inferenceApi.image.digest",
        "sha256:abc",
        f"{PODS}.inferenceApi.image.digest: found 'sha256:abc'; allowed: "
        "sha256: and 64 hexadecimal digits, or nothing",
    ),
    (
        f"{PODS_AT}.inferenceApi.imagePullPolicy",
        "always",
        f"{PODS}.inferenceApi.imagePullPolicy: found 'always'; allowed: "
        "Always, IfNotPresent or Never (did you mean Always?)",
    ),
    (
        f"{PODS_AT}.inferenceApi.extraEnv",
        [{"value": "x"}],
        f"{PODS}.inferenceApi.extraEnv[0].name: found nothing; allowed: "
        "the name of an environment variable",
    ),
    (
        f"{PODS_AT}.inferenceApi.extraEnv",
        {"A": 1},
        f"{PODS}.inferenceApi.extraEnv.A: found 1 (a number); allowed: text, in quotes",
    ),
    (
        f"{PODS_AT}.inferenceApi.resources",
        {"limit": {}},
        f"{PODS}.inferenceApi.resources.limit: found an unknown key; allowed: "
        "limits, requests (did you mean limits?)",
    ),
    (
        f"{PODS_AT}.queueAgent.XRay.enable",
        True,
        f"{PODS}.queueAgent.XRay.enable: found an unknown key; allowed: "
        "enabled (did you mean enabled?)",
    ),
]


@pytest.mark.parametrize(("where", "value", "message"), WRONG)
def test_wrong_value_is_one_sentence_with_its_key(
    where: str, value: object, message: str
) -> None:
    assert refused(where, value) == [message]
