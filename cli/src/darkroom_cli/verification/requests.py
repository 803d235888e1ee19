"""What each type of runtime is asked for, to see whether it works."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from contracts.kinds import RuntimeType
from darkroom_cli.pictures import START_SIZE, start_picture
from darkroom_cli.requests import comfyui_content, image_argument, sdwebui_content

PREFIX: Final = "verify"
PROMPT: Final = "A dog"
FACTOR: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One task, and the size of the images that it has to make if that is known."""

    runtime: str
    tasktype: str
    content: Mapping[str, Any] = field(repr=False)
    size: tuple[int, int] | None

    @property
    def id(self) -> str:
        """Its name."""
        return f"{PREFIX}-{self.runtime}-{self.tasktype}"

    def body(self) -> dict[str, Any]:
        """The body of v1alpha2."""
        metadata = {
            "id": self.id,
            "runtime": self.runtime,
            "tasktype": self.tasktype,
            "prefix": PREFIX,
            "context": {"verify": True},
        }
        return {"task": {"metadata": metadata, "content": self.content}}


def requests_of(
    runtime: Mapping[str, Any], *, size: int, checkpoint: str, image: str | None
) -> Iterator[Asked]:
    """The tasks for a runtime of `GET /v1/runtimes`; raises `CommandError`.

    `checkpoint` is for a runtime that takes any, `image` (a file or a URL) is started from
    instead of a picture of our own.
    """
    name, kind = runtime["name"], runtime["type"]
    square = (size, size)
    if kind == RuntimeType.INVOKEAI:
        content = _invokeai_content(size)
        yield Asked(runtime=name, tasktype="pipeline", content=content, size=square)
    elif kind == RuntimeType.COMFYUI:
        model = runtime["model_filename"] or checkpoint
        content = comfyui_content(PROMPT, size=size, seed=1, checkpoint=model)
        yield Asked(runtime=name, tasktype="pipeline", content=content, size=square)
    else:
        chosen = checkpoint if runtime["dynamic_model"] else None
        start = start_picture() if image is None else image_argument(image)
        for tasktype, begun in (("text-to-image", None), ("image-to-image", start)):
            content = sdwebui_content(PROMPT, size=size, seed=1, image=begun, checkpoint=chosen)
            yield Asked(runtime=name, tasktype=tasktype, content=content, size=square)
        yield _upscaling(name, start, START_SIZE if image is None else None)


def _upscaling(runtime: str, start: str, begun: tuple[int, int] | None) -> Asked:
    return Asked(
        runtime=runtime,
        tasktype="extra-single-image",
        content={
            "image": start,
            "upscaling_resize": FACTOR,
            "upscaler_1": "Lanczos",
            "resize_mode": 0,
        },
        size=None if begun is None else (FACTOR * begun[0], FACTOR * begun[1]),
    )


def _invokeai_content(size: int) -> dict[str, Any]:
    """A graph that needs no model: which there are, only InvokeAI's own records know.

    A white square is laid into a larger image, which is black or transparent around it.
    """
    white = {"r": 255, "g": 255, "b": 255, "a": 255}
    half = {"width": size // 2, "height": size // 2}
    square = {"id": "square", "type": "blank_image", **half, "color": white}
    around = {"id": "around", "type": "img_crop", "width": size, "height": size}
    edge = {
        "source": {"node_id": "square", "field": "image"},
        "destination": {"node_id": "around", "field": "image"},
    }
    nodes = {"square": {**square, "is_intermediate": True}, "around": around}
    return {"nodes": nodes, "edges": [edge]}
