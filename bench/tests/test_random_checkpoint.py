from __future__ import annotations

import json
import math
import struct
from pathlib import Path

import pytest

from darkroom_bench.checkpoint_shapes import FULL, TINY, Size, tensors
from darkroom_bench.random_checkpoint import CheckpointSize, write
from modelfiles.safetensors import check_size, header_bytes, promised_bytes


def parameters(size: Size, prefix: str) -> int:
    return sum(math.prod(shape) for name, shape in tensors(size) if name.startswith(prefix))


def test_full_one_has_the_tensors_of_stable_diffusion() -> None:
    # Of the model cards: a U-Net of 860, a VAE of 84, a text model of 123 million.
    assert round(parameters(FULL, "model.diffusion_model") / 1e6) == 860
    assert round(parameters(FULL, "first_stage_model") / 1e6) == 84
    assert round(parameters(FULL, "cond_stage_model") / 1e6) == 123


@pytest.mark.parametrize("size", [FULL, TINY])
def test_no_tensor_is_there_twice(size: Size) -> None:
    names = [name for name, _ in tensors(size)]

    assert len(set(names)) == len(names)


def test_file_is_whole_and_its_numbers_are_small(tmp_path: Path) -> None:
    path = tmp_path / "tiny.safetensors"
    write(path, CheckpointSize.TINY)

    with path.open("rb") as file:
        length = header_bytes(file.read(8), path.stat().st_size)
        header = file.read(length)
        check_size(path.stat().st_size, promised_bytes(header))
        entries = json.loads(header)
        for name in ("model.diffusion_model.out.0.weight", "first_stage_model.quant_conv.bias"):
            start, end = entries[name]["data_offsets"]
            file.seek(8 + length + start)
            values = set(struct.unpack(f"<{(end - start) // 2}e", file.read(end - start)))
            assert values == ({1.0} if name.endswith("weight") else {0.0})
        start, _ = entries["model.diffusion_model.input_blocks.0.0.weight"]["data_offsets"]
        file.seek(8 + length + start)
        assert 0 < max(map(abs, struct.unpack("<1000e", file.read(2000)))) < 1
