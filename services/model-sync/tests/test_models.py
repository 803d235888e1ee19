from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_sync.domain import split_key


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("Lora/a.safetensors", ("Lora", "a.safetensors", "safetensors")),
        ("Stable-diffusion/sd/v1.ckpt", ("Stable-diffusion", "sd/v1.ckpt", "ckpt")),
        ("VAE/a.PT", ("VAE", "a.PT", "pt")),
        ("ESRGAN/4x.pth", ("ESRGAN", "4x.pth", "pth")),
        ("v1.ckpt", None),  # in no folder
        ("Lora/readme.md", None),
        ("Lora/", None),
        ("Lora/.safetensors", None),
        ("/Lora/a.safetensors", None),
        ("../Lora/a.safetensors", None),
        ("Lora/../../a.safetensors", None),
        ("", None),
    ],
)
def test_a_key_is_split_into_kind_name_and_format(
    key: str, expected: tuple[str, str, str] | None
) -> None:
    assert split_key(key) == expected


@given(st.text() | st.lists(st.sampled_from(["..", "/", "a", ".pt", "."])).map("".join))
def test_the_name_of_a_model_never_leaves_its_folder(key: str) -> None:
    split = split_key(key)
    if split is not None:
        kind, name, _ = split
        assert "/" not in kind
        assert not name.startswith("/")
        assert ".." not in [kind, *name.split("/")]
