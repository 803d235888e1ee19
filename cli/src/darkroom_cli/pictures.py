"""Looking at images: whether they decode, their size, and whether they show anything."""

from __future__ import annotations

import base64
from io import BytesIO
from typing import Final

from PIL import Image, UnidentifiedImageError

from darkroom_cli.errors import CommandError

START_SIZE: Final = (256, 256)


def decoded(content: bytes) -> Image.Image:
    """A whole image with every pixel read; raises `CommandError`."""
    try:
        Image.open(
            BytesIO(content)
        ).verify()  # that a PNG has its end, which loading does not ask
        image = Image.open(BytesIO(content))
        image.load()
    except (OSError, SyntaxError, UnidentifiedImageError) as error:  # SyntaxError: a broken PNG
        raise CommandError(f"does not decode: {error}") from error
    return image


def check_shown(image: Image.Image, size: tuple[int, int] | None) -> None:
    """Return if an image has this size, if there is one, and shows more than one colour.

    Raises `CommandError` otherwise.
    """
    if size is not None and image.size != size:
        found, wanted = (f"{width}x{height}" for width, height in (image.size, size))
        raise CommandError(f"has {found} pixels and not {wanted}")
    if image.convert("RGBA").getcolors(maxcolors=1):
        raise CommandError("is blank: it has one colour only")


def start_picture() -> str:
    """A picture of `START_SIZE` to start from, as base64."""
    file = BytesIO()
    Image.radial_gradient("L").convert("RGB").save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()
