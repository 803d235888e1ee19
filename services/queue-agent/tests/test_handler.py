from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import logging
from contextlib import suppress
from datetime import timedelta

import pytest
from handler_parts import Room
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from queue_agent_fakes import PNG, delivery, make_image, message, run_for_ever, state

from contracts.ids import Uid, claim_key, new_uid
from contracts.verdict import Verdict
from queue_agent.domain import File, Generated, Job, Leftovers, TaskFailedError, UnworkableError
from queue_agent.files.body import FileBody
from queue_agent.ports import Report
from servicekit.errors import TransientError

SIGNED = "https://user:pw@host/a.png?X-Amz-Signature=secret"


async def test_images_come_first_then_the_document_then_the_news(room: Room) -> None:
    sent = message()

    await room.handle(sent)

    image, out = room.store.objects
    assert room.store.objects[image] == (PNG, "image/png")
    assert image.endswith("-1.png")
    assert out.endswith(".out")
    assert room.store.objects[out][1] == "application/json"
    end = room.notifier.ends[sent.uid]
    assert end.image_url == (f"s3://bucket/{image}",)
    assert end.output_url == f"s3://bucket/{out}"
    assert end.failure is None


@pytest.mark.parametrize(("asked", "code"), [(None, None), (1, "timeout")])
async def test_run_that_loads_models_has_longer_unless_its_task_says_how_long(
    room: Room, asked: float | None, code: str | None
) -> None:
    async def load(job: Job, report: Report) -> Generated:
        await asyncio.sleep(0.3 if asked is None else 20)
        return await make_image(job, report)

    room.runtime.script, room.runtime.cold = load, timedelta(seconds=20)
    sent = message(timeout_seconds=asked)

    await room.handle(sent, limit=0.05, cap=20)

    failure = room.notifier.ends[sent.uid].failure
    assert (failure.code if failure else None) == code


async def test_what_a_task_left_is_deleted_after_its_images_are_stored(room: Room) -> None:
    node = {"class_type": "LoadImage", "inputs": {"image": "s3://in/a.png"}}
    room.reader.bodies = {"s3://in/a.png": PNG}
    sent = message(tasktype="pipeline", content={"1": node})

    await room.handle(sent, comfy=True)

    [name] = room.runtime.uploads
    uploads = [f"folder/{name} (1)"]
    assert room.left == [Leftovers(uid=sent.uid, attempt=1, uploads=uploads)]
    assert room.ends_when_cleaned_up == 1


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
    "error", [TaskFailedError("broken", code="runtime_error"), TransientError("gone")]
)
async def test_what_an_attempt_left_that_came_to_nothing_is_deleted(
    room: Room, error: Exception
) -> None:
    async def fail(job: Job, report: Report) -> Generated:
        raise error

    room.runtime.script = fail
    sent = message()

    with suppress(TransientError):
        await room.handle(sent)

    assert room.left == [Leftovers(uid=sent.uid, attempt=1)]


async def test_more_files_than_a_callback_has_room_for_are_a_failure(room: Room) -> None:
    async def make(job: Job, report: Report) -> Generated:
        return Generated(files=tuple(File(body=PNG) for _ in range(5000)), answer={})

    room.runtime.script = make
    sent = message()

    await room.handle(sent)

    failure = room.notifier.ends[sent.uid].failure
    assert failure is not None
    assert failure.code == "runtime_error"
    assert "the run made 5000 files" in failure.message
    assert len(room.store.objects) == 1  # the document


async def test_out_document_keeps_what_a_run_without_files_said(room: Room) -> None:
    said = {"prompt_id": "p", "outputs": {"9": {"images": [{"filename": "a", "type": "temp"}]}}}

    async def nothing(job: Job, report: Report) -> Generated:
        return Generated(files=(), answer=said, why_nothing="only previews")

    room.runtime.script = nothing
    sent = message(tasktype="pipeline", content={})

    await room.handle(sent, comfy=True)

    failure = room.notifier.ends[sent.uid].failure
    assert failure is not None
    assert (failure.code, failure.message) == ("no_output", "only previews")
    assert room.out()["error"]["reason"] == said


