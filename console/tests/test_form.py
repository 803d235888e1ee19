"""What the form of the playground means, and how a request fills it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from darkroom_client import InvalidRequest, Runtime
from darkroom_console.requests import example_workflow, form_of, read_form, request_of

SDWEBUI = Runtime(name="sd", type="sdwebui", dynamic_model=True)
COMFYUI = Runtime(name="comfy", type="comfyui", model_filename="own.safetensors")


def content_of(fields: dict[str, str], image: bytes = b"") -> dict[str, Any]:
    return dict(request_of(read_form({"runtime": "sd", **fields}), SDWEBUI, image).content)


def test_empty_fields_have_their_defaults() -> None:
    content = content_of({"prompt": "A dog", "steps": "", "seed": "", "sampler_name": ""})

    assert content["steps"] == 16
    assert content["seed"] == -1
    assert "sampler_name" not in content
    assert "denoising_strength" not in content


def test_image_makes_it_image_to_image() -> None:
    request = request_of(read_form({"runtime": "sd", "prompt": "A dog"}), SDWEBUI, b"picture")

    assert request.tasktype == "image-to-image"
    assert request.content["init_images"] == ["cGljdHVyZQ=="]
    assert request.content["denoising_strength"] == 0.7


def test_more_fields_are_kept_beside_those_of_the_form() -> None:
    more = json.dumps({"steps": 99, "override_settings": {"CLIP_stop_at_last_layers": 2}})

    content = content_of({"steps": "20", "body": more, "model": "own.safetensors"})

    assert content["steps"] == 20
    assert content["override_settings"] == {
        "CLIP_stop_at_last_layers": 2,
        "sd_model_checkpoint": "own.safetensors",
    }


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"steps": "many"}, "steps: "),
        ({"width": "100000"}, "width: "),
        ({"act": "explode"}, "act: "),
        ({"body": "{"}, "body: is no JSON"),
        ({"body": "[]"}, "body: must be an object"),
    ],
)
def test_wrong_field_is_named(fields: dict[str, str], said: str) -> None:
    with pytest.raises(InvalidRequest, match=said):
        content_of(fields)


def test_workflow_is_needed() -> None:
    with pytest.raises(InvalidRequest, match="a workflow is needed"):
        request_of(read_form({"runtime": "comfy"}), COMFYUI, b"")


def test_example_names_the_model_of_the_runtime() -> None:
    graph = json.loads(example_workflow(COMFYUI))

    assert graph["4"]["inputs"]["ckpt_name"] == "own.safetensors"
    assert example_workflow(Runtime(name="invoke", type="invokeai")) == ""


@pytest.mark.parametrize(
    ("tasktype", "content"),
    [
        ("text-to-image", {"prompt": "A dog", "steps": 20, "width": 640, "hr_scale": 2}),
        ("image-to-image", {"prompt": "A cat", "init_images": ["https://example.com/a.png"]}),
        ("extra-single-image", {"image": "https://example.com/a.png", "upscaling_resize": 4}),
    ],
)
def test_form_of_a_request_means_that_request(tasktype: str, content: dict[str, Any]) -> None:
    metadata = {"id": "one", "runtime": "sd", "tasktype": tasktype}
    kept = {"task": {"metadata": metadata, "content": content}}

    again = request_of(form_of(kept), SDWEBUI, b"")

    assert (again.runtime, again.tasktype) == ("sd", tasktype)
    assert {name: again.content[name] for name in content} == content


@pytest.mark.parametrize(
    "kept", [{}, {"task": []}, {"task": {"metadata": 1, "content": "x"}}, {"task": None}]
)
def test_strange_request_makes_an_empty_form(kept: dict[str, Any]) -> None:
    assert form_of(kept).prompt == ""


def test_values_that_the_form_cannot_have_are_json() -> None:
    content = {"prompt": ["A dog"], "steps": 9999}
    kept = {"task": {"metadata": {"tasktype": "text-to-image"}, "content": content}}

    assert json.loads(form_of(kept).body) == content
