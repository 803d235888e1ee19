"""What a few words on the command line mean to each type of runtime."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any, Final

from darkroom_cli.errors import CommandError

SAMPLE_CHECKPOINT: Final = "v1-5-pruned-emaonly.safetensors"
STEPS = 16
NEGATIVE = "text, watermark"


def sdwebui_content(
    prompt: str, *, size: int, seed: int, image: str | None, checkpoint: str | None = None
) -> dict[str, Any]:
    """SD WebUI's body of a text-to-image or, with an image, an image-to-image task."""
    content: dict[str, Any] = {
        "prompt": prompt,
        "steps": STEPS,
        "width": size,
        "height": size,
        "seed": seed,
    }
    if image is not None:
        content["init_images"] = [image]
    if checkpoint is not None:
        content["alwayson_scripts"] = {"sd_model_checkpoint": checkpoint}
    return content


def comfyui_content(prompt: str, *, size: int, seed: int, checkpoint: str) -> dict[str, Any]:
    """ComfyUI's own text-to-image workflow, in API form."""
    return {
        "prompt": {
            "3": {
                "class_type": "KSampler",
                "inputs": {
                    "seed": max(seed, 0),
                    "steps": STEPS,
                    "cfg": 8,
                    "sampler_name": "euler",
                    "scheduler": "normal",
                    "denoise": 1,
                    "model": ["4", 0],
                    "positive": ["6", 0],
                    "negative": ["7", 0],
                    "latent_image": ["5", 0],
                },
            },
            "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": checkpoint}},
            "5": {
                "class_type": "EmptyLatentImage",
                "inputs": {"width": size, "height": size, "batch_size": 1},
            },
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


def image_argument(image: str) -> str:
    """A URL as it is and a file as base64; raises `CommandError`."""
    if image.startswith(("http://", "https://", "s3://")):
        return image
    try:
        return base64.b64encode(Path(image).read_bytes()).decode()
    except OSError as error:
        raise CommandError(f"cannot read {image}: {error.strerror}") from error
