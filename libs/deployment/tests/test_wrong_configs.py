"""A table of configurations that are refused, each with its message."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from deployment.check import check

GOLDEN = Path("tests/contract/golden/config.yaml")
FIRST = "modelsRuntime[0]"
POOL = f"{FIRST}.extraValues.karpenter.provisioner"
NODE = f"{FIRST}.extraValues.karpenter.nodeTemplate"
PODS = f"{FIRST}.extraValues.runtime"
BUCKET = (
    "arn:<partition>:s3:::<bucket>, partition aws, aws-cn or aws-us-gov, "
    "nothing after the bucket's name"
)
STACK = "3 to 28 letters, digits and dashes, beginning with a letter and not ending with a dash"
LABEL = "a DNS label: 1 to 40 letters, digits and dashes, with no dash at either end"
TEXT = "text (in quotes), numbers, true, false, lists and mappings"
SECOND = {"name": "second", "type": "sdwebui", "modelFilename": "second.safetensors"}
GONE = object()
FIRST_AT = "modelsRuntime.0"
POOL_AT = f"{FIRST_AT}.extraValues.karpenter.provisioner"
NODE_AT = f"{FIRST_AT}.extraValues.karpenter.nodeTemplate"
PODS_AT = f"{FIRST_AT}.extraValues.runtime"

# where, what is put there, what is said
WRONG: list[tuple[str, object, str]] = [
    ("stackName", None, f"stackName: found nothing; allowed: {STACK}"),
    ("stackName", GONE, f"stackName: found nothing; allowed: {STACK}"),
    ("stackName", "a", f"stackName: found 'a'; allowed: {STACK}"),
    ("stackName", "my_stack", f"stackName: found 'my_stack'; allowed: {STACK}"),
    ("stackName", 42, f"stackName: found 42 (a number); allowed: {STACK}, in quotes"),
    (
        "stackName",
        "amzn-s3-demo-x",
        "stackName: found 'amzn-s3-demo-x'; allowed: "
        "a name that does not begin with xn--, sthree-, amzn-s3-demo-",
    ),
    (
        "stackName",
        "a" * 29,
        f"stackName: found 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaa'; allowed: {STACK}",
    ),
    ("modelBucketArn", GONE, f"modelBucketArn: found nothing; allowed: {BUCKET}"),
    (
        "modelBucketArn",
        "model-bucket",
        f"modelBucketArn: found 'model-bucket'; allowed: {BUCKET}",
    ),
    (
        "modelBucketArn",
        "arn:aws:s3:::bucket/folder",
        f"modelBucketArn: found 'arn:aws:s3:::bucket/folder'; allowed: {BUCKET}",
    ),
    (
        "modelBucketArn",
        "arn:aws-cn:s3:::model-bucket",
        "modelBucketArn: found 'arn:aws-cn:s3:::model-bucket', a bucket of "
        "another partition than region us-east-1; allowed: "
        "arn:aws:s3:::model-bucket",
    ),
    (
        "modelBucketArn",
        "arn:aws:s3:::a..b",
        "modelBucketArn: found 'arn:aws:s3:::a..b'; allowed: "
        "the ARN of a bucket's name as S3 has it",
    ),
    (
        "stackname",
        "x",
        "stackname: found an unknown key; allowed: "
        "APIGW, modelBucketArn, modelsRuntime, stackName (did you mean "
        "stackName?)",
    ),
    (
        "APIGW.throttle.rateLimits",
        3,
        "APIGW.throttle.rateLimits: found an unknown key; allowed: "
        "burstLimit, rateLimit (did you mean rateLimit?)",
    ),
    (
        "APIGW.throttle.rateLimit",
        "30",
        "APIGW.throttle.rateLimit: found '30' (text); allowed: a whole number from 1 to 10000",
    ),
    (
        "APIGW.throttle.burstLimit",
        0,
        "APIGW.throttle.burstLimit: found 0; allowed: a whole number from 1 to 5000",
    ),
    (
        "APIGW.stageName",
        "my stage",
        "APIGW.stageName: found 'my stage'; allowed: "
        "1 to 128 letters, digits, dashes and underscores",
    ),
    ("APIGW", [], "APIGW: found a list with 0 entries; allowed: a mapping"),
    (
        "modelsRuntime",
        GONE,
        "modelsRuntime: found nothing; allowed: a list of 1 to 100 entries",
    ),
    (
        "modelsRuntime",
        [],
        "modelsRuntime: found a list with 0 entries; allowed: a list of 1 to 100 entries",
    ),
    (
        "modelsRuntime",
        {},
        "modelsRuntime: found a mapping with 0 keys; allowed: a list of 1 to 100 entries",
    ),
    (
        "modelsRuntime.1",
        "sdruntime",
        "modelsRuntime[1]: found 'sdruntime' (text); allowed: a mapping",
    ),
    (f"{FIRST_AT}.name", GONE, f"{FIRST}.name: found nothing; allowed: {LABEL}"),
    (f"{FIRST_AT}.name", "sd_runtime", f"{FIRST}.name: found 'sd_runtime'; allowed: {LABEL}"),
    (f"{FIRST_AT}.name", "-sd", f"{FIRST}.name: found '-sd'; allowed: {LABEL}"),
    (
        f"{FIRST_AT}.name",
        "x" * 41,
        f"{FIRST}.name: found 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx'; allowed: {LABEL}",
    ),
    (f"{FIRST_AT}.name", 3, f"{FIRST}.name: found 3 (a number); allowed: {LABEL}, in quotes"),
    (
        "modelsRuntime.1",
        {**SECOND, "name": "SDRuntime"},
        "modelsRuntime[1].name: found 'SDRuntime', the name of modelsRuntime[0]"
        " as well; allowed: "
        "a name of its own, whatever its case",
    ),
    (
        "modelsRuntime.1",
        {**SECOND, "name": "sdruntime-dlq"},
        "modelsRuntime[1].name: found 'sdruntime-dlq', whose queue is the "
        "dead-letter queue of 'sdruntime'; allowed: "
        "a name that does not end in -dlq",
    ),
    (
        "modelsRuntime.1",
        {**SECOND, "modelFilename": "v1-5-pruned-emaonly.safetensors"},
        "modelsRuntime[1].modelFilename: found "
        "'v1-5-pruned-emaonly.safetensors', the model of modelsRuntime[0] as "
        "well; allowed: "
        "a model of its own: a request that names it would run in both",
    ),
    (
        "modelsRuntime.1",
        {**SECOND, "name": "a-name-that-is-too-long-for-a-role-name"},
        "modelsRuntime[1].name: found "
        "'a-name-that-is-too-long-for-a-role-name', 39 characters; allowed: "
        "34 characters at most, since sdoneks-<region>-queue-agent-<name> is a "
        "role's name, of at most 64",
    ),
    (
        "modelsRuntime.1",
        {"name": "inv", "type": "invokeai"},
        "modelsRuntime[1].extraValues.runtime.inferenceApi.image.repository: "
        "found nothing; allowed: "
        "the image of invokeai: there is no example",
    ),
    (
        f"{FIRST_AT}.type",
        GONE,
        f"{FIRST}.type: found nothing; allowed: sdwebui, comfyui or invokeai",
    ),
    (
        f"{FIRST_AT}.type",
        "sdwebiu",
        f"{FIRST}.type: found 'sdwebiu'; allowed: "
        "sdwebui, comfyui or invokeai (did you mean sdwebui?)",
    ),
    (
        f"{FIRST_AT}.type",
        ["sdwebui"],
        f"{FIRST}.type: found a list with 1 entry; allowed: sdwebui, comfyui or invokeai",
    ),
    (
        f"{FIRST_AT}.modelFilename",
        "model.bin",
        f"{FIRST}.modelFilename: found 'model.bin'; allowed: "
        "a file name that ends in .safetensors, .ckpt or .gguf",
    ),
    (
        f"{FIRST_AT}.modelFilename",
        "model.sft",
        f"{FIRST}.modelFilename: found 'model.sft'; allowed: "
        "a file name that ends in .safetensors, .ckpt or .gguf",
    ),
    (
        f"{FIRST_AT}.modelFilename",
        "../x.ckpt",
        f"{FIRST}.modelFilename: found '../x.ckpt'; allowed: "
        "a file name that ends in .safetensors, .ckpt or .gguf",
    ),
    (
        f"{FIRST_AT}.modelFilename",
        "",
        f"{FIRST}.modelFilename: found nothing, and dynamicModel false; allowed:"
        " "
        "a file name that ends in .safetensors, .ckpt or .gguf, or dynamicModel: true",
    ),
    (
        f"{FIRST_AT}.modelfilename",
        "x",
        f"{FIRST}.modelfilename: found an unknown key; allowed: "
        "chartRepository, chartVersion, dynamicModel, extraValues, "
        "modelFilename, name, namespace, type (did you mean modelFilename?)",
    ),
    (
        f"{FIRST_AT}.namespace",
        "Default",
        f"{FIRST}.namespace: found 'Default'; allowed: "
        "a DNS label: 1 to 63 lower-case letters, digits and dashes, with no "
        "dash at either end",
    ),
    (
        f"{FIRST_AT}.namespace",
        "kube-system",
        f"{FIRST}.namespace: found 'kube-system'; allowed: a namespace of no cluster part",
    ),
    (
        f"{FIRST_AT}.dynamicModel",
        "yes",
        f"{FIRST}.dynamicModel: found 'yes' (text); allowed: true or false",
    ),
    (
        f"{FIRST_AT}.chartRepository",
        "example.com/charts",
        f"{FIRST}.chartRepository: found 'example.com/charts'; allowed: "
        "an address that begins with oci://, https:// or http://, or nothing",
    ),
    (
        f"{FIRST_AT}.chartVersion",
        1.1,
        f"{FIRST}.chartVersion: found 1.1 (a number); allowed: "
        "a version such as 1.2.3, or nothing, in quotes",
    ),
    (
        f"{FIRST_AT}.chartVersion",
        "latest",
        f"{FIRST}.chartVersion: found 'latest'; allowed: a version such as 1.2.3, or nothing",
    ),
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


def put(values: Any, where: str, value: object) -> None:
    """Set a value at a path such as `a.0.b`, making mappings on the way."""
    *way, last = where.split(".")
    for step in way:
        values = values[int(step)] if step.isdigit() else values.setdefault(step, {})
    if value is GONE:
        del values[last]
    elif isinstance(values, list):
        values.append(value)
    else:
        values[last] = value


@pytest.mark.parametrize(("where", "value", "message"), WRONG)
def test_wrong_value_is_one_sentence_with_its_key(
    where: str, value: object, message: str
) -> None:
    values = copy.deepcopy(yaml.safe_load(GOLDEN.read_text()))
    put(values, where, value)

    assert [finding.text for finding in check(values, "us-east-1").errors] == [message]


# what is read, at which line it is refused, what is said
UNREADABLE: list[tuple[str | bytes, int | None, str]] = [
    ("", None, "found nothing; allowed: a mapping with stackName and so on"),
    ("just text", 1, "found 'just text'; allowed: a mapping with stackName and so on"),
    (
        "- a\n- b\n",
        1,
        "found a list with 2 entries; allowed: a mapping with stackName and so on",
    ),
    (
        "stackName: a: b\n",
        1,
        "found no readable YAML (line 1, column 13: mapping values are not allowed here); "
        "allowed: one YAML document",
    ),
    (
        "stackName: [a\nmodelBucketArn: b\n",
        2,
        "found no readable YAML (line 2, column 15: expected ',' or ']', but got ':'); "
        "allowed: one YAML document",
    ),
    (
        "a: 1\n---\nb: 2\n",
        2,
        "found no readable YAML (line 2, column 1: but found another document); "
        "allowed: one YAML document",
    ),
    (
        "a: *missing\n",
        1,
        "found no readable YAML (line 1, column 4: found undefined alias 'missing'); "
        "allowed: one YAML document",
    ),
    (b"stackName: \xff\n", None, "found no UTF-8 at byte 11; allowed: text in UTF-8"),
    ("#" * 300_000, None, "found more than 262144 bytes; allowed: a smaller file"),
    (
        "[" * 50 + "]" * 50,
        1,
        "found no readable YAML (line 1, column 41: more than 40 levels); "
        "allowed: one YAML document",
    ),
    (
        "a: &a [x, x, x, x, x, x, x, x, x]\n"
        + "".join(
            f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n"
            for before, name in zip("abcde", "bcdef", strict=True)
        ),
        1,
        "found too many values, aliases counted; allowed: at most 20000 values in 40 levels",
    ),
    (
        "a: &a {b: *a}\n",
        1,
        "found too many values, aliases counted; allowed: at most 20000 values in 40 levels",
    ),
]


@pytest.mark.parametrize(("text", "line", "message"), UNREADABLE)
def test_text_that_is_no_configuration_is_one_sentence(
    text: str | bytes, line: int | None, message: str
) -> None:
    (error,) = check(text).errors

    assert (error.text, error.line) == (message, line)


# a line that replaces the second, what is said
MISREAD = [
    (
        "stackName: other",
        "stackName: found the key twice, at lines 2 and 3; allowed: each key once",
    ),
    (
        "1: x",
        "found the key 1 at line 3, which is no text; "
        "allowed: text as a key, in quotes if it looks like something else",
    ),
    ("stageName: 2024-01-01", f"stageName: found '2024-01-01', a date; allowed: {TEXT}"),
    (
        "stageName: .nan",
        f"stageName: found '.nan', a YAML value of kind number; allowed: {TEXT}",
    ),
    (
        "stageName: !!binary aGk=",
        f"stageName: found 'aGk=', a YAML value of kind binary; allowed: {TEXT}",
    ),
    (
        "stageName: !secret x",
        f"stageName: found 'x', a YAML value of kind !secret; allowed: {TEXT}",
    ),
]


@pytest.mark.parametrize(("line", "message"), MISREAD)
def test_what_yaml_makes_of_a_line_is_refused_at_that_line(line: str, message: str) -> None:
    lines = GOLDEN.read_text().splitlines()
    lines.insert(2, line)

    errors = check("\n".join(lines), "us-east-1").errors

    assert message in [error.text for error in errors]
    assert {error.line for error in errors} <= {1, 2, 3}
