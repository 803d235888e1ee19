"""What a few words on the command line mean to each type of runtime."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any, Final

from darkroom_cli.errors import CommandError

SAMPLE_CHECKPOINT: Final = "v1-5-pruned-emaonly.safetensors"
STEPS = 16
NEGATIVE = "text, watermark"
STRENGTH: Final = 0.7  # how much of an image is made anew


def sdwebui_content(
    prompt: str,
    *,
    size: int,
    seed: int,
    image: str | None,
    checkpoint: str | None = None,
    steps: int = STEPS,
) -> dict[str, Any]:
    """SD WebUI's body of a text-to-image or, with an image, an image-to-image task."""
    content: dict[str, Any] = {
        "prompt": prompt,
        "steps": steps,
        "width": size,
        "height": size,
        "seed": seed,
    }
    if image is not None:
        content["init_images"] = [image]
    if checkpoint is not None:
        content["alwayson_scripts"] = {"sd_model_checkpoint": checkpoint}
    return content


def comfyui_content(
    prompt: str,
    *,
    size: int,
    seed: int,
    checkpoint: str,
    steps: int = STEPS,
    cfg: float = 8,
    image: str | None = None,
) -> dict[str, Any]:
    """ComfyUI's own text-to-image workflow, in API form; with an image, image-to-image."""
    latent = {
        "5": {
            "class_type": "EmptyLatentImage",
            "inputs": {"width": size, "height": size, "batch_size": 1},
        }
    }
    if image is not None:
        latent = {
            "5": {
                "class_type": "VAEEncode",
                "inputs": {"pixels": ["10", 0], "vae": ["4", 2]},
            },
            "10": {"class_type": "LoadImage", "inputs": {"image": image}},
        }
    return {
        "prompt": {
            "3": {
                "class_type": "KSampler",
                "inputs": {
                    "seed": max(seed, 0),
                    "steps": steps,
                    "cfg": cfg,
                    "sampler_name": "euler",
                    "scheduler": "normal",
                    "denoise": 1 if image is None else STRENGTH,
                    "model": ["4", 0],
                    "positive": ["6", 0],
                    "negative": ["7", 0],
                    "latent_image": ["5", 0],
                },
            },
            "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": checkpoint}},
            **latent,
            "6": {"class_type": "CLIPTextEncode", "inputs": {"text": prompt, "clip": ["4", 1]}},
            "7": {
                "class_type": "CLIPTextEncode",
                "inputs": {"text": NEGATIVE, "clip": ["4", 1]},
            },
            "8": {"class_type": "VAEDecode", "inputs": {"samples": ["3", 0], "vae": ["4", 2]}},
            "9": {
                "class_type": "SaveImage",
                "inputs": {"filename_prefix": "darkroom", "images": ["8", 0]},
            },
        }
    }


def invokeai_content(
    prompt: str,
    *,
    size: int,
    seed: int,
    model: dict[str, str],
    steps: int,
    cfg: float,
    image: str | None = None,
) -> dict[str, Any]:
    """A graph of InvokeAI: text-to-image or, with an image, image-to-image.

    `model` has the `name`, `base` and `type` that InvokeAI knows it by.
    """
    denoise = {"steps": steps, "cfg_scale": cfg, "scheduler": "euler"}
    nodes: dict[str, dict[str, Any]] = {
        "model": {"type": "main_model_loader", "model": model},
        "text": {"type": "compel", "prompt": prompt},
        "none": {"type": "compel", "prompt": NEGATIVE},
        "noise": {"type": "noise", "seed": seed, "width": size, "height": size},
        "denoise": {"type": "denoise_latents", "denoising_start": 0.0, **denoise},
        "image": {"type": "l2i"},
    }
    edges = [
        ("model", "clip", "text", "clip"),
        ("model", "clip", "none", "clip"),
        ("model", "unet", "denoise", "unet"),
        ("model", "vae", "image", "vae"),
        ("text", "conditioning", "denoise", "positive_conditioning"),
        ("none", "conditioning", "denoise", "negative_conditioning"),
        ("noise", "noise", "denoise", "noise"),
        ("denoise", "latents", "image", "latents"),
    ]
    if image is not None:
        nodes["denoise"]["denoising_start"] = 1 - STRENGTH
        nodes["begin"] = {"type": "i2l", "image": {"image_name": image}}
        edges += [
            ("model", "vae", "begin", "vae"),
            ("begin", "latents", "denoise", "latents"),
        ]
    return {
        "id": "darkroom",
        "nodes": {name: {"id": name, **node} for name, node in nodes.items()},
        "edges": [
            {
                "source": {"node_id": source, "field": output},
                "destination": {"node_id": destination, "field": field},
            }
            for source, output, destination, field in edges
        ],
    }


def image_argument(image: str) -> str:
    """A URL as it is and a file as base64; raises `CommandError`."""
    if image.startswith(("http://", "https://", "s3://")):
        return image
    try:
        return base64.b64encode(Path(image).read_bytes()).decode()
    except OSError as error:
        raise CommandError(f"cannot read {image}: {error.strerror}") from error
