"""The options of SD WebUI, the loaded checkpoint among them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sample_runtime.checkpoints import Checkpoint, CheckpointCatalog

_CHECKPOINT = "sd_model_checkpoint"
_DEFAULTS: dict[str, Any] = {
    "samples_save": True,
    "samples_format": "png",
    "samples_filename_pattern": "",
    "grid_save": True,
    "grid_format": "png",
    "return_grid": True,
    "enable_pnginfo": True,
    "jpeg_quality": 80,
    "outdir_samples": "",
    "outdir_txt2img_samples": "outputs/txt2img-images",
    "outdir_img2img_samples": "outputs/img2img-images",
    "face_restoration": False,
    "face_restoration_model": "CodeFormer",
    "code_former_weight": 0.5,
    "upscaler_for_img2img": None,
    "sd_vae": "Automatic",
    "sd_unet": "Automatic",
    "sd_lora": "None",
    "CLIP_stop_at_last_layers": 1,
    "randn_source": "GPU",
    "tiling": False,
    "img2img_color_correction": False,
    "initial_noise_multiplier": 1.0,
    "eta_ddim": 0.0,
    "eta_ancestral": 1.0,
    "eta_noise_seed_delta": 0,
    "live_previews_enable": True,
    "show_progress_every_n_steps": 10,
    "sd_checkpoints_limit": 1,
    "disable_mmap_load_safetensors": False,
}


class Options:
    """Option values by key; a key that SD WebUI has not is refused with KeyError."""

    def __init__(self, catalog: CheckpointCatalog) -> None:
        self._catalog = catalog
        self._values: dict[str, Any] = dict(_DEFAULTS)
        self._loaded: Checkpoint | None = next(iter(catalog.checkpoints), None)

    def __getitem__(self, key: str) -> Any:
        return self._values[key]

    def as_dict(self) -> dict[str, Any]:
        """All options, the checkpoint by its title."""
        loaded = self._loaded
        return {
            **self._values,
            _CHECKPOINT: loaded.title if loaded else None,
            "sd_checkpoint_hash": loaded.sha256 if loaded else "",
        }

    def update(self, wanted: dict[str, Any]) -> None:
        """Set options; raises RuntimeError for an unknown checkpoint before setting any."""
        name = wanted.get(_CHECKPOINT)
        if name is not None and self._catalog.find(name) is None:
            raise RuntimeError(f"model {name!r} not found")
        self._set(wanted)

    @contextmanager
    def overridden(self, wanted: dict[str, Any], *, restore: bool) -> Iterator[None]:
        """Set options for one call; an unknown checkpoint is passed over in silence."""
        values = {key: self._values[key] for key in wanted if key in self._values}
        loaded = self._loaded
        try:
            self._set(wanted)
            yield
        finally:
            if restore:
                self._values.update(values)
            if restore and _CHECKPOINT in wanted:
                self._loaded = loaded

    def loaded_checkpoint(self) -> Checkpoint:
        """The loaded checkpoint, or the first, loaded now; FileNotFoundError without one."""
        if self._loaded is None:
            if not self._catalog.checkpoints:
                raise FileNotFoundError("No checkpoints found. Can't run without a checkpoint.")
            self._loaded = self._catalog.checkpoints[0]
        return self._loaded

    def _set(self, wanted: dict[str, Any]) -> None:
        for key, value in wanted.items():
            if key == _CHECKPOINT:
                self._loaded = self._catalog.find(value) or self._loaded
            elif key != "sd_checkpoint_hash":
                self._set_plain(key, value)

    def _set_plain(self, key: str, value: Any) -> None:
        if key not in self._values:
            raise KeyError(key)
        self._values[key] = value