async def test_out_document_says_which_file_came_from_which_node(room: Room) -> None:
    outputs = {
        "6": {"images": [{"filename": "a.png", "subfolder": "s", "type": "output"}]},
        "7": {"images": [{"filename": "a.png", "subfolder": "", "type": "output"}], "n": [1]},
        "8": {"text": ["x"]},
        "9": [{"type": "image_output", "image": {"image_name": "b.png"}}],
        "10": {"gifs": [{"filename": "a.png", "subfolder": "", "type": "temp"}]},
    }
    refs = (("a.png", "s", "output"), ("a.png", "", "output"), ("b.png",))

    async def make(job: Job, report: Report) -> Generated:
        files = tuple(File(body=PNG, name=ref[0], ref=ref) for ref in refs)
        return Generated(files=files, answer={"outputs": outputs})

    room.runtime.script = make
    sent = message(tasktype="pipeline", content={})

    await room.handle(sent, comfy=True)

    urls = room.notifier.ends[sent.uid].image_url
    told = room.out()["outputs"]
    assert [told[node]["image_url"] for node in "67"] == [[urls[0]], [urls[1]]]
    assert told["7"]["n"] == [1]
    assert (told["8"], told["10"]) == (outputs["8"], outputs["10"])
    assert told["9"][0]["image_url"] == [urls[2]]


async def test_grids_have_names_of_their_own(room: Room) -> None:
    async def make(job: Job, report: Report) -> Generated:
        grids = [False, False, True, True]
        return Generated(
            files=tuple(File(body=PNG, is_grid=is_grid) for is_grid in grids), answer={}
        )

    room.runtime.script = make
    sent = message()

    await room.handle(sent)

    ends = [url.rpartition("/")[2] for url in room.notifier.ends[sent.uid].image_url]
    stem = ends[0].removesuffix("-1.png")
    named = ["1", "2", "grid", "grid-2"]
    assert ends == [f"{stem}-{name}.png" for name in named]


async def test_out_document_is_json_whatever_numbers_the_runtime_said(room: Room) -> None:
    async def make(job: Job, report: Report) -> Generated:
        said = {"outputs": {"9": {"score": [float("nan"), float("-inf"), 0.5]}}}
        return Generated(files=(File(body=PNG),), answer=said)

    room.runtime.script = make

    await room.handle(message(), comfy=True)

    assert room.out()["outputs"] == {"9": {"score": [None, None, 0.5]}}


async def test_files_are_gone_when_their_task_has_ended(room: Room) -> None:
    body = FileBody()
    body.write(PNG)

    async def make(job: Job, report: Report) -> Generated:
        return Generated(files=(File(body=body),), answer={})

    room.runtime.script = make

    await room.handle(message())

    image, _ = room.store.objects
    assert room.store.objects[image] == (PNG, "image/png")
    with pytest.raises(ValueError, match="closed file"):
        body.read()


@pytest.mark.parametrize("verdict", [Verdict.FINISHED, Verdict.UNKNOWN])
async def test_task_with_nothing_to_do_may_be_deleted_without_work(
    room: Room, verdict: Verdict
) -> None:
    room.notifier.verdict = verdict

    await room.handle(message())

    assert room.runtime.jobs == []
    assert room.measured()["darkroom.agent.tasks"] == [{"outcome": verdict.name.lower()}]


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


async def test_failure_of_the_runtime_is_a_result(room: Room) -> None:
    async def fail(job: Job, report: Report) -> Generated:
        raise TaskFailedError("it broke", code="runtime_error", answer={"error": "Own"})

    room.runtime.script = fail
    sent = message()

    await room.handle(sent)

    end = room.notifier.ends[sent.uid]
    assert end.failure is not None
    assert (end.failure.code, end.image_url) == ("runtime_error", ())
    assert room.out() == {
        "images": [""],
        "parameters": {
            "id_task": "test-1",
            "status": 0,
            "error_msg": "it broke",
            "reason": {"error": "Own"},
        },
        "info": "",
    }


async def test_failure_of_a_pipeline_has_its_own_form(room: Room) -> None:
    async def fail(job: Job, report: Report) -> Generated:
        raise TaskFailedError("it broke", code="runtime_error", answer={"node_id": "3"})

    room.runtime.script = fail

    await room.handle(message(tasktype="pipeline", content={}), comfy=True)

    assert room.out()["code"] == 500
    assert room.out()["error"]["code"] == "runtime_error"
    assert room.out()["error"]["reason"] == {"node_id": "3"}


