"""Kinds of runtimes and tasks, and which runtime takes which task."""

from __future__ import annotations

from enum import StrEnum


class RuntimeType(StrEnum):
    """The Stable Diffusion servers that Darkroom can drive."""

    SDWEBUI = "sdwebui"
    COMFYUI = "comfyui"
    INVOKEAI = "invokeai"


class TaskType(StrEnum):
    """What can be asked of a runtime."""

    TEXT_TO_IMAGE = "text-to-image"
    IMAGE_TO_IMAGE = "image-to-image"
    EXTRA_SINGLE_IMAGE = "extra-single-image"
    EXTRA_BATCH_IMAGES = "extra-batch-images"
    PIPELINE = "pipeline"

    @classmethod
    def _missing_(cls, value: object) -> TaskType | None:
        # The original solution's agent takes this name, its guide the other.
        return cls.EXTRA_BATCH_IMAGES if value == "extra-batch-image" else None


class Extra(StrEnum):
    """What a callback has besides the usual, if it is asked for."""

    COST = "cost"


class Previews(StrEnum):
    """What becomes of a runtime's previews."""

    KEEP = "keep"  # they are results


TASKTYPES: dict[RuntimeType, tuple[TaskType, ...]] = {
    RuntimeType.SDWEBUI: (
        TaskType.TEXT_TO_IMAGE,
        TaskType.IMAGE_TO_IMAGE,
        TaskType.EXTRA_SINGLE_IMAGE,
        TaskType.EXTRA_BATCH_IMAGES,
    ),
    RuntimeType.COMFYUI: (TaskType.PIPELINE,),
    RuntimeType.INVOKEAI: (TaskType.PIPELINE,),
}
