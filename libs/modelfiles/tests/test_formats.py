from __future__ import annotations

import struct

import pytest

from modelfiles.formats import BY_RUNTIME, FORMATS, check_gguf
from modelfiles.safetensors import MalformedError

HEAD = b"GGUF" + struct.pack("<IQQ", 3, 2, 5)


def test_each_format_has_a_runtime_that_reads_it() -> None:
    assert FORMATS.keys() == {one for read in BY_RUNTIME.values() for one in read}


@pytest.mark.parametrize("head", [HEAD, b"GGUF" + struct.pack(">IQQ", 3, 2, 5), HEAD + b"more"])
def test_head_of_a_gguf_file_is_taken(head: bytes) -> None:
    check_gguf(head)


@pytest.mark.parametrize(
    ("head", "said"),
    [
        (b"", "not a GGUF"),
        (b"<html>" + bytes(30), "not a GGUF"),
        (HEAD[:20], "cut off"),
        (b"GGUF" + struct.pack("<IQQ", 0, 2, 5), "cannot be read"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 5), "no tensors"),
    ],
)
def test_head_of_something_else_is_refused(head: bytes, said: str) -> None:
    with pytest.raises(MalformedError, match=said):
        check_gguf(head)
