from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import timedelta

import pytest
from handler_parts import Room
from queue_agent_fakes import PNG, make_image, message

from contracts.verdict import Verdict
from queue_agent.domain import File, Generated, Job, Leftovers, TaskFailedError
from queue_agent.files.body import FileBody
from queue_agent.ports import Report
from servicekit.errors import TransientError


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
    assert end.started_at is not None


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
    assert failure is None or failure.message == "the runtime took longer than 1 s"


async def test_what_a_task_left_is_deleted_after_its_images_are_stored(room: Room) -> None:
    node = {"class_type": "LoadImage", "inputs": {"image": "s3://in/a.png"}}
    room.reader.bodies = {"s3://in/a.png": PNG}
    sent = message(tasktype="pipeline", content={"1": node})

    await room.handle(sent, comfy=True)

    [name] = room.runtime.uploads
    uploads = [f"folder/{name} (1)"]
    assert room.left == [Leftovers(uid=sent.uid, attempt=1, uploads=uploads)]
    assert room.ends_when_cleaned_up == 1


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


async def test_what_the_runtime_did_otherwise_than_asked_is_told(room: Room) -> None:
    async def make(job: Job, report: Report) -> Generated:
        answer = {"info": "{}", "parameters": {}}
        return Generated(files=(File(body=PNG),), answer=answer, warnings=("another sampler",))

    room.runtime.script = make
    sent = message()

    await room.handle(sent)

    assert room.notifier.ends[sent.uid].warnings == ("another sampler",)
    assert room.out()["warnings"] == ["another sampler"]


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
