"""How a task ends that fails, is cancelled, or is tried again."""

from __future__ import annotations

import asyncio
import hashlib

import pytest
from handler_parts import Room
from queue_agent_fakes import make_image, message, run_for_ever

from contracts.ids import Uid, new_uid
from queue_agent.domain import Generated, Job, TaskFailedError
from queue_agent.ports import Report
from servicekit.errors import TransientError


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
