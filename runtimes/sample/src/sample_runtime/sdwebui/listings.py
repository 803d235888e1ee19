"""The names SD WebUI offers: samplers, schedulers, upscalers and scripts."""

from __future__ import annotations

from fastapi import HTTPException

SAMPLERS = (
    "DPM++ 2M",
    "DPM++ SDE",
    "DPM++ 2M SDE",
    "DPM++ 2M SDE Heun",
    "DPM++ 2S a",
    "DPM++ 3M SDE",
    "Euler a",
    "Euler",
    "LMS",
    "Heun",
    "DPM2",
    "DPM2 a",
    "DPM fast",
    "DPM adaptive",
    "Restart",
    "DDIM",
    "DDIM CFG++",
    "PLMS",
    "UniPC",
    "LCM",
)
SCHEDULERS = (
    "Automatic",
    "Uniform",
    "Karras",
    "Exponential",
    "Polyexponential",
    "SGM Uniform",
    "KL Optimal",
    "Align Your Steps",
    "Simple",
    "Normal",
    "DDIM",
    "Beta",
)
UPSCALERS = (
    "None",
    "Lanczos",
    "Nearest",
    "DAT x2",
    "DAT x3",
    "DAT x4",
    "ESRGAN_4x",
    "LDSR",
    "R-ESRGAN 4x+",
    "R-ESRGAN 4x+ Anime6B",
    "ScuNET",
    "ScuNET PSNR",
    "SwinIR 4x",
)
_ALWAYS_ON = (
    "comments",
    "extra options",
    "hypertile",
    "refiner",
    "sampler",
    "seed",
    "soft inpainting",
)
_SELECTABLE = ("prompt matrix", "prompts from file or textbox", "x/y/z plot")
_IMAGE_ONLY = (
    "img2img alternative test",
    "loopback",
    "outpainting mk2",
    "poor man's outpainting",
    "sd upscale",
)
SCRIPTS = {
    "txt2img": [*_SELECTABLE, *_ALWAYS_ON],
    "img2img": [*_IMAGE_ONLY, *_SELECTABLE, *_ALWAYS_ON],
}


def effective_sampler(name: str | None) -> str:
    """The sampler that is used: the first one, silently, for an unknown name."""
    wanted = name or ""
    for scheduler in SCHEDULERS:
        wanted = wanted.removesuffix(f" {scheduler}")
    return wanted if wanted in SAMPLERS else SAMPLERS[0]


def check_scripts(tab: str, script_name: str | None, always_on: dict[str, object]) -> None:
    """Raise HTTPException 422 for a script that `tab` does not have."""
    for name in [script_name or "", *always_on]:
        if name and name.lower() not in SCRIPTS[tab]:
            raise HTTPException(422, f"Script '{name}' not found")
    if any(name.lower() not in _ALWAYS_ON for name in always_on):
        raise HTTPException(
            422, "Cannot have a selectable script in the always on scripts params"
        )
