"""The `info` that SD WebUI gives beside the images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sample_runtime import infotext
from sample_runtime.checkpoints import Checkpoint
from sample_runtime.sdwebui.listings import effective_sampler
from sample_runtime.sdwebui.requests import GenerationRequest

VERSION = "sample-1.10.1"


@dataclass(kw_only=True)
class RunInfo:
    """What was really used for a run: checkpoint, sampler and one seed for each picture."""

    request: GenerationRequest
    checkpoint: Checkpoint
    seeds: list[int]
    timestamp: str
    clip_skip: int
    has_grid: bool = False

    @property
    def sampler(self) -> str:
        """The sampler that was used, whatever was asked for."""
        return effective_sampler(self.request.sampler_name or self.request.sampler_index)

    def infotext(self, index: int) -> str:
        """The `parameters` text of the picture at `index`, a grid not counted."""
        request = self.request
        settings: dict[str, object] = {
            "Steps": request.steps,
            "Sampler": self.sampler,
            "Schedule type": request.scheduler or "Automatic",
            "CFG scale": request.cfg_scale,
            "Seed": self.seeds[index],
            "Size": f"{request.width}x{request.height}",
            "Model hash": self.checkpoint.short_hash,
            "Model": self.checkpoint.model_name,
        }
        if request.denoising_strength is not None:
            settings["Denoising strength"] = request.denoising_strength
        settings["Version"] = VERSION
        return infotext.write(request.prompt, request.negative_prompt, settings)

    def as_dict(self, images: int) -> dict[str, Any]:
        """The body of `info` for an answer with so many images."""
        grid = int(self.has_grid)
        texts = [self.infotext(index) for index in range(images - grid)]
        return {
            **self._prompts(),
            **self._settings(),
            "index_of_first_image": grid,
            "infotexts": texts[:grid] + texts,
            "job_timestamp": self.timestamp,
            "version": VERSION,
        }

    def _prompts(self) -> dict[str, Any]:
        request, count = self.request, len(self.seeds)
        subseed = max(request.subseed, 0)
        return {
            "prompt": request.prompt,
            "all_prompts": [request.prompt] * count,
            "negative_prompt": request.negative_prompt,
            "all_negative_prompts": [request.negative_prompt] * count,
            "seed": self.seeds[0],
            "all_seeds": self.seeds,
            "subseed": subseed,
            "all_subseeds": list(range(subseed, subseed + count)),
            "subseed_strength": request.subseed_strength,
            "styles": request.styles or [],
        }

    def _settings(self) -> dict[str, Any]:
        request = self.request
        return {
            "width": request.width,
            "height": request.height,
            "sampler_name": self.sampler,
            "cfg_scale": request.cfg_scale,
            "steps": request.steps,
            "batch_size": request.batch_size,
            "restore_faces": bool(request.restore_faces),
            "face_restoration_model": None,
            "sd_model_name": self.checkpoint.model_name,
            "sd_model_hash": self.checkpoint.short_hash,
            "sd_vae_name": None,
            "sd_vae_hash": None,
            "seed_resize_from_w": request.seed_resize_from_w,
            "seed_resize_from_h": request.seed_resize_from_h,
            "denoising_strength": request.denoising_strength,
            "extra_generation_params": {"Schedule type": request.scheduler or "Automatic"},
            "clip_skip": self.clip_skip,
            "is_using_inpainting_conditioning": False,
        }
