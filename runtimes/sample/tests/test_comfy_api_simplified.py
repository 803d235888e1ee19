"""The ComfyUI shape as the client library `comfy_api_simplified` sees it."""

from __future__ import annotations

import asyncio
import io
from pathlib import Path
from typing import Any

import pytest
from comfy_api_simplified import (  # type: ignore[import-untyped]  # no annotations
    ComfyApiWrapper,
    ComfyWorkflowWrapper,
)
from comfy_api_simplified.exceptions import (  # type: ignore[import-untyped]  # no annotations
    ComfyApiError,
)
from PIL import Image


async def test_default_workflow_gives_its_picture(comfy: str, workflow: dict[str, Any]) -> None:
    client, graph = ComfyApiWrapper(comfy), ComfyWorkflowWrapper(workflow)
    graph.set_node_param("CLIP Text Encode (Prompt)", "text", "a lighthouse")
    graph.set_node_param("KSampler", "seed", 42)

    # The library starts an event loop of its own.
    found = await asyncio.to_thread(client.queue_and_wait_images, graph, "Save Image")

    [(name, content)] = found.items()
    image = Image.open(io.BytesIO(content))
    assert name.startswith("ComfyUI_")
    assert image.size == (128, 96)
    assert "a lighthouse" in image.info["parameters"]


async def test_failure_reaches_the_client(comfy: str, workflow: dict[str, Any]) -> None:
    client, graph = ComfyApiWrapper(comfy), ComfyWorkflowWrapper(workflow)
    graph.set_node_param("CLIP Text Encode (Prompt)", "text", "broken")

    # Which of the two depends on whether the library listens before the run ends.
    with pytest.raises((ComfyApiError, KeyError)):
        await asyncio.to_thread(client.queue_and_wait_images, graph, "Save Image")


async def test_uploaded_picture_can_be_loaded_scaled_and_saved(
    comfy: str, picture: Image.Image, tmp_path: Path
) -> None:
    file = tmp_path / "red.png"
    picture.save(file)
    client = ComfyApiWrapper(comfy)

    uploaded = await asyncio.to_thread(client.upload_image, file, "here")
    graph = {
        "1": {
            "class_type": "LoadImage",
            "inputs": {"image": f"{uploaded['subfolder']}/{uploaded['name']}"},
            "_meta": {"title": "Load"},
        },
        "2": {
            "class_type": "ImageScale",
            "inputs": {
                "image": ["1", 0],
                "upscale_method": "bilinear",
                "width": 30,
                "height": 0,
                "crop": "disabled",
            },
            "_meta": {"title": "Scale"},
        },
        "3": {
            "class_type": "SaveImage",
            "inputs": {"images": ["2", 0], "filename_prefix": "scaled"},
            "_meta": {"title": "Save"},
        },
    }
    found = await asyncio.to_thread(client.queue_and_wait_images, graph, "Save")

    [content] = found.values()
    assert Image.open(io.BytesIO(content)).size == (30, 22)


async def test_descriptions_are_answered(comfy: str) -> None:
    client = ComfyApiWrapper(comfy)

    stats = await asyncio.to_thread(client.get_system_stats)
    sampler = await asyncio.to_thread(client.get_object_info, "KSampler")

    assert "sample" in stats["system"]["comfyui_version"]
    assert "euler" in sampler["KSampler"]["input"]["required"]["sampler_name"][0]
