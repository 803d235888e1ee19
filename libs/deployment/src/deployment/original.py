"""What a file of the original solution may hold that has no effect, or is replaced."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from deployment.findings import Finding, Path, warning

AGENT_REPOSITORY = re.compile(r"(^|.*/)sd-on-eks/queue-agent")
CHART_REPOSITORY = re.compile(
    r"https?://aws-samples\.github\.io/stable-diffusion-on-eks/?|oci://.*/charts/sd-on-eks/?"
)
# Of the original solution too, for evaluation; a runtime of another type needs an image.
EXAMPLE_IMAGES = {
    "sdwebui": "public.ecr.aws/bingjiao/sd-on-eks/sdwebui",
    "comfyui": "public.ecr.aws/bingjiao/sd-on-eks/comfyui",
}
EXAMPLE_TAG = "latest"

_SET = "left out: the deployment sets it"
_OF_STACK: dict[Path, str] = {
    (
        "clusterComponents",
    ): "left out: the nodes of the services are variables of the role cluster",
}
_OF_EXTRA_VALUES: dict[Path, str] = {
    ("global",): _SET,
    (
        "karpenter",
        "scaling",
    ): "left out, as it was there: scaling belongs to extraValues.runtime",
    ("runtime", "type"): _SET,
    ("runtime", "serviceAccountName"): _SET,
    ("runtime", "inferenceApi", "modelFilename"): _SET,
    ("runtime", "queueAgent", "dynamicModel"): _SET,
    ("runtime", "queueAgent", "s3Bucket"): _SET,
    ("runtime", "queueAgent", "snsTopicArn"): _SET,
    ("runtime", "queueAgent", "sqsQueueUrl"): _SET,
}


def leave_out(values: dict[str, Any]) -> Iterator[Finding]:
    """Take out of `values` the keys that had no effect in the original solution."""
    yield from _taken(values, (), _OF_STACK)
    for path, runtime in runtimes(values):
        extra = runtime.get("extraValues")
        if isinstance(extra, dict):
            yield from _taken(extra, (*path, "extraValues"), _OF_EXTRA_VALUES)


def _taken(root: dict[str, Any], at: Path, keys: dict[Path, str]) -> Iterator[Finding]:
    for path, advice in keys.items():
        holder: Any = root
        for step in path[:-1]:
            holder = holder.get(step) if isinstance(holder, dict) else None
        if isinstance(holder, dict) and holder.pop(path[-1], None) is not None:
            yield warning((*at, *path), "a key of the original solution", advice)


def replace(values: dict[str, Any]) -> Iterator[Finding]:
    """Replace in `values` what speaks the original's own protocol, and name missing images."""
    for path, runtime in runtimes(values):
        yield from _replace_agent(runtime, path)
        yield from _replace_chart(runtime, path)
        yield from _name_image(runtime, path)


def _replace_agent(runtime: dict[str, Any], path: Path) -> Iterator[Finding]:
    agent = runtime.get("extraValues", {}).get("runtime", {}).get("queueAgent", {})
    repository = agent.get("image", {}).get("repository", "")
    if AGENT_REPOSITORY.fullmatch(repository):
        del agent["image"]
        yield warning(
            (*path, "extraValues", "runtime", "queueAgent", "image"),
            f"the original solution's agent ({repository}), which speaks another protocol",
            "replaced by the agent of this release",
        )


def _replace_chart(runtime: dict[str, Any], path: Path) -> Iterator[Finding]:
    repository = runtime.get("chartRepository", "")
    if CHART_REPOSITORY.fullmatch(repository):
        del runtime["chartRepository"]
        runtime.pop("chartVersion", None)
        yield warning(
            (*path, "chartRepository"),
            f"the original solution's chart ({repository}), which runs another agent",
            "replaced by the chart of this release",
        )


def _name_image(runtime: dict[str, Any], path: Path) -> Iterator[Finding]:
    repository = EXAMPLE_IMAGES.get(runtime["type"])
    pods = runtime.setdefault("extraValues", {}).setdefault("runtime", {})
    image = pods.setdefault("inferenceApi", {}).setdefault("image", {})
    if repository and "repository" not in image:
        image |= {"repository": repository, "tag": image.get("tag", EXAMPLE_TAG)}
        yield warning(
            (*path, "extraValues", "runtime", "inferenceApi", "image"),
            "no repository",
            f"{repository} is used, an example for evaluation: build an image of your own",
        )


def runtimes(values: dict[str, Any]) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Each entry of `modelsRuntime` that is a mapping, with its path."""
    listed = values.get("modelsRuntime")
    for index, runtime in enumerate(listed if isinstance(listed, list) else []):
        if isinstance(runtime, dict):
            yield ("modelsRuntime", index), runtime
