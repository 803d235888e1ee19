"""Pictures that show their prompt. They follow from prompt, size and seed alone."""

from __future__ import annotations

import io
import textwrap
from hashlib import shake_256

from PIL import Image, ImageDraw, ImageFont, ImageOps
from PIL.PngImagePlugin import PngInfo

CAPTION = "sample runtime"
MAX_PIXELS = 64_000_000
_SMALLEST_FONT = 8
_SHAPES = 6
_WHITE = (255, 255, 255)
_BLACK = (0, 0, 0)


def draw(prompt: str, *, width: int, height: int, seed: int) -> Image.Image:
    """A coloured picture with the prompt written on it; raises as `check_size` does."""
    check_size(width, height)
    noise = shake_256(f"{seed} {prompt}".encode()).digest(64)
    gradient = Image.linear_gradient("L").rotate(90 * (noise[0] % 4)).resize((width, height))
    picture = ImageOps.colorize(gradient, _colour(noise[1:4]), _colour(noise[4:7]))
    pen = ImageDraw.Draw(picture, "RGBA")
    for start in range(7, 7 + _SHAPES * 7, 7):
        _draw_shape(pen, picture.size, noise[start : start + 7])
    return write_on(picture, prompt)


def redraw(source: Image.Image, prompt: str, *, width: int, height: int) -> Image.Image:
    """`source` in the wanted size with the prompt written on it."""
    check_size(width, height)
    return write_on(source.convert("RGB").resize((width, height)), prompt)


def unfinished(picture: Image.Image, done: float) -> Image.Image:
    """The picture as it looks when sampling stopped at the fraction `done`."""
    noise = Image.effect_noise(picture.size, 128).convert("RGB")
    return Image.blend(noise, picture, done)


def grid(pictures: list[Image.Image]) -> Image.Image:
    """The pictures, all of one size, side by side in one."""
    width, height = pictures[0].size
    check_size(width * len(pictures), height)
    sheet = Image.new("RGB", (width * len(pictures), height))
    for column, picture in enumerate(pictures):
        sheet.paste(picture, (column * width, 0))
    return sheet


def write_on(picture: Image.Image, prompt: str) -> Image.Image:
    """Write the prompt in the middle and the runtime's name below; gives the same picture."""
    pen = ImageDraw.Draw(picture)
    width, height = picture.size
    text, size = _fit(pen, prompt, width * 0.9, height * 0.75)
    pen.multiline_text(
        (width / 2, height * 0.45),
        text,
        fill=_WHITE,
        font=ImageFont.load_default(size=size),
        anchor="mm",
        align="center",
        stroke_width=max(1, size // 12),
        stroke_fill=_BLACK,
    )
    small = ImageFont.load_default(size=max(_SMALLEST_FONT, height // 32))
    pen.text(
        (width / 2, height * 0.96),
        CAPTION,
        fill=_WHITE,
        font=small,
        anchor="mm",
        stroke_width=1,
        stroke_fill=_BLACK,
    )
    return picture


def png(picture: Image.Image, texts: dict[str, str]) -> bytes:
    """The picture as PNG with one text chunk for each of `texts`."""
    chunks = PngInfo()
    for key, text in texts.items():
        chunks.add_itxt(key, text) if not text.isascii() else chunks.add_text(key, text)
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", pnginfo=chunks, compress_level=1)
    return buffer.getvalue()


def check_size(width: int, height: int) -> None:
    """Raise ValueError below one pixel, and MemoryError beyond what the stand-in draws."""
    if width < 1 or height < 1:
        raise ValueError(f"cannot draw a picture of {width}x{height}")
    if width * height > MAX_PIXELS:
        raise MemoryError(f"out of memory: tried to draw {width}x{height}")


def _fit(pen: ImageDraw.ImageDraw, prompt: str, width: float, height: float) -> tuple[str, int]:
    size = max(_SMALLEST_FONT, int(height / 4))
    while True:
        font = ImageFont.load_default(size=size)
        columns = max(8, int(width / (size * 0.55)))
        text = textwrap.fill(prompt, columns) or " "
        left, top, right, bottom = pen.multiline_textbbox((0, 0), text, font=font)
        if size <= _SMALLEST_FONT or (right - left <= width and bottom - top <= height):
            return text, size
        size = max(_SMALLEST_FONT, int(size * 0.8))


def _draw_shape(pen: ImageDraw.ImageDraw, size: tuple[int, int], noise: bytes) -> None:
    x, y, radius = noise[0] / 255 * size[0], noise[1] / 255 * size[1], noise[2] / 255
    reach = max(1.0, radius * min(size) / 3)
    box = (x - reach, y - reach, x + reach, y + reach)
    fill = (*_colour(noise[3:6]), 110)
    if noise[6] % 2:
        pen.ellipse(box, fill=fill)
    else:
        pen.rectangle(box, fill=fill)


def _colour(noise: bytes) -> tuple[int, int, int]:
    return noise[0], noise[1], noise[2]
