"""The tool `random_checkpoint`: a checkpoint to measure with, without a download."""

from __future__ import annotations

import json
import math
import random
import struct
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console

from darkroom_bench.checkpoint_shapes import FULL, TINY, Tensor, tensors
from darkroom_bench.command import failures

out = Console()

BLOCK: Final = 1 << 16  # random numbers; repeated, since a picture of them means nothing
HALF_BYTES: Final = 2


class CheckpointSize(StrEnum):
    """What the name says."""

    FULL = "full"
    TINY = "tiny"


def write(path: Path, size: CheckpointSize, seed: int = 0) -> None:
    """Write a safetensors file of half-precision tensors; raises `OSError`.

    Weights are drawn so that numbers stay in the range of half precision on their way through
    the network: a picture comes out, whatever it shows.
    """
    listed = list(tensors(TINY if size is CheckpointSize.TINY else FULL))
    header = json.dumps(_entries(listed)).encode()
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(header)) + header)
        for tensor in listed:
            block = _block(_spread(tensor), seed)
            times, rest = divmod(_bytes(tensor), len(block))
            for _ in range(times):
                file.write(block)
            file.write(block[:rest])


def _entries(listed: list[Tensor]) -> dict[str, object]:
    entries: dict[str, object] = {}
    start = 0
    for name, shape in listed:
        end = start + _bytes((name, shape))
        entries[name] = {"dtype": "F16", "shape": shape, "data_offsets": [start, end]}
        start = end
    return entries


def _bytes(tensor: Tensor) -> int:
    return math.prod(tensor[1]) * HALF_BYTES


def _spread(tensor: Tensor) -> float:
    """The standard deviation of a weight; 0 for a bias, a negative one for a norm's ones."""
    name, shape = tensor
    if name.endswith("bias"):
        return 0.0
    if len(shape) == 1:
        return -1.0
    return 0.5 / math.sqrt(math.prod(shape[1:]))


@cache
def _block(spread: float, seed: int) -> bytes:
    if spread <= 0:
        return struct.pack("<e", -spread) * BLOCK
    draw = random.Random(seed).gauss  # noqa: S311  # nothing secret
    return struct.pack(f"<{BLOCK}e", *(draw(0, spread) for _ in range(BLOCK)))


def random_checkpoint(
    path: Annotated[Path, typer.Argument(help="The file to write.", dir_okay=False)],
    size: Annotated[
        CheckpointSize, typer.Option(help="The whole of it (2.1 GB), or for CPUs (0.5 GB).")
    ] = CheckpointSize.FULL,
) -> None:
    """Write a checkpoint of the form of Stable Diffusion 1.5 with random weights.

    It costs a server as much as a real one, and its pictures show nothing. The tiny one has
    only the first level of the U-Net; ComfyUI takes it, a server that expects each tensor, as
    InvokeAI does, takes the whole one.

    Examples:

    ./pants run bench:random_checkpoint -- models/Stable-diffusion/random.safetensors

    ./pants run bench:random_checkpoint -- --size tiny tiny.safetensors
    """
    with failures("random_checkpoint"):
        write(path, size)
        out.print(f"{path}: {path.stat().st_size / 1e9:.1f} GB")


def main() -> None:
    """Run the command."""
    typer.run(random_checkpoint)
