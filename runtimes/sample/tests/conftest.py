from __future__ import annotations

import asyncio
import base64
import io
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest
from PIL import Image

from testkit.sample_runtimes import SampleRuntime, sample_runtime

Until = Callable[[Callable[[], Awaitable[bool]]], Awaitable[None]]


@pytest.fixture
def start() -> Iterator[Callable[..., SampleRuntime]]:
    """Starts runtimes with the given arguments, and stops them after the test."""
    with ExitStack() as stack:
        yield lambda *arguments: stack.enter_context(sample_runtime(*arguments))


@pytest.fixture(scope="session")
def webui() -> Iterator[str]:
    """The address of a runtime in the shape of SD WebUI."""
    with sample_runtime(
        *("sdwebui", "--seconds-per-image", "0.02"),
        *("--checkpoint", "v1-5-pruned-emaonly.safetensors", "--checkpoint", "other.ckpt"),
        *("--fail-when", "broken", "--hang-when", "stuck"),
    ) as (url, _):
        yield url


@pytest.fixture(scope="session")
def comfy() -> Iterator[str]:
    """The address of a runtime in the shape of ComfyUI."""
    with sample_runtime(
        *("comfyui", "--seconds-per-image", "0.02"),
        *("--fail-when", "broken", "--hang-when", "stuck"),
    ) as (url, _):
        yield url


@pytest.fixture
async def webui_client(webui: str) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=f"{webui}/sdapi/v1") as client:
        yield client


@pytest.fixture
async def comfy_client(comfy: str) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=comfy) as client:
        yield client


@pytest.fixture
def until() -> Until:
    """Asks again and again until the answer is yes, for a minute at most."""

    async def ask(question: Callable[[], Awaitable[bool]]) -> None:
        async with asyncio.timeout(60):
            while not await question():
                pass

    return ask


@pytest.fixture
def picture() -> Image.Image:
    return Image.new("RGB", (64, 48), "red")


@pytest.fixture
def picture_base64(picture: Image.Image) -> str:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


@pytest.fixture
def workflow() -> dict[str, Any]:
    """The default text-to-image workflow, smaller and with a seed that is not reused."""

    def node(kind: str, title: str, **inputs: object) -> dict[str, Any]:
        return {"class_type": kind, "inputs": inputs, "_meta": {"title": title}}

    return {
        "3": node(
            "KSampler",
            "KSampler",
            seed=secrets.randbelow(2**48),
            steps=4,
            cfg=8,
            sampler_name="euler",
            scheduler="normal",
            denoise=1,
            model=["4", 0],
            positive=["6", 0],
            negative=["7", 0],
            latent_image=["5", 0],
        ),
        "4": node(
            "CheckpointLoaderSimple",
            "Load Checkpoint",
            ckpt_name="v1-5-pruned-emaonly.safetensors",
        ),
        "5": node("EmptyLatentImage", "Empty Latent", width=128, height=96, batch_size=1),
        "6": node(
            "CLIPTextEncode", "CLIP Text Encode (Prompt)", text="a glass bottle", clip=["4", 1]
        ),
        "7": node("CLIPTextEncode", "Negative", text="text, watermark", clip=["4", 1]),
        "8": node("VAEDecode", "VAE Decode", samples=["3", 0], vae=["4", 2]),
        "9": node("SaveImage", "Save Image", filename_prefix="ComfyUI", images=["8", 0]),
    }
