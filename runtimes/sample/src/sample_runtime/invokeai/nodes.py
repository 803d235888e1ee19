"""The nodes: a few of InvokeAI's that work on images and need no model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from PIL import Image, ImageFilter

from sample_runtime import drawing
from sample_runtime.invokeai.images import ImageStore
from sample_runtime.invokeai.models import ModelStore

Values = Mapping[str, Any]
_NEEDED: Final = object()


class MissingInputException(Exception):  # noqa: N818  # the server's own name for it
    """A node ran without a value that it needs."""


@dataclass(frozen=True, kw_only=True)
class Stock:
    """What the nodes of a server work with."""

    images: ImageStore = field(default_factory=ImageStore)
    models: ModelStore = field(default_factory=ModelStore)


@dataclass(frozen=True, kw_only=True)
class NodeType:
    """What a node takes, with defaults, what of its result others may use, and what it does."""

    takes: Mapping[str, Any]
    gives: tuple[str, ...]
    run: Callable[[Stock, Values], dict[str, Any]]

    def values(self, kind: str, given: Values) -> dict[str, Any]:
        """Every value of a node; raises `MissingInputException`."""
        values = {**self.takes, **given}
        for name in self.takes:
            if values[name] is _NEEDED or values[name] is None:
                raise MissingInputException(f"Node of type {kind} is missing field {name}")
        return values


def _image(stock: Stock, values: Values, picture: Image.Image) -> dict[str, Any]:
    intermediate = bool(values.get("is_intermediate"))
    about = stock.images.save(picture, category="general", is_intermediate=intermediate).about
    return _image_output(about["image_name"], picture)


def _image_output(name: str, picture: Image.Image) -> dict[str, Any]:
    return {
        "image": {"image_name": name},
        "width": picture.width,
        "height": picture.height,
        "type": "image_output",
    }


def _blank(stock: Stock, values: Values) -> dict[str, Any]:
    drawing.check_size(values["width"], values["height"])
    colour = values["color"]
    fill = (colour["r"], colour["g"], colour["b"], colour["a"])
    size = (values["width"], values["height"])
    return _image(stock, values, Image.new("RGBA", size, fill).convert(values["mode"]))


def _resize(stock: Stock, values: Values) -> dict[str, Any]:
    drawing.check_size(values["width"], values["height"])
    return _image(stock, values, _source(stock, values).resize(_size(values)))


def _crop(stock: Stock, values: Values) -> dict[str, Any]:
    x, y, (width, height) = values["x"], values["y"], _size(values)
    drawing.check_size(width, height)
    return _image(stock, values, _source(stock, values).crop((x, y, x + width, y + height)))


def _blur(stock: Stock, values: Values) -> dict[str, Any]:
    kinds = {"gaussian": ImageFilter.GaussianBlur, "box": ImageFilter.BoxBlur}
    blurred = _source(stock, values).filter(kinds[values["blur_type"]](values["radius"]))
    return _image(stock, values, blurred)


def _watermark(stock: Stock, values: Values) -> dict[str, Any]:
    return _image(stock, values, drawing.write_on(_source(stock, values), values["text"]))


def _show(stock: Stock, values: Values) -> dict[str, Any]:
    return _image_output(values["image"]["image_name"], _source(stock, values))


def _string(_: Stock, values: Values) -> dict[str, Any]:
    return {"value": values["value"], "type": "string_output"}


def _lora(stock: Stock, values: Values) -> dict[str, Any]:
    key = values["lora"]["key"]
    if key not in stock.models.models:
        raise ValueError(f"Unknown lora: {key}!")
    return {"unet": None, "clip": None, "type": "lora_loader_output"}


def _source(stock: Stock, values: Values) -> Image.Image:
    return stock.images.open(str(values["image"]["image_name"]))


def _size(values: Values) -> tuple[int, int]:
    return values["width"], values["height"]


_IMAGE: Final = ("image", "width", "height")
_BLACK: Final = {"r": 0, "g": 0, "b": 0, "a": 255}
_SIDES: Final = {"width": 512, "height": 512}

NODES: Final[dict[str, NodeType]] = {
    "blank_image": NodeType(
        takes={**_SIDES, "mode": "RGB", "color": _BLACK}, gives=_IMAGE, run=_blank
    ),
    "img_resize": NodeType(
        takes={"image": _NEEDED, **_SIDES, "resample_mode": "bicubic"},
        gives=_IMAGE,
        run=_resize,
    ),
    "img_crop": NodeType(
        takes={"image": _NEEDED, "x": 0, "y": 0, **_SIDES}, gives=_IMAGE, run=_crop
    ),
    "img_blur": NodeType(
        takes={"image": _NEEDED, "radius": 8.0, "blur_type": "gaussian"},
        gives=_IMAGE,
        run=_blur,
    ),
    "img_watermark": NodeType(
        takes={"image": _NEEDED, "text": "InvokeAI"}, gives=_IMAGE, run=_watermark
    ),
    "show_image": NodeType(takes={"image": _NEEDED}, gives=_IMAGE, run=_show),
    "lora_loader": NodeType(
        takes={"lora": _NEEDED, "weight": 0.75}, gives=("unet", "clip"), run=_lora
    ),
    "string": NodeType(takes={"value": ""}, gives=("value",), run=_string),
}
MODEL_FIELDS: Final = frozenset({"lora"})
MODEL_PARTS: Final = frozenset({"key", "hash", "name", "base", "type"})
COMMON_FIELDS: Final = frozenset({"id", "type", "is_intermediate", "use_cache", "board"})
