"""The nodes of the standard workflows."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from sample_runtime.comfyui import painting, storing, uploads
from sample_runtime.comfyui.nodes import Combo, Input, Node, Place

SAMPLERS = [
    "euler",
    "euler_ancestral",
    "heun",
    "dpm_2",
    "dpm_2_ancestral",
    "lms",
    "dpm_fast",
    "dpm_adaptive",
    "dpmpp_2s_ancestral",
    "dpmpp_sde",
    "dpmpp_2m",
    "dpmpp_2m_sde",
    "dpmpp_3m_sde",
    "lcm",
    "ddim",
    "uni_pc",
]
SCHEDULERS = [
    "simple",
    "sgm_uniform",
    "karras",
    "exponential",
    "ddim_uniform",
    "beta",
    "normal",
    "linear_quadratic",
    "kl_optimal",
]
METHODS = ["nearest-exact", "bilinear", "area", "bicubic", "lanczos"]
CROPS = ["disabled", "center"]
WEBP_METHODS = ["default", "fastest", "slowest"]
_LARGEST_SIDE = 16384


def _one_of(names: list[str]) -> Callable[[Place], list[str]]:
    return lambda _: names


def _checkpoints(place: Place) -> list[str]:
    place.catalog.refresh()
    return [one.name for one in place.catalog.checkpoints]


def _integer(default: int, least: int, most: int) -> Input:
    return Input("INT", {"default": default, "min": least, "max": most})


def _number(default: float, least: float, most: float) -> Input:
    return Input("FLOAT", {"default": default, "min": least, "max": most})


_MODEL, _CLIP, _VAE = Input("MODEL"), Input("CLIP"), Input("VAE")
_CONDITIONING, _LATENT, _IMAGE = Input("CONDITIONING"), Input("LATENT"), Input("IMAGE")
_SIDE_3D = Input("INT", {"default": 1024, "min": 1, "max": 4096, "step": 1})
_PREFIX = Input("STRING", {"default": "ComfyUI"})

_PAINTING = {
    "CheckpointLoaderSimple": Node(
        run=painting.load_checkpoint,
        category="loaders",
        inputs={"ckpt_name": Input(_checkpoints)},
        outputs=("MODEL", "CLIP", "VAE"),
    ),
    "CLIPTextEncode": Node(
        run=painting.encode_text,
        category="conditioning",
        inputs={"text": Input("STRING", {"multiline": True}), "clip": _CLIP},
        outputs=("CONDITIONING",),
    ),
    "EmptyLatentImage": Node(
        run=painting.empty_latent,
        category="latent",
        inputs={
            "width": _integer(512, 16, _LARGEST_SIDE),
            "height": _integer(512, 16, _LARGEST_SIDE),
            "batch_size": _integer(1, 1, 4096),
        },
        outputs=("LATENT",),
    ),
    "KSampler": Node(
        run=painting.sample,
        category="sampling",
        inputs={
            "model": _MODEL,
            "seed": _integer(0, 0, 2**64 - 1),
            "steps": _integer(20, 1, 10000),
            "cfg": _number(8.0, 0.0, 100.0),
            "sampler_name": Input(_one_of(SAMPLERS)),
            "scheduler": Input(_one_of(SCHEDULERS)),
            "positive": _CONDITIONING,
            "negative": _CONDITIONING,
            "latent_image": _LATENT,
            "denoise": _number(1.0, 0.0, 1.0),
        },
        outputs=("LATENT",),
    ),
    "VAEDecode": Node(
        run=painting.decode,
        category="latent",
        inputs={"samples": _LATENT, "vae": _VAE},
        outputs=("IMAGE",),
    ),
    "VAEEncode": Node(
        run=painting.encode,
        category="latent",
        inputs={"pixels": _IMAGE, "vae": _VAE},
        outputs=("LATENT",),
    ),
    "ImageScale": Node(
        run=painting.scale,
        category="image/upscaling",
        inputs={
            "image": _IMAGE,
            "upscale_method": Input(_one_of(METHODS)),
            "width": _integer(512, 0, _LARGEST_SIDE),
            "height": _integer(512, 0, _LARGEST_SIDE),
            "crop": Input(_one_of(CROPS)),
        },
        outputs=("IMAGE",),
    ),
}

# As `/object_info` of ComfyUI 0.3.64 shows them; LoadAudio as its comfy_extras/nodes_audio.py
# says, because that server has it only with torchaudio.
_LOADING = {
    "LoadImage": Node(
        run=uploads.load_image,
        category="image",
        inputs={
            "image": Input(lambda place: place.folders.inputs("image"), {"image_upload": True})
        },
        outputs=("IMAGE", "MASK"),
        custom=frozenset({"image"}),
        check=uploads.check_of("image", "image"),
        fingerprint=uploads.fingerprint_of("image"),
    ),
    "LoadAudio": Node(
        run=uploads.load_audio,
        category="audio",
        inputs={
            "audio": Input(
                lambda place: place.folders.inputs("audio", "video"), {"audio_upload": True}
            )
        },
        outputs=("AUDIO",),
        custom=frozenset({"audio"}),
        check=uploads.check_of("audio", "audio"),
        fingerprint=uploads.fingerprint_of("audio"),
    ),
    "LoadVideo": Node(
        run=uploads.load_video,
        category="image/video",
        inputs={
            "file": Combo(lambda place: place.folders.inputs("video"), {"video_upload": True})
        },
        outputs=("VIDEO",),
        custom=frozenset({"file"}),
        check=uploads.check_of("file", "video"),
        fingerprint=uploads.fingerprint_of("file"),
    ),
    "Load3D": Node(
        run=uploads.load_3d,
        category="3d",
        inputs={
            "model_file": Input(lambda place: place.folders.models(), {"file_upload": True}),
            "image": Input("LOAD_3D"),
            "width": _SIDE_3D,
            "height": _SIDE_3D,
        },
        outputs=("IMAGE", "MASK", "STRING", "IMAGE", "IMAGE", "LOAD3D_CAMERA", "VIDEO"),
    ),
}

_STORING = {
    "SaveImage": Node(
        run=storing.save_images,
        category="image",
        inputs={"images": _IMAGE, "filename_prefix": _PREFIX},
        is_output=True,
    ),
    "PreviewImage": Node(
        run=storing.preview_images,
        category="image",
        inputs={"images": _IMAGE},
        is_output=True,
    ),
    "SaveAnimatedWEBP": Node(
        run=storing.save_animated_webp,
        category="image/animation",
        inputs={
            "images": _IMAGE,
            "filename_prefix": _PREFIX,
            "fps": _number(6.0, 0.01, 1000.0),
            "lossless": Input("BOOLEAN", {"default": True}),
            "quality": _integer(80, 0, 100),
            "method": Input(_one_of(WEBP_METHODS)),
        },
        is_output=True,
    ),
    "PreviewAny": Node(
        run=storing.preview_any,
        category="utils",
        inputs={"source": Input("*")},
        is_output=True,
    ),
}

NODES: Mapping[str, Node] = {**_PAINTING, **_LOADING, **_STORING}
