from __future__ import annotations

import string
import unicodedata
from collections.abc import Callable
from typing import TypeVar

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from contracts import ids
from contracts.ids import Uid

T = TypeVar("T")

# Pieces that attackers and clumsy clients join, and any other text.
PIECES = st.one_of(
    st.sampled_from(
        ["/", "//", "..", ".", "a", "ä", "\x00", "\n", "\x7f", "\u202e", "x" * 300]
    ),
    st.text(max_size=5),
)
MANY = settings(max_examples=2000)
TASK_ID_REST = string.ascii_letters + string.digits + "._-"
TASK_ID_FIRST = TASK_ID_REST.replace(".", "")


@MANY
@given(st.lists(PIECES, max_size=8).map("".join))
@example("a/../b")
@example("a//b")
@example("ä" * 257)
def test_a_prefix_that_is_let_through_is_safe_in_a_key(text: str) -> None:
    try:
        prefix = ids.prefix(text)
    except ValueError:
        return
    assert not {"", ".", ".."} & set(prefix.split("/"))
    assert not any(unicodedata.category(character) == "Cc" for character in prefix)
    assert len(prefix.encode()) <= 512
    assert ids.prefix(prefix) == prefix


@MANY
@given(
    st.lists(
        st.text(string.ascii_letters + string.digits + "-_ äß漢", min_size=1, max_size=20),
        min_size=1,
        max_size=4,
    ),
    st.text("/", max_size=3),
)
def test_a_decent_prefix_loses_only_its_outer_slashes(segments: list[str], edge: str) -> None:
    inner = "/".join(segments)
    assert ids.prefix(f"{edge}{inner}{edge}") == inner


@pytest.mark.parametrize("text", ["", "/", "///"])
def test_an_empty_prefix_means_the_default_folder(text: str) -> None:
    assert ids.prefix(text) == "output"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("a/../b", "segments"),
        ("..", "segments"),
        ("a/./b", "segments"),
        ("a//b", "segments"),
        ("a\x00b", "control"),
        ("a\nb", "control"),
        ("a\x85b", "control"),
        ("a\u202eb", "control"),
        ("a\ud800b", "control"),
        ("a" * 513, "512 bytes"),
        ("ä" * 257, "512 bytes"),
    ],
)
def test_an_unsafe_prefix_is_refused_with_what_is_wrong(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        ids.prefix(text)


def test_a_prefix_of_512_bytes_is_let_through() -> None:
    assert ids.prefix("ä" * 256) == "ä" * 256


@MANY
@given(
    st.builds(
        str.__add__,
        st.text(TASK_ID_FIRST, min_size=1, max_size=1),
        st.text(TASK_ID_REST, max_size=127),
    )
)
def test_every_id_that_api_md_allows_is_let_through_unchanged(text: str) -> None:
    assert ids.task_id(text) == text


@MANY
@given(st.text(max_size=140))
@example("a\n")
@example("a/b")
@example("\u0661")  # a digit, but not one of 0-9
def test_an_id_that_is_let_through_is_one_plain_path_segment(text: str) -> None:
    try:
        task_id = ids.task_id(text)
    except ValueError:
        return
    assert 1 <= len(task_id) <= 128
    assert set(task_id) <= set(TASK_ID_REST)
    assert not task_id.startswith(".")


@pytest.mark.parametrize("text", ["", ".", "..", ".a", "a/b", "a b", "a\n", "a" * 129, "é"])
def test_an_id_that_api_md_does_not_allow_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be 1 to 128"):
        ids.task_id(text)


def test_a_new_uid_is_let_through_and_no_two_are_the_same() -> None:
    made = [ids.new_uid() for _ in range(100)]
    assert [ids.uid(uid) for uid in made] == made
    assert len(set(made)) == 100


@pytest.mark.parametrize(
    "text",
    [
        "",
        "01JD000000000000000000000",  # one digit short
        "01JD00000000000000000000000",  # one too many
        "01jd0000000000000000000000",
        "01JD000000000000000000000U",  # U is no digit of a ULID
        "81JD0000000000000000000000",  # beyond 128 bits
        "01JD0000000000000000000000\n",
    ],
)
def test_what_is_not_a_ulid_in_upper_case_is_no_uid(text: str) -> None:
    with pytest.raises(ValueError, match="must be a ULID"):
        ids.uid(text)


def _or_none(make: Callable[[str], T], text: str) -> T | None:
    try:
        return make(text)
    except ValueError:
        return None


@MANY
@given(
    st.lists(PIECES, max_size=6).map("".join),
    st.lists(PIECES, max_size=3).map("".join) | st.text(TASK_ID_REST, max_size=128),
    st.lists(PIECES, max_size=3).map("".join) | st.just("db24-1"),
    st.lists(PIECES, max_size=2).map("".join) | st.sampled_from(["png", "out"]),
)
@example("a", "b", "../c", "png")
@example("a", "b", "c", "png/../../x")
def test_a_key_that_is_made_stays_in_its_folder(
    folder: str, name: str, rest: str, extension: str
) -> None:
    prefix, task_id = _or_none(ids.prefix, folder), _or_none(ids.task_id, name)
    if prefix is None or task_id is None:
        return
    key = _or_none(lambda end: ids.output_key(prefix, task_id, rest, end), extension)
    if key is not None:
        parent, _, last = key.rpartition("/")
        assert parent == f"{prefix}/{task_id}"
        assert last not in {"", ".", ".."}
        assert len(key.encode()) <= 1024
        assert not {"", ".", ".."} & set(key.split("/"))


@MANY
@given(
    st.text(max_size=30) | st.text("0123456789ABCDEFGHJKMNPQRSTVWXYZ", min_size=26, max_size=26)
)
def test_a_claim_has_the_name_of_a_uid_and_no_other(text: str) -> None:
    key = _or_none(lambda uid: ids.claim_key(Uid(uid)), text)
    assert (key is None) == (_or_none(ids.uid, text) is None)
    assert key in {None, f"{text}.json"}
