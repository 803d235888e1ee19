from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.http.prefer import wait_of


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ([], 0),
        (["wait=10"], 10),
        (["respond-async, WAIT = 10"], 10),
        (["respond-async", 'wait="7"; strict'], 7),
        (["wait=5, wait=9"], 5),
        (["wait=60"], 60),
        (["wait=61"], 60),
        (["wait=" + "9" * 4000], 60),
        (["wait=-1"], 0),
        (["wait=1.5"], 0),
        (["wait"], 0),
        (["waiting=5"], 0),
        (["wait=٣"], 0),
    ],
)
def test_the_wait_is_read_as_rfc_7240_has_it(headers: list[str], seconds: int) -> None:
    assert wait_of(headers) == timedelta(seconds=seconds)


@given(st.lists(st.text()))
def test_nonsense_is_ignored(headers: list[str]) -> None:
    assert timedelta(0) <= wait_of(headers) <= timedelta(seconds=60)
