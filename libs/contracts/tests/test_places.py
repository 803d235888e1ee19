from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from contracts.ids import Prefix, TaskId, Uid, new_uid
from contracts.places import OutputPlace

UID = Uid("01JD0000000000000000000000")


def place(uid: Uid = UID) -> OutputPlace:
    return OutputPlace(bucket="bucket", prefix=Prefix("a/b"), id=TaskId("test"), uid=uid)


@given(st.integers(1, 10_000), st.sampled_from(["png", "webp", "mp4"]))
def test_each_attempt_of_a_submission_writes_the_same_keys(number: int, extension: str) -> None:
    first, second = place(), place()
    assert first.file_key(number, extension) == second.file_key(number, extension)
    assert first.out_key == second.out_key


def test_keys_have_the_shape_that_api_md_promises() -> None:
    code = place().out_key.removeprefix("a/b/test/test-").removesuffix(".out")
    assert len(code) == 4
    assert set(code) <= set("0123456789abcdef")
    assert place().file_key(2, "png") == f"a/b/test/test-{code}-2.png"
    assert place().location == "s3://bucket/a/b/test"
    assert place().url(place().out_key) == f"s3://bucket/a/b/test/test-{code}.out"


def test_the_code_comes_from_the_uid_so_two_submissions_of_an_id_rarely_meet() -> None:
    keys = {place(new_uid()).out_key for _ in range(50)}
    assert len(keys) > 25


def test_the_code_of_a_uid_never_changes_between_releases() -> None:
    assert place().out_key == "a/b/test/test-db24.out"


def test_keys_of_its_own_are_told_apart_by_uid_attempt_and_number() -> None:
    folder = "a/b/test/test-01jd0000000000000000000000"
    assert place().own_file_key(2, "out") == f"{folder}-2.out"
    assert place().own_file_key(10_000, "safetens").endswith("-10000.safetens")
    assert place().own_out_key(2) == f"{folder}-a2.out"
