from __future__ import annotations

import time

import pytest

from contracts.checkpoints import checkpoints_named, has_hash


def names_checkpoint(asked: str, filename: str) -> bool:
    return checkpoints_named(asked, [filename]) == (filename,)


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
    "asked",
    ["sd/v1-5.safetensors", "v1-5.safetensors", "sd/v1-5", "v1-5", "sd\\v1-5.safetensors"],
)
def test_a_checkpoint_in_a_folder_is_named_with_or_without_it(asked: str) -> None:
    assert names_checkpoint(asked, "sd/v1-5.safetensors")


@pytest.mark.parametrize(
    "asked",
    ["", "v1", "V1-5", "v1-5.ckpt", "other/v1-5", "v1-5 [zz]", "v1-5 []", "[6ce0161689] v1-5"],
)
def test_another_name_means_another_checkpoint(asked: str) -> None:
    assert not names_checkpoint(asked, "sd/v1-5.safetensors")


@pytest.mark.parametrize("asked", ["a [b0].ckpt", "a [b0]", "a [b0].ckpt [c1]", "a [b0] [c1]"])
def test_what_looks_like_a_hash_may_be_a_part_of_the_name(asked: str) -> None:
    assert checkpoints_named(asked, ["a.ckpt", "a [b0].ckpt"]) == ("a [b0].ckpt",)


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        pytest.param("foo.safetensors", ["foo.safetensors"], id="a name in the root"),
        pytest.param("foo", ["foo.safetensors"], id="a stem in the root"),
        pytest.param("foo.safetensors [b0]", ["foo.safetensors"], id="a title in the root"),
        pytest.param("bar/foo", ["bar/foo.safetensors"], id="a path"),
        pytest.param("only", ["bar/only.ckpt"], id="the only one of that name"),
        pytest.param("two", ["a/two.ckpt", "b/two.ckpt"], id="two in folders"),
        pytest.param("two.ckpt", ["a/two.ckpt", "b/two.ckpt"], id="two files in folders"),
        pytest.param("both", ["both.ckpt", "both.pt"], id="two of one stem"),
        pytest.param("both.pt", ["both.pt"], id="one of one stem"),
    ],
)
def test_the_exact_name_goes_first_and_those_alike_are_all_told(
    asked: str, found: list[str]
) -> None:
    files = ["bar/foo.safetensors", "foo.safetensors", "bar/only.ckpt"]
    files += ["a/two.ckpt", "b/two.ckpt", "both.ckpt", "both.pt"]
    for order in (files, files[::-1]):
        assert sorted(checkpoints_named(asked, order)) == found


@pytest.mark.parametrize(
    ("asked", "expected"),
    [("a.ckpt [6ce0161689]", True), ("a[6C]", True), ("a.ckpt", False), ("a [zz]", False)],
)
def test_a_hash_is_hexadecimal_and_at_the_end(asked: str, expected: bool) -> None:
    assert has_hash(asked) is expected


def test_a_name_made_to_be_slow_is_answered_at_once() -> None:
    started = time.process_time()
    assert not names_checkpoint(" " * 100_000 + "x", "v1-5.safetensors")
    assert time.process_time() - started < 1
