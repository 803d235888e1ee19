from __future__ import annotations

import json
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelfiles.safetensors import (
    LENGTH_BYTES,
    Head,
    MalformedError,
    check_size,
    header_bytes,
    promised_bytes,
)

settings.register_profile("modelfiles", deadline=None)  # a busy machine is not a defect
settings.load_profile("modelfiles")


def check(body: bytes, size_bytes: int | None = None) -> None:
    """Check a file as the catalogue does, of which `size_bytes` are in the bucket."""
    size = len(body) if size_bytes is None else size_bytes
    length = header_bytes(body[:LENGTH_BYTES], size)
    check_size(size, promised_bytes(body[LENGTH_BYTES : LENGTH_BYTES + length]))


def check_passing(body: bytes, size_bytes: int | None, block_bytes: int) -> None:
    """Check a file as it passes by in blocks, with or without its size known before."""
    head = Head()
    for begin in range(0, len(body), block_bytes):
        head.take(body[begin : begin + block_bytes], size_bytes)
    head.check_end(len(body))


def framed(header: object) -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text


def safetensors(*, tensor_bytes: int = 8) -> bytes:
    tensor = {"dtype": "U8", "shape": [tensor_bytes], "data_offsets": [0, tensor_bytes]}
    return framed({"__metadata__": {"format": "pt"}, "weight": tensor}) + bytes(tensor_bytes)


@given(st.integers(1, 4096))
def test_a_whole_file_has_no_problem(tensor_bytes: int) -> None:
    check(safetensors(tensor_bytes=tensor_bytes))


@given(st.data())
def test_a_file_that_was_cut_off_anywhere_has_a_problem(drawn: st.DataObject) -> None:
    body = safetensors()
    kept = drawn.draw(st.integers(0, len(body) - 1))
    with pytest.raises(MalformedError, match=r"shorter than|cut off|promises"):
        check(body[:kept])


def test_a_file_with_more_than_its_header_promises_has_a_problem() -> None:
    with pytest.raises(MalformedError, match="it has 100000 bytes, its header promises"):
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
def test_no_file_whatever_is_in_it_raises_another_error(body: bytes, size_bytes: int) -> None:
    for size in (len(body), size_bytes):
        try:
            check(body, size)
        except MalformedError as error:
            assert str(error)  # noqa: PT017  # any problem will do, but it must be told


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"", "shorter than a safetensors header"),
        (b"\x80\x02}q\x00" * 9, "it is not a safetensors file"),
        (struct.pack("<Q", 500), "it is cut off within its header"),
        (struct.pack("<Q", 2) + b"[]", "its header cannot be read"),
        (struct.pack("<Q", 200_000) + b"[" * 200_000, "its header cannot be read"),
        (framed({"a": {"data_offsets": [0, 1]}}), "its header cannot be read"),
        (framed({}), "it has no tensors"),
        (framed({"__metadata__": {"format": "pt"}}), "it has no tensors"),
    ],
)
def test_the_problem_is_told_in_words(body: bytes, problem: str) -> None:
    with pytest.raises(MalformedError, match=problem):
        check(body)


@given(
    st.binary() | (HEADERS | TENSORS).map(framed) | st.just(safetensors()),
    st.integers(1, 40),
    st.booleans(),
)
def test_a_file_that_passes_by_has_the_same_problem(
    body: bytes, block_bytes: int, knows_size: bool
) -> None:
    def has_problem(passing: bool) -> bool:
        try:
            if passing:
                check_passing(body, len(body) if knows_size else None, block_bytes)
            else:
                check(body)
        except MalformedError:
            return True
        return False

    assert has_problem(passing=True) == has_problem(passing=False)
