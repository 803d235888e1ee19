"""The bodies SD WebUI accepts. Unknown fields are ignored, wrong types refused."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field


class GenerationRequest(BaseModel):
    """What text-to-image and image-to-image share; sizes are pixels."""

    prompt: str = ""
    negative_prompt: str = ""
    styles: list[str] | None = None
    seed: int = -1
    subseed: int = -1
    subseed_strength: float = 0
    seed_resize_from_h: int = -1
    seed_resize_from_w: int = -1
    sampler_name: str | None = None
    sampler_index: str | None = "Euler"
    scheduler: str | None = None
    batch_size: int = Field(default=1, ge=1, le=64)
    n_iter: int = Field(default=1, ge=1, le=64)
    steps: int = Field(default=50, ge=1, le=1000)
    cfg_scale: float = 7.0
    width: int = 512
    height: int = 512
    restore_faces: bool | None = None
    tiling: bool | None = None
    do_not_save_samples: bool = False
    do_not_save_grid: bool = False
    eta: float | None = None
    denoising_strength: float | None = None
    override_settings: dict[str, Any] | None = None
    override_settings_restore_afterwards: bool = True
    script_name: str | None = None
    script_args: list[Any] = []
    send_images: bool = True
    save_images: bool = False
    alwayson_scripts: dict[str, Any] = {}
    force_task_id: str | None = None


class TextToImageRequest(GenerationRequest):
    """Text-to-image, with the second pass that makes pictures larger."""

    enable_hr: bool = False
    hr_scale: float = 2.0
    hr_upscaler: str | None = None
    hr_second_pass_steps: int = 0
    hr_resize_x: int = 0
    hr_resize_y: int = 0


class ImageToImageRequest(GenerationRequest):
    """Image-to-image; the images and the mask are base64 with or without a data prefix."""

    init_images: list[str] | None = None
    mask: str | None = None
    resize_mode: int = 0
    include_init_images: bool = False


class ExtrasRequest(BaseModel):
    """Upscaling: by a factor (mode 0) or to cover a size in pixels (mode 1)."""

    resize_mode: Literal[0, 1] = 0
    show_extras_results: bool = True
    gfpgan_visibility: float = Field(default=0, ge=0, le=1)
    codeformer_visibility: float = Field(default=0, ge=0, le=1)
    codeformer_weight: float = Field(default=0, ge=0, le=1)
    upscaling_resize: float = Field(default=2, gt=0)
    upscaling_resize_w: int = Field(default=512, ge=1)
    upscaling_resize_h: int = Field(default=512, ge=1)
    upscaling_crop: bool = True
    upscaler_1: str = "None"
    upscaler_2: str = "None"
    extras_upscaler_2_visibility: float = Field(default=0, ge=0, le=1)
    upscale_first: bool = False


class ExtrasSingleRequest(ExtrasRequest):
    """Upscaling of one base64 image."""

    image: str = ""


class NamedImage(BaseModel):
    """One image of a batch."""

    data: str
    name: str


class ExtrasBatchRequest(ExtrasRequest):
    """Upscaling of several base64 images."""

    image_list: list[NamedImage] = Field(alias="imageList")


class PngInfoRequest(BaseModel):
    """A PNG whose text is wanted."""

    image: str
