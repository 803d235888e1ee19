"""The loaders of files that are no pictures, as ComfyUI 0.3.64 has them."""

from __future__ import annotations

import base64
from typing import Any

import httpx
import pytest
from comfyui_client import run

SHOTS = ("image", "mask", "normal", "lineart")
# What the server's own /object_info shows, without the names of files; LoadAudio is of its
# source, comfy_extras/nodes_audio.py, because it needs torchaudio.
DESCRIBED = {
    "LoadAudio": {"audio": [[], {"audio_upload": True}]},
    "LoadVideo": {
        "file": ["COMBO", {"multiselect": False, "options": [], "video_upload": True}]
    },
    "Load3D": {
        "model_file": [[], {"file_upload": True}],
        "image": ["LOAD_3D", {}],
        "width": ["INT", {"default": 1024, "min": 1, "max": 4096, "step": 1}],
        "height": ["INT", {"default": 1024, "min": 1, "max": 4096, "step": 1}],
    },
}


async def inputs_of(client: httpx.AsyncClient, kind: str) -> dict[str, Any]:
    described = (await client.get(f"/object_info/{kind}")).json()[kind]
    required: dict[str, Any] = described["input"]["required"]
    assert described["input_order"]["required"] == list(required)
    return required


def loading(kind: str, inputs: dict[str, Any], output: int = 0) -> dict[str, Any]:
    shown = {"class_type": "PreviewAny", "inputs": {"source": ["1", output]}}
    return {"1": {"class_type": kind, "inputs": inputs}, "2": shown}


@pytest.mark.parametrize("kind", DESCRIBED)
async def test_loader_is_described_as_the_server_does(
    comfy_client: httpx.AsyncClient, kind: str
) -> None:
    described = await inputs_of(comfy_client, kind)

    for choices, *more in described.values():
        if isinstance(choices, list):
            choices.clear()
        elif choices == "COMBO":
            more[0]["options"].clear()
    assert described == DESCRIBED[kind]


@pytest.mark.parametrize(
    ("kind", "inputs", "said"),
    [
        ("LoadAudio", {"audio": "no.wav"}, "audio - Invalid audio file: no.wav"),
        ("LoadVideo", {"file": "no.mp4"}, "file - Invalid video file: no.mp4"),
        (
            "Load3D",
            {"model_file": "no.glb", "image": {}, "width": 8, "height": 8},
            "model_file: 'no.glb' not in",
        ),
    ],
)
async def test_file_that_was_never_uploaded_is_refused(
    comfy_client: httpx.AsyncClient, kind: str, inputs: dict[str, Any], said: str
) -> None:
    answer = await comfy_client.post("/prompt", json={"prompt": loading(kind, inputs)})

    assert answer.status_code == 400
    [error] = answer.json()["node_errors"]["1"]["errors"]
    assert said in error["details"]


@pytest.mark.parametrize(("kind", "name"), [("LoadAudio", "a.wav"), ("LoadVideo", "a.mp4")])
async def test_uploaded_file_is_offered_and_loaded(
    comfy: str, comfy_client: httpx.AsyncClient, kind: str, name: str
) -> None:
    files = {"image": (name, b"what it sounds like")}
    taken = (await comfy_client.post("/upload/image", files=files)).json()["name"]
    [(field, spec)] = (await inputs_of(comfy_client, kind)).items()
    offered = spec[1]["options"] if spec[0] == "COMBO" else spec[0]

    entry = await run(comfy, comfy_client, loading(kind, {field: taken}))

    assert taken in offered
    assert taken in entry["outputs"]["2"]["text"][0]


async def test_model_of_the_folder_3d_is_loaded_with_its_pictures(
    comfy: str, comfy_client: httpx.AsyncClient, picture_base64: str
) -> None:
    shot = {"image": ("shot.png", base64.b64decode(picture_base64))}
    picture = (await comfy_client.post("/upload/image", files=shot)).json()["name"]
    model = {"image": ("thing.glb", b"glTF")}
    place = {"subfolder": "3d"}
    taken = (await comfy_client.post("/upload/image", files=model, data=place)).json()
    name = f"{taken['subfolder']}/{taken['name']}"
    shots = {**dict.fromkeys(SHOTS, picture), "camera_info": {}, "recording": ""}
    inputs = {"model_file": name, "image": shots, "width": 8, "height": 8}

    entry = await run(comfy, comfy_client, loading("Load3D", inputs, output=2))

    assert name in (await inputs_of(comfy_client, "Load3D"))["model_file"][0]
    assert entry["outputs"]["2"]["text"] == [name]
