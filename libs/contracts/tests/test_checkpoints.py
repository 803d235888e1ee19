from __future__ import annotations

import time

import pytest

from contracts.checkpoints import names_checkpoint


@pytest.mark.parametrize(
    "asked",
    [
        "v1-5.safetensors",
        "v1-5.safetensors [6ce0161689]",
        "v1-5.safetensors[6CE0161689]",
        "v1-5",
        "v1-5 [6ce0161689]",
    ],
)
def test_a_checkpoint_is_named_by_its_file_its_title_or_its_stem(asked: str) -> None:
    assert names_checkpoint(asked, "v1-5.safetensors")


@pytest.mark.parametrize(
    "asked", ["sd/v1-5.safetensors", "v1-5.safetensors", "sd/v1-5", "v1-5"]
)
def test_a_checkpoint_in_a_folder_is_named_with_or_without_it(asked: str) -> None:
    assert names_checkpoint(asked, "sd/v1-5.safetensors")


@pytest.mark.parametrize(
    "asked",
    ["", "v1", "V1-5", "v1-5.ckpt", "other/v1-5", "v1-5 [zz]", "v1-5 []", "[6ce0161689] v1-5"],
)
def test_another_name_means_another_checkpoint(asked: str) -> None:
    assert not names_checkpoint(asked, "sd/v1-5.safetensors")


def test_a_name_made_to_be_slow_is_answered_at_once() -> None:
    started = time.process_time()
    assert not names_checkpoint(" " * 100_000 + "x", "v1-5.safetensors")
    assert time.process_time() - started < 1
