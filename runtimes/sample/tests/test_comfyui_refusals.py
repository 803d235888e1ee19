"""What the sample's ComfyUI refuses, and how."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from comfyui_client import events_until, history, listen

MISSING = object()


async def test_part_of_a_graph_runs_with_200_and_node_errors(
    comfy: str, comfy_client: httpx.AsyncClient, workflow: dict[str, Any]
) -> None:
    workflow["20"] = {"class_type": "LoadImage", "inputs": {"image": "missing.png"}}
    workflow["21"] = {"class_type": "PreviewImage", "inputs": {"images": ["20", 0]}}
    async with listen(comfy, "part") as socket:
        body = {"prompt": workflow, "client_id": "part"}
        answer = await comfy_client.post("/prompt", json=body)
        await events_until(socket, "end")

    entry = await history(comfy_client, answer.json()["prompt_id"])
    assert answer.status_code == 200
    assert answer.json()["node_errors"]["20"]["dependent_outputs"] == ["21"]
    assert list(entry["outputs"]) == ["9"]


@pytest.mark.parametrize(
    ("node", "inputs", "kind"),
    [
        ("4", {"ckpt_name": "nowhere.safetensors"}, "value_not_in_list"),
        ("5", {"width": 1}, "value_smaller_than_min"),
        ("5", {"width": 10**6}, "value_bigger_than_max"),
        ("5", {"width": "wide"}, "invalid_input_type"),
        ("3", {"seed": MISSING}, "required_input_missing"),
        ("3", {"model": ["5", 0]}, "return_type_mismatch"),
        ("3", {"model": ["5"]}, "bad_linked_input"),
    ],
)
async def test_invalid_input_is_refused_with_its_kind(
    comfy_client: httpx.AsyncClient,
    workflow: dict[str, Any],
    node: str,
    inputs: dict[str, Any],
    kind: str,
) -> None:
    merged = workflow[node]["inputs"] | inputs
    workflow[node]["inputs"] = {
        name: value for name, value in merged.items() if value is not MISSING
    }

    answer = await comfy_client.post("/prompt", json={"prompt": workflow})

    body = answer.json()
    entry = body["node_errors"][node]
    assert answer.status_code == 400
    assert body["error"]["type"] == "prompt_outputs_failed_validation"
    assert set(body["error"]) == {"type", "message", "details", "extra_info"}
    assert [one["type"] for one in entry["errors"]] == [kind]
    assert entry["dependent_outputs"] == ["9"]
    assert entry["class_type"] == workflow[node]["class_type"]


async def test_image_that_was_never_uploaded_fails_custom_validation(
    comfy_client: httpx.AsyncClient,
) -> None:
    graph = {
        "1": {"class_type": "LoadImage", "inputs": {"image": "../../secret.png"}},
        "2": {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}},
    }

    answer = await comfy_client.post("/prompt", json={"prompt": graph})

    [error] = answer.json()["node_errors"]["1"]["errors"]
    assert answer.status_code == 400
    assert error["type"] == "custom_validation_failed"
    assert error["details"] == "image - Invalid image file: ../../secret.png"


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({}, "no_prompt"),
        ({"prompt": {}}, "prompt_no_outputs"),
        ({"prompt": {"1": {"class_type": "Nope", "inputs": {}}}}, "invalid_prompt"),
        ({"prompt": {"1": {"inputs": {}}}}, "invalid_prompt"),
    ],
)
async def test_prompt_that_cannot_run_is_refused(
    comfy_client: httpx.AsyncClient, body: dict[str, Any], kind: str
) -> None:
    answer = await comfy_client.post("/prompt", json=body)

    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == kind
    assert answer.json()["node_errors"] == {}


async def test_graph_that_needs_itself_is_refused(
    comfy_client: httpx.AsyncClient, workflow: dict[str, Any]
) -> None:
    workflow["3"]["inputs"]["latent_image"] = ["3", 0]

    answer = await comfy_client.post("/prompt", json={"prompt": workflow})

    assert answer.status_code == 400


async def test_bad_json_is_a_500_in_plain_text(comfy_client: httpx.AsyncClient) -> None:
    answer = await comfy_client.post("/prompt", content=b"{not json")

    assert answer.status_code == 500
    assert answer.text.startswith("500 Internal Server Error")


@pytest.mark.parametrize("name", ["a-1", "6D7C8F0E-5B0A-5E51-9A53-1F0C6B1F7A42", 7])
async def test_a_prompt_that_is_named_by_no_uuid_is_refused(
    comfy_client: httpx.AsyncClient, workflow: dict[str, Any], name: object
) -> None:
    answer = await comfy_client.post("/prompt", json={"prompt": workflow, "prompt_id": name})

    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "invalid_prompt_id"
