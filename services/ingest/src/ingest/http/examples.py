"""Requests and answers that the OpenAPI document shows."""

from __future__ import annotations

from typing import Any, Final

_CHECKPOINT: Final = "v1-5-pruned-emaonly.safetensors"
_CAT: Final = (
    "https://huggingface.co/datasets/huggingface/documentation-images"
    "/resolve/main/diffusers/cat.png"
)
_WIZARD: Final = (
    "cat wizard, gandalf, lord of the rings, detailed, fantasy, cute, adorable, "
    "Pixar, Disney, 8k"
)
_SIZE: Final = {"steps": 16, "width": 512, "height": 512}
_GRAPH: Final = {
    "3": {
        "class_type": "KSampler",
        "inputs": {
            "seed": 7,
            "steps": 16,
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
    "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": _CHECKPOINT}},
    "5": {
        "class_type": "EmptyLatentImage",
        "inputs": {"width": 512, "height": 512, "batch_size": 1},
    },
    "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "A dog", "clip": ["4", 1]}},
    "7": {
        "class_type": "CLIPTextEncode",
        "inputs": {"text": "text, watermark", "clip": ["4", 1]},
    },
    "8": {"class_type": "VAEDecode", "inputs": {"samples": ["3", 0], "vae": ["4", 2]}},
    "9": {
        "class_type": "SaveImage",
        "inputs": {"filename_prefix": "darkroom", "images": ["8", 0]},
    },
}

V1ALPHA2_REQUESTS: Final[dict[str, dict[str, Any]]] = {
    "text-to-image": {
        "task": {
            "metadata": {
                "id": "test-t2i",
                "runtime": "sdruntime",
                "tasktype": "text-to-image",
                "prefix": "output",
                "context": "",
            },
            "content": {"alwayson_scripts": {}, "prompt": "A dog", **_SIZE},
        }
    },
    "image-to-image": {
        "task": {
            "metadata": {
                "id": "test-i2i",
                "runtime": "sdruntime",
                "tasktype": "image-to-image",
                "prefix": "output",
                "context": "",
            },
            "content": {
                "alwayson_scripts": {},
                "prompt": _WIZARD,
                **_SIZE,
                "init_images": [_CAT],
            },
        }
    },
    "extra-single-image": {
        "task": {
            "metadata": {
                "id": "test-extra",
                "runtime": "sdruntime",
                "tasktype": "extra-single-image",
                "prefix": "output",
                "context": "",
            },
            "content": {
                "resize_mode": 0,
                "show_extras_results": False,
                "gfpgan_visibility": 0,
                "codeformer_visibility": 0,
                "codeformer_weight": 0,
                "upscaling_resize": 4,
                "upscaling_resize_w": 512,
                "upscaling_resize_h": 512,
                "upscaling_crop": False,
                "upscaler_1": "R-ESRGAN 4x+",
                "upscaler_2": "None",
                "extras_upscaler_2_visibility": 0,
                "upscale_first": False,
                "image": _CAT,
            },
        }
    },
    "dynamic-model": {
        "task": {
            "metadata": {
                "id": "test-dyn",
                "runtime": "sddynamic",
                "tasktype": "text-to-image",
                "prefix": "output",
                "context": {"abc": 123},
            },
            "content": {
                "alwayson_scripts": {"sd_model_checkpoint": _CHECKPOINT},
                "prompt": "A dog",
                **_SIZE,
            },
        }
    },
    "pipeline": {
        "task": {
            "metadata": {
                "id": "test-pipeline",
                "runtime": "comfyruntime",
                "tasktype": "pipeline",
                "prefix": "output",
                "context": {"abc": 123},
            },
            "content": {"prompt": _GRAPH},
        }
    },
}

V1ALPHA1_REQUESTS: Final[dict[str, dict[str, Any]]] = {
    "text-to-image": {
        "alwayson_scripts": {
            "task": "text-to-image",
            "sd_model_checkpoint": _CHECKPOINT,
            "id_task": "test-t2i",
            "save_dir": "outputs",
        },
        "prompt": "A dog",
        **_SIZE,
    },
    "image-to-image": {
        "alwayson_scripts": {
            "task": "image-to-image",
            "image_link": _CAT,
            "id_task": "test-i2i",
            "sd_model_checkpoint": _CHECKPOINT,
        },
        "prompt": _WIZARD,
        **_SIZE,
    },
}

V1ALPHA2_ANSWER: Final[dict[str, Any]] = {
    "id_task": "test-t2i",
    "id": "test-t2i",
    "runtime": "sdruntime",
    "output_location": "s3://outputbucket/output/test-t2i",
    "uid": "01JD0000000000000000000000",
}

V1ALPHA1_ANSWER: Final[dict[str, Any]] = {
    "id_task": "test-t2i",
    "sd_model_checkpoint": _CHECKPOINT,
    "output_location": "s3://outputbucket/outputs/test-t2i",
    "uid": "01JD0000000000000000000000",
}
