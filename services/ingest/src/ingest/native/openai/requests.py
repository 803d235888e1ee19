"""OpenAI's requests for images, checked, and what SD WebUI is asked for them."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

MOST_IMAGES: Final = 10  # as OpenAI has it
_LARGEST_SIDE: Final = 4096
_SIZE: Final = re.compile(r"([1-9][0-9]{0,3})x([1-9][0-9]{0,3})")


def _size(text: str) -> str:
    if text != "auto":
        found = _SIZE.fullmatch(text)
        if not found or max(int(found[1]), int(found[2])) > _LARGEST_SIDE:
            raise ValueError(f"must be WIDTHxHEIGHT, up to {_LARGEST_SIDE} each, or auto")
    return text


class Own(BaseModel):
    """What OpenAI's API has no field for: `extra_body={"darkroom": {...}}`."""

    model_config = ConfigDict(extra="forbid")

    steps: int | None = None
    cfg: float | None = None
    seed: int | None = None
    negative_prompt: str | None = None
    denoising_strength: float | None = None


class ImagesRequest(BaseModel):
    """Of `images/generations`, and of `images/edits` without its files.

    Fields that only OpenAI's own models understand are ignored, as it does for others.
    """

    model_config = ConfigDict(extra="ignore")

    prompt: Annotated[str, Field(min_length=1, max_length=32_000)]
    model: Annotated[str, Field(max_length=512)] = ""
    n: Annotated[int, Field(ge=1, le=MOST_IMAGES)] = 1
    size: Annotated[str, AfterValidator(_size)] = "auto"
    response_format: Literal["b64_json", "url"] = "b64_json"
    output_format: Literal["png"] = "png"
    stream: bool = False
    darkroom: Own = Own()

    @property
    def runtime(self) -> str:
        """The runtime that the model names; empty means the only one."""
        return self.model.partition("/")[0]

    @property
    def checkpoint(self) -> str:
        """The checkpoint that the model names; empty means the runtime's own."""
        return self.model.partition("/")[2]

    def for_sdwebui(self) -> dict[str, Any]:
        """The body of SD WebUI for it."""
        own = self.darkroom
        body: dict[str, Any] = {"prompt": self.prompt, "n_iter": self.n}
        if self.size != "auto":
            body["width"], body["height"] = map(int, self.size.split("x"))
        named = {
            "steps": own.steps,
            "cfg_scale": own.cfg,
            "seed": own.seed,
            "negative_prompt": own.negative_prompt,
            "denoising_strength": own.denoising_strength,
        }
        body |= {name: value for name, value in named.items() if value is not None}
        if self.checkpoint:
            body["override_settings"] = {"sd_model_checkpoint": self.checkpoint}
        return body