@pytest.mark.parametrize(("has_text", "code"), [(False, "no_output"), (True, None)])
async def test_run_without_images_fails_unless_it_gave_text(
    room: Room, has_text: bool, code: str | None
) -> None:
    async def nothing(job: Job, report: Report) -> Generated:
        return Generated(files=(), answer={}, has_text=has_text)

    room.runtime.script = nothing
    sent = message(tasktype="pipeline", content={})

    await room.handle(sent, comfy=True)

    failure = room.notifier.ends[sent.uid].failure
    assert (failure.code if failure else None) == code
    assert room.notifier.ends[sent.uid].image_url == ()


async def test_run_that_takes_too_long_is_interrupted_and_fails(room: Room) -> None:
    room.runtime.script = run_for_ever
    sent = message()

    await room.handle(sent, limit=0.01)

    failure = room.notifier.ends[sent.uid].failure
    assert failure is not None
    assert failure.code == "timeout"
    assert failure.retryable
    assert room.runtime.interrupts == 1


async def test_cancelled_task_is_interrupted_and_stores_nothing(room: Room) -> None:
    room.runtime.script = run_for_ever

    async with asyncio.TaskGroup() as group:
        running = group.create_task(room.handle(message()), name="handle")
        await room.runtime.started.wait()
        running.cancel()

    assert room.runtime.interrupts == 1
    assert room.store.objects == {}
    assert room.notifier.ends == {}


async def test_outages_after_the_run_do_not_repeat_the_run(room: Room) -> None:
    room.store.outages, room.notifier.outages = 2, 2
    sent = message()

    await room.handle(sent)

    assert len(room.runtime.jobs) == 1
    assert room.notifier.ends[sent.uid].failure is None


async def test_outage_that_outlasts_the_budget_gives_the_message_back(room: Room) -> None:
    room.notifier.outages = 1000

    with pytest.raises(TransientError):
        await room.handle(message(), budget=0.01)

    assert room.notifier.ends == {}


async def test_second_attempt_writes_the_same_keys(room: Room) -> None:
    sent = message()
    await room.handle(sent)
    keys = list(room.store.objects)

    await room.handle(sent)

    assert list(room.store.objects) == keys
    assert room.notifier.attempts[sent.uid] == 2


async def test_an_attempt_that_comes_too_late_leaves_what_is_there(room: Room) -> None:
    sent = message()
    await room.handle(sent)
    before = dict(room.store.objects)
    room.runtime.script = refuses

    await room.handle(sent)

    assert room.store.objects == before
    assert room.notifier.ends[sent.uid].failure is None


async def test_an_attempt_that_ends_the_task_has_a_document_of_its_own(room: Room) -> None:
    sent = message()
    await room.handle(sent)
    lost = room.notifier.ends.pop(sent.uid)  # that attempt stored everything, and was lost

    await room.handle(sent)

    end = room.notifier.ends[sent.uid]
    assert end.image_url == lost.image_url
    assert end.output_url != lost.output_url
    assert end.output_url.endswith(f"/test-1-{sent.uid.lower()}-a2.out")
    assert len(room.store.objects) == 3


async def test_submissions_whose_code_is_the_same_do_not_overwrite_one_another(
    room: Room,
) -> None:
    first = message()
    second = message(uid=with_the_code_of(first.uid))

    await room.handle(first)
    stored = dict(room.store.objects)
    await room.handle(second)

    assert stored.items() <= room.store.objects.items()
    one, two = room.notifier.ends[first.uid], room.notifier.ends[second.uid]
    assert one.image_url != two.image_url
    assert one.output_url != two.output_url
    for url in (*two.image_url, two.output_url):
        assert second.uid.lower() in url
        assert url.removeprefix("s3://bucket/") in room.store.objects


def with_the_code_of(uid: Uid) -> Uid:
    """Another uid that leads to the same keys."""
    code = hashlib.sha256(uid.encode()).hexdigest()[:4]
    while True:
        other = new_uid()
        if hashlib.sha256(other.encode()).hexdigest()[:4] == code:
            return other


async def refuses(job: Job, report: Report) -> Generated:
    raise TaskFailedError("no such sampler", code="runtime_rejected")


async def test_progress_that_is_not_taken_does_no_harm(room: Room) -> None:
    room.notifier.reports_fail = True

    async def slow(job: Job, report: Report) -> Generated:
        generated = await make_image(job, report)
        for _ in range(5):
            await asyncio.sleep(0)
        return generated

    room.runtime.script = slow
    sent = message()

    await room.handle(sent)

    assert room.notifier.ends[sent.uid].failure is None
