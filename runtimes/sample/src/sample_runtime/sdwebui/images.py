"""Images as SD WebUI carries them in JSON."""

from __future__ import annotations

import base64
import io
from binascii import Error as Base64Error

from fastapi import HTTPException
from PIL import Image

from sample_runtime import drawing


def decode(text: str) -> Image.Image:
    """The image; raises HTTPException 500 for an address and for anything undecodable."""
    if text.startswith(("http://", "https://")):
        raise HTTPException(500, "Requests not allowed")
    if text.startswith("data:image/"):
        text = text.partition(",")[2]
    try:
        image = Image.open(io.BytesIO(base64.b64decode(text, validate=True)))
        image.load()
    except (Base64Error, OSError, ValueError, Image.DecompressionBombError) as error:
        raise HTTPException(500, "Invalid encoded image") from error
    return image


def encode(image: Image.Image, texts: dict[str, str]) -> str:
    """The image as base64 PNG with text chunks."""
    return base64.b64encode(drawing.png(image, texts)).decode()
