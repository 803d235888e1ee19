from __future__ import annotations

import json
import traceback
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.ids import Prefix, TaskId, Uid, claim_key
from contracts.kinds import Previews, TaskType
from contracts.message import TaskMessage, UndecodableError, decode_content

SECRET = "a-prompt-that-nobody-else-may-read"  # noqa: S105  # stands for a request's body
OTHER = "01JD0000000000000000000001"
MESSAGE = TaskMessage(
    uid=Uid("01JD0000000000000000000000"),
    id=TaskId("test-t2i"),
    runtime="sdruntime",
    tasktype=TaskType.TEXT_TO_IMAGE,
    prefix=Prefix("output"),
    bucket="outputbucket",
    accepted_at=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
    content={"prompt": "a dog"},
)
WIRE: dict[str, Any] = MESSAGE.model_dump(mode="json", exclude_none=True)


def changed(**fields: object) -> str:
    return json.dumps({**WIRE, **fields})


def test_a_message_comes_back_as_it_was_written() -> None:
    assert TaskMessage.decode(MESSAGE.model_dump_json()) == MESSAGE
    assert TaskMessage.decode(MESSAGE.model_dump_json(exclude_none=True).encode()) == MESSAGE


def test_a_field_of_a_newer_release_is_ignored() -> None:
    assert TaskMessage.decode(changed(added_next_year=1)) == MESSAGE


def test_the_key_of_the_own_uid_is_let_through() -> None:
    message = TaskMessage.decode(changed(content=None, content_key=f"{MESSAGE.uid}.json"))
    assert message.content_key == claim_key(MESSAGE.uid)


@pytest.mark.parametrize("seconds", [1, 0.5 + 1, 86400])
def test_a_time_limit_travels_with_the_task(seconds: float) -> None:
    message = TaskMessage.decode(changed(timeout_seconds=seconds))
    assert message.timeout_seconds == seconds
    assert TaskMessage.decode(changed()).timeout_seconds is None


def test_that_previews_are_kept_travels_with_the_task() -> None:
    assert TaskMessage.decode(changed(previews="keep")).previews is Previews.KEEP
    assert TaskMessage.decode(changed()).previews is None


def test_the_alias_of_a_tasktype_means_the_same() -> None:
    message = TaskMessage.decode(changed(tasktype="extra-batch-image"))
    assert message.tasktype is TaskType.EXTRA_BATCH_IMAGES


@pytest.mark.parametrize(
    ("body", "named"),
    [
        pytest.param(SECRET, "body", id="no JSON"),
        pytest.param(f'["{SECRET}"]', "body", id="no object"),
        pytest.param(b"\xff\xfe" + SECRET.encode(), "body", id="no UTF-8"),
        pytest.param(changed(uid=SECRET), "uid", id="no uid"),
        pytest.param(changed(id=f"../{SECRET}"), "id", id="unsafe id"),
        pytest.param(changed(prefix=f"a/../{SECRET}"), "prefix", id="unsafe prefix"),
        pytest.param(changed(tasktype=SECRET), "tasktype", id="unknown tasktype"),
        pytest.param(changed(accepted_at="2026-01-02T03:04:05"), "accepted_at", id="no zone"),
        pytest.param(changed(content=[SECRET]), "content", id="content is no object"),
        pytest.param(changed(content_key=f"{MESSAGE.uid}.json"), "body", id="content twice"),
        pytest.param(changed(content=None), "body", id="no content"),
        pytest.param(
            changed(content=None, content_key=f"../{SECRET}"), "content_key", id="unsafe key"
        ),
        pytest.param(
            changed(content=None, content_key=f"{OTHER}.json"), "content_key", id="other's key"
        ),
        pytest.param(changed(timeout_seconds=0.5), "timeout_seconds", id="timeout too short"),
        pytest.param(changed(timeout_seconds=86401), "timeout_seconds", id="timeout too long"),
        pytest.param(json.dumps({"uid": SECRET}), "accepted_at, bucket", id="much missing"),
    ],
)
def test_an_undecodable_message_names_its_fields_and_never_shows_its_body(
    body: bytes | str, named: str
) -> None:
    with pytest.raises(UndecodableError, match=named) as caught:
        TaskMessage.decode(body)
    assert SECRET not in "".join(traceback.format_exception(caught.value))


@given(st.one_of(st.binary(), st.text(st.characters(codec=None))))
def test_nonsense_is_undecodable_and_nothing_else(body: bytes | str) -> None:
    with pytest.raises(UndecodableError):
        TaskMessage.decode(body)


def test_content_is_decoded_as_an_object() -> None:
    assert decode_content(b'{"steps": 20}') == {"steps": 20}


@pytest.mark.parametrize("text", [b"", b"[1]", b"null", b"{", b"\xff", b"[" * 100_000])
def test_content_that_is_no_object_is_undecodable(text: bytes) -> None:
    with pytest.raises(UndecodableError, match="content is not"):
        decode_content(text)


@pytest.mark.parametrize("seconds", [None, 1, 90.5, 86400])
def test_a_message_may_ask_for_a_time_limit_of_its_run(seconds: float | None) -> None:
    assert TaskMessage.decode(changed(timeout_seconds=seconds)).timeout_seconds == seconds
