"""The routing keys among SD WebUI's `alwayson_scripts`, and taking them out."""

from __future__ import annotations

from typing import Annotated, Any, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from contracts.ids import name
from contracts.kinds import TaskType

ROUTING_KEYS: Final = frozenset(
    {
        "task",
        "id_task",
        "uid",
        "sd_model_checkpoint",
        "image_link",
        "save_dir",
        "sd_vae",
        "override_settings",
    }
)


class Scripts(BaseModel):
    """The routing keys of any form of request; scripts of SD WebUI lie beside them."""

    model_config = ConfigDict(extra="ignore")

    sd_model_checkpoint: Annotated[str, AfterValidator(name)] | None = Field(
        default=None, description="The checkpoint that shall do it."
    )
    image_link: str | None = Field(
        default=None, description="The input image of an image-to-image task."
    )
    sd_vae: str | None = Field(
        default=None, description="Becomes `override_settings.sd_vae` of the body."
    )
    override_settings: dict[str, Any] | None = Field(
        default=None, description="Moves to the body, where it wins over what is there."
    )


class WebuiBody(BaseModel):
    """As much of SD WebUI's own body as routing looks at."""

    model_config = ConfigDict(extra="allow")

    alwayson_scripts: Scripts | None = None
    override_settings: dict[str, Any] | None = None


def without_routing(
    body: dict[str, Any], scripts: Scripts, tasktype: TaskType
) -> dict[str, Any]:
    """The body as SD WebUI shall have it; `body` itself stays as it is."""
    kept = {k: v for k, v in body["alwayson_scripts"].items() if k not in ROUTING_KEYS}
    result = {**body, "alwayson_scripts": kept}
    moved = dict(scripts.override_settings or {})
    if scripts.sd_vae is not None:
        moved["sd_vae"] = scripts.sd_vae
    if moved:
        result["override_settings"] = {**(body.get("override_settings") or {}), **moved}
    if scripts.image_link is not None and tasktype is TaskType.IMAGE_TO_IMAGE:
        result["init_images"] = [scripts.image_link]
    return result
