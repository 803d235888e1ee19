"""Writes a first configuration file."""

from __future__ import annotations

import json
from dataclasses import dataclass

import yaml

from deployment.original import EXAMPLE_IMAGES, EXAMPLE_TAG
from deployment.rules import partition_of

FIRST_MODEL = "v1-5-pruned-emaonly.safetensors"
_IMAGES = {**EXAMPLE_IMAGES, "invokeai": "ghcr.io/invoke-ai/invokeai"}
_INVOKEAI_PORT = 9090
_INSTANCE_TYPES = ("g6.2xlarge", "g6.xlarge", "g5.2xlarge", "g5.xlarge", "g4dn.2xlarge")
# Neither region of China offers newer ones in every zone.
_INSTANCE_TYPES_CHINA = ("g4dn.xlarge", "g4dn.2xlarge")


@dataclass(frozen=True)
class Wanted:
    """What the file is to hold; everything else has a default."""

    stack_name: str
    bucket: str
    region: str | None = None
    snapshot: str | None = None
    runtime_name: str = "sdruntime"
    runtime_type: str = "sdwebui"


def written(wanted: Wanted) -> str:
    """The text of a file; whether it may be deployed is for the check to say."""
    partition = partition_of(wanted.region or "")
    return "\n".join(
        (
            "# Darkroom's configuration; `darkroom config reference` explains every key.",
            "# Begins the name of everything that is made.",
            f"stackName: {_scalar(wanted.stack_name)}",
            "# The bucket that holds the models, in the region of the stack.",
            f"modelBucketArn: {_scalar(f'arn:{partition}:s3:::{wanted.bucket}')}",
            "APIGW:",
            "  stageName: dev",
            "  # Of one API key: requests a second, and at one moment.",
            "  throttle:",
            "    rateLimit: 30",
            "    burstLimit: 50",
            "modelsRuntime:",
            "# What requests call it.",
            f"- name: {_scalar(wanted.runtime_name)}",
            "  namespace: default",
            f"  type: {wanted.runtime_type}",
            *_model(wanted),
            "  extraValues:",
            "    runtime:",
            *_image(wanted),
            "      # Pods for the tasks in the queue: one for ten of them, none without any.",
            "      scaling:",
            "        queueLength: 10",
            "        minReplicaCount: 0",
            "        maxReplicaCount: 5",
            "        cooldownPeriod: 300",
            "    karpenter:",
            *_nodes(wanted, partition),
            "",
        )
    )


def _scalar(text: str) -> str:
    """A text as YAML: in quotes if it would be read as something else."""
    try:
        plain = yaml.safe_load(text) == text
    except (yaml.YAMLError, ValueError):
        plain = False
    return text if plain else json.dumps(text)


def _model(wanted: Wanted) -> tuple[str, ...]:
    if wanted.runtime_type != "sdwebui":
        return ()
    return (
        "  # A file in Stable-diffusion/ of the bucket.",
        f"  modelFilename: {FIRST_MODEL}",
        "  # true: requests may name another model, which is then loaded.",
        "  dynamicModel: false",
    )


def _image(wanted: Wanted) -> tuple[str, ...]:
    lines = (
        "      # An example for evaluation: build an image of your own and name it here.",
        "      inferenceApi:",
        "        image:",
        f"          repository: {_IMAGES.get(wanted.runtime_type, 'unknown')}",
        f"          tag: {EXAMPLE_TAG}",
    )
    if wanted.runtime_type == "invokeai":
        return (*lines, f"        port: {_INVOKEAI_PORT}")
    return lines


def _nodes(wanted: Wanted, partition: str) -> tuple[str, ...]:
    types = _INSTANCE_TYPES_CHINA if partition == "aws-cn" else _INSTANCE_TYPES
    return (
        "      nodeTemplate:",
        "        amiFamily: Bottlerocket",
        *_snapshot(wanted.snapshot),
        "      provisioner:",
        "        instanceType:",
        *(f"        - {name}" for name in types),
        "        # With both, Spot is tried first.",
        "        capacityType:",
        "          onDemand: true",
        "          spot: true",
    )


def _snapshot(snapshot: str | None) -> tuple[str, ...]:
    said = "        # A snapshot with the container images makes nodes start faster"
    if snapshot is None:
        # Both lines together, so that taking away the two marks leaves valid YAML.
        return (
            f"{said}: the playbooks build one, or name one here.",
            "        # dataVolume:",
            "        #   snapshotID: snap-0123456789abcdef0",
        )
    return (f"{said}.", "        dataVolume:", f"          snapshotID: {_scalar(snapshot)}")
