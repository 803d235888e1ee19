"""The images of an InvokeAI server; they live in memory and go with the process."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from PIL import Image

from sample_runtime import drawing


class ImageFileNotFoundException(Exception):  # noqa: N818  # the server's own name for it
    """There is no image of this name."""


@dataclass(frozen=True, kw_only=True)
class Stored:
    """One image and what the server says about it."""

    body: bytes
    about: dict[str, Any]


class ImageStore:
    """Images by the names that the server gave them."""

    def __init__(self) -> None:
        self._images: dict[str, Stored] = {}

    def save(self, picture: Image.Image, *, category: str, is_intermediate: bool) -> Stored:
        """Keep a picture as PNG under a new name."""
        name = f"{uuid4()}.png"
        about = {
            "image_name": name,
            "image_url": f"api/v1/images/i/{name}/full",
            "thumbnail_url": f"api/v1/images/i/{name}/thumbnail",
            "image_origin": "internal",
            "image_category": category,
            "width": picture.width,
            "height": picture.height,
            "is_intermediate": is_intermediate,
            "starred": False,
            "has_workflow": False,
        }
        stored = Stored(body=drawing.png(picture, {}), about=about)
        self._images[name] = stored
        return stored

    def delete(self, name: str) -> bool:
        """Drop an image; tells whether it was there."""
        return self._images.pop(name, None) is not None

    def find(self, name: str) -> Stored | None:
        """An image, or None."""
        return self._images.get(name)

    def open(self, name: str) -> Image.Image:
        """A picture; raises `ImageFileNotFoundException`."""
        stored = self.find(name)
        if stored is None:
            raise ImageFileNotFoundException("Image file not found")
        with Image.open(io.BytesIO(stored.body)) as picture:
            return picture.convert("RGBA")
