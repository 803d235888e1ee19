from __future__ import annotations

from typing import Any

import pytest

from deployment.built_images import SECURITY_CONTEXT
from deployment.check import check
from deployment.normalise import normalised

BUILT = {"repository": "registry.example/art/invokeai", "tag": "1", "digest": f"sha256:{1:064}"}


def config(**extra: Any) -> dict[str, Any]:
    return {
        "stackName": "art",
        "modelBucketArn": "arn:aws:s3:::models",
        "modelsRuntime": [{"name": "painter", "type": "invokeai", **extra}],
    }


def server(values: dict[str, Any]) -> dict[str, Any]:
    return {"extraValues": {"runtime": {"inferenceApi": values}}}


def test_runtime_without_an_image_has_the_one_that_was_built() -> None:
    checked = check(config(), images={"invokeai": BUILT})

    assert checked.findings == ()
    (runtime,) = normalised(checked)["runtimes"]
    assert runtime["values"]["runtime"]["inferenceApi"] == {
        "image": BUILT,
        "securityContext": SECURITY_CONTEXT,
    }


def test_image_of_another_type_is_not_taken() -> None:
    (finding,) = check(config(), images={"comfyui": BUILT}).errors

    assert finding.allowed == "the image of invokeai: there is no example"


def test_image_that_is_named_counts() -> None:
    mine = server({"image": {"repository": "registry.example/mine"}})

    checked = check(config(**mine), images={"invokeai": BUILT})

    (runtime,) = normalised(checked)["runtimes"]
    assert runtime["values"] == mine["extraValues"]


def test_security_context_that_is_named_counts() -> None:
    mine = server({"securityContext": {"runAsUser": 7}})

    checked = check(config(**mine), images={"invokeai": BUILT})

    (runtime,) = normalised(checked)["runtimes"]
    context = runtime["values"]["runtime"]["inferenceApi"]["securityContext"]
    assert context == {"runAsUser": 7}


@pytest.mark.parametrize(
    "wrong", [3, {"runtime": []}, {"runtime": {"inferenceApi": {"image": 1}}}]
)
def test_what_is_no_mapping_is_told_as_without_images(wrong: Any) -> None:
    told = check(config(extraValues=wrong), images={"invokeai": BUILT}).errors

    assert told == check(config(extraValues=wrong)).errors != ()
