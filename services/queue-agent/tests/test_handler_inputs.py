"""What a message asks for, and how its body and its inputs come to the runtime."""

from __future__ import annotations

import base64
import json
import logging

import pytest
from handler_parts import Room
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from queue_agent_fakes import PNG, delivery, message, state

from contracts.ids import claim_key, new_uid
from queue_agent.domain import UnworkableError

SIGNED = "https://user:pw@host/a.png?X-Amz-Signature=secret"


LINKED = {"init_images": ["https://host/a.png"], "mask": "https://host/b.png"}


async def test_only_the_files_that_a_client_names_are_fetched(room: Room) -> None:
    room.reader.bodies = {"https://host/a.png": PNG}
    node = {"class_type": "Custom", "inputs": {"a": "https://host/a.png", "b": "https://b"}}
    sent = message(tasktype="pipeline", content={"1": node}, inputs=["1.inputs.a"])

    await room.handle(sent, comfy=True)

    [job] = room.runtime.jobs
    assert job.content["1"]["inputs"] == {
        "a": f"folder/{room.runtime.uploads[0]} (1)",
        "b": "https://b",
    }
    assert room.reader.asked == ["https://host/a.png"]


@pytest.mark.parametrize(("previews", "keep"), [(None, False), ("keep", True)])
async def test_runtime_is_told_whether_previews_are_kept(
    room: Room, previews: str | None, keep: bool
) -> None:
    await room.handle(message(previews=previews))

    assert [job.keep_previews for job in room.runtime.jobs] == [keep]


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ([], "init_images[0]: SD WebUI would fetch it"),
        (["init_images[0]"], "mask: SD WebUI would fetch it"),
        (["nosuch"], "inputs: nosuch names no text"),
    ],
)
async def test_url_that_a_client_does_not_name_is_not_handed_on(
    room: Room, inputs: list[str], said: str
) -> None:
    sent = message(content=LINKED, inputs=inputs)

    await room.handle(sent)

    failure = room.notifier.ends[sent.uid].failure
    assert failure is not None
    assert (failure.code, room.runtime.jobs) == ("input_unavailable", [])
    assert said in failure.message


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"\xff\xfe", id="bytes"),
        pytest.param(b'{"prompt": "my secret"}', id="other-json"),
        pytest.param(message(runtime="other").model_dump_json().encode(), id="other-runtime"),
        pytest.param(message(bucket="other").model_dump_json().encode(), id="other-bucket"),
    ],
)
async def test_message_that_is_not_ours_is_given_back_unread(room: Room, body: bytes) -> None:
    with pytest.raises(UnworkableError) as caught:
        await room.handler().handle(delivery(body), state())

    assert "secret" not in str(caught.value)
    assert room.notifier.attempts == {}


async def test_content_may_wait_in_the_claim_bucket(room: Room) -> None:
    uid = new_uid()
    room.store.objects[f"{uid}.json"] = (b'{"prompt": "from afar"}', "")

    await room.handle(message(uid=uid, content=None, content_key=claim_key(uid)))

    assert room.runtime.jobs[0].content == {"prompt": "from afar"}


async def test_claim_that_is_gone_ends_the_task(room: Room) -> None:
    sent = message(uid=(uid := new_uid()), content=None, content_key=claim_key(uid))

    await room.handle(sent)

    failure = room.notifier.ends[sent.uid].failure
    assert failure is not None
    assert (failure.code, failure.retryable) == ("input_unavailable", True)
    assert room.runtime.jobs == []


async def test_claim_that_is_no_object_is_given_back(room: Room) -> None:
    uid = new_uid()
    room.store.objects[f"{uid}.json"] = (b"[1]", "")

    with pytest.raises(UnworkableError):
        await room.handle(message(uid=uid, content=None, content_key=claim_key(uid)))


async def test_claim_of_another_task_is_not_read(room: Room) -> None:
    other = claim_key(new_uid())
    room.store.objects[other] = (b'{"prompt": "not yours"}', "")
    mine = message().model_dump(mode="json") | {"content": None, "content_key": other}

    with pytest.raises(UnworkableError, match="content_key"):
        await room.handler().handle(delivery(json.dumps(mine).encode()), state())

    assert room.runtime.jobs == []


async def test_inputs_reach_the_runtime_as_base64(room: Room) -> None:
    room.reader.bodies = {"s3://in/a.png": PNG}

    await room.handle(message(content={"init_images": ["s3://in/a.png", "s3://in/a.png"]}))

    encoded = base64.b64encode(PNG).decode()
    assert room.runtime.jobs[0].content == {"init_images": [encoded, encoded]}
    assert room.reader.asked == ["s3://in/a.png"]
    assert "darkroom.agent.inputs" in room.measured()


async def test_inputs_of_loading_nodes_get_the_name_that_the_runtime_gave(room: Room) -> None:
    node = {"class_type": "LoadImage", "inputs": {"image": "s3://in/a.png"}}
    room.reader.bodies = {"s3://in/a.png": PNG}

    await room.handle(message(tasktype="pipeline", content={"1": node}), comfy=True)

    [name] = room.runtime.uploads
    assert room.runtime.jobs[0].content["1"]["inputs"]["image"] == f"folder/{name} (1)"
    assert name.endswith(".png")


@pytest.mark.parametrize(
    ("images", "reason"),
    [
        pytest.param([SIGNED], "init_images[0]: https://host/a.png: the answer", id="missing"),
        pytest.param(["s3://in/large"], "more than 100 bytes", id="too-large"),
        pytest.param(["s3://in/1", "s3://in/2"], "150 bytes in total", id="too-large-together"),
        pytest.param([f"s3://in/{n}" for n in range(3)], "more than 2 inputs", id="too-many"),
        pytest.param(["http://host/a"], "not taken", id="no-reader"),
        pytest.param(["s3://in/text"], "not an image", id="no-image"),
    ],
)
async def test_input_that_cannot_be_had_fails_the_task_before_the_runtime(
    room: Room, images: list[str], reason: str
) -> None:
    room.reader.bodies = {
        "s3://in/large": b"x" * 101,
        "s3://in/1": PNG * 2,
        "s3://in/2": PNG * 2,
        "s3://in/text": b"<html>not an image</html>",
    }
    sent = message(content={"init_images": images})

    await room.handle(sent)

    failure = room.notifier.ends[sent.uid].failure
    assert failure is not None
    assert failure.code == "input_unavailable"
    assert reason in failure.message
    assert room.runtime.jobs == []
    assert room.measured()["darkroom.agent.failures"] == [{"code": "input_unavailable"}]


async def test_secrets_of_a_signed_url_are_never_logged_or_told(
    room: Room, caplog: pytest.LogCaptureFixture, spans: InMemorySpanExporter
) -> None:
    caplog.set_level(logging.DEBUG)
    sent = message(content={"init_images": [SIGNED]})

    await room.handle(sent)

    told = [repr(room.notifier.ends), repr(room.store.objects)]
    told += [repr(vars(record)) for record in caplog.records]
    told += [span.to_json() for span in spans.get_finished_spans()]
    assert len(told) > 4
    assert not any("secret" in text or "user:pw" in text for text in told)
