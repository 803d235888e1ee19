from __future__ import annotations

import json
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from model_sync_fakes import safetensors

from model_sync.domain import split_key
from model_sync.safetensors import LENGTH_BYTES, check_header, header_bytes


def check(body: bytes, size_bytes: int | None = None) -> None:
    """Check a file as the catalogue does, of which `size_bytes` are in the bucket."""
    size = len(body) if size_bytes is None else size_bytes
    length = header_bytes(body[:LENGTH_BYTES], size)
    check_header(body[LENGTH_BYTES : LENGTH_BYTES + length], size)


def framed(header: object) -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text


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


@given(st.integers(1, 4096))
def test_a_whole_file_has_no_problem(tensor_bytes: int) -> None:
    check(safetensors(tensor_bytes=tensor_bytes))


@given(st.data())
def test_a_file_that_was_cut_off_anywhere_has_a_problem(drawn: st.DataObject) -> None:
    body = safetensors()
    kept = drawn.draw(st.integers(0, len(body) - 1))
    with pytest.raises(ValueError, match=r"shorter than|cut off|promises"):
        check(body[:kept])


def test_a_file_with_more_than_its_header_promises_has_a_problem() -> None:
    with pytest.raises(ValueError, match="it has 100000 bytes, its header promises"):
        check(safetensors(), size_bytes=100_000)


HEADERS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
TENSORS = st.dictionaries(
    st.text(max_size=3),
    st.fixed_dictionaries(
        {
            "dtype": st.text(max_size=3),
            "shape": st.lists(st.integers()),
            "data_offsets": st.lists(st.integers(), min_size=1, max_size=3),
        }
    ),
)


@given(st.binary() | (HEADERS | TENSORS).map(framed), st.integers(0, 2**63))
def test_no_file_whatever_is_in_it_raises_anything_but_a_value_error(
    body: bytes, size_bytes: int
) -> None:
    for size in (len(body), size_bytes):
        try:
            check(body, size)
        except ValueError as error:
            assert str(error)  # noqa: PT017  # any problem will do, but it must be told


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"", "shorter than a safetensors header"),
        (b"\x80\x02}q\x00" * 9, "not a safetensors file"),
        (struct.pack("<Q", 500), "cut off within its header"),
        (struct.pack("<Q", 2) + b"[]", "its header cannot be read"),
        (struct.pack("<Q", 200_000) + b"[" * 200_000, "its header cannot be read"),
        (framed({}), "it has no tensors"),
        (framed({"__metadata__": {"format": "pt"}}), "it has no tensors"),
    ],
)
def test_the_problem_is_told_in_words(body: bytes, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        check(body)
