from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image as Pillow
from stub_server import BREAK, UID, Reply, StubServer, accepted, problem, task

from darkroom_client import (
    DarkroomError,
    Forbidden,
    TaskCancelled,
    TaskFailed,
    TaskRequest,
    TooLarge,
    WaitTimeout,
)

DOG = TaskRequest(runtime="sdruntime", content={"prompt": "A dog"}, id="first")
POST = "POST /v1alpha2"
TASK = f"GET /v1/tasks/{UID}"
LINKS = f"{TASK}?links=600"


@pytest.fixture
def linked(server: StubServer) -> StubServer:
    """A server on which every task has one image."""
    server.on(LINKS, Reply(task(links=[f"{server.url}/a.png?signed=1"])))
    server.on("GET /a.png?signed=1", Reply(b"pixels"))
    return server


def test_image_of_a_task_is_made_and_fetched_without_the_key(
    darkroom: Any, linked: StubServer
) -> None:
    linked.on(POST, Reply(accepted()))
    linked.on(TASK, Reply(task(state="queued")), Reply(task(state="running")), Reply(task()))

    generated = darkroom.generate(DOG)

    (image,) = generated.images
    assert (generated.task.state, image.content) == ("completed", b"pixels")
    assert image.name == "first-4b6b-1.png"
    assert "x-api-key" not in linked.of("GET /a.png?signed=1")[0].headers


def test_task_that_ends_during_the_submission_is_not_asked_for(
    darkroom: Any, linked: StubServer
) -> None:
    linked.on(POST, BREAK, Reply(accepted(task=task())))

    assert len(darkroom.generate(DOG).images) == 1
    assert linked.of(TASK) == []


def test_task_without_images_has_none(darkroom: Any, linked: StubServer) -> None:
    linked.on(POST, Reply(accepted(task=task(image_url=[]))))

    assert darkroom.generate(DOG).images == ()
    assert linked.of(LINKS) == []


def test_failed_task_tells_why(darkroom: Any, linked: StubServer) -> None:
    error = {"code": "runtime_failed", "message": "out of memory", "retryable": True}
    linked.on(POST, Reply(accepted(task=task(state="failed", error=error))))

    with pytest.raises(TaskFailed, match="runtime_failed: out of memory") as caught:
        darkroom.generate(DOG)

    assert (caught.value.code, caught.value.retryable) == ("runtime_failed", True)
    assert caught.value.task.uid == UID


def test_cancelled_task_is_an_error(darkroom: Any, linked: StubServer) -> None:
    linked.on(POST, Reply(accepted(task=task(state="cancelled"))))

    with pytest.raises(TaskCancelled):
        darkroom.generate(DOG)


def test_wait_ends_in_time_and_tells_the_task(darkroom: Any, linked: StubServer) -> None:
    linked.on(POST, Reply(accepted()))
    linked.on(TASK, Reply(task(state="running")))

    with pytest.raises(WaitTimeout, match="is running after") as caught:
        darkroom.generate(DOG, timeout=0.1)

    assert caught.value.task.uid == UID


def test_link_that_has_run_out_is_asked_for_again(darkroom: Any, linked: StubServer) -> None:
    linked.on(POST, Reply(accepted(task=task())))
    linked.on(
        LINKS,
        Reply(task(links=[f"{linked.url}/old.png"])),
        Reply(task(links=[f"{linked.url}/a.png?signed=1"])),
    )
    linked.on("GET /old.png", Reply(b"<Error>Request has expired</Error>", 403))

    assert darkroom.generate(DOG).images[0].content == b"pixels"


def test_link_that_has_run_out_is_asked_for_again_only_once(
    darkroom: Any, linked: StubServer
) -> None:
    linked.on(POST, Reply(accepted(task=task())))
    linked.on("GET /a.png?signed=1", Reply(b"<Error/>", 403))

    with pytest.raises(Forbidden):
        darkroom.generate(DOG)
    assert len(linked.of(LINKS)) == 2


def test_download_that_breaks_off_is_made_again(darkroom: Any, linked: StubServer) -> None:
    linked.on(POST, Reply(accepted(task=task())))
    linked.on("GET /a.png?signed=1", Reply(b"pix", cut=True), Reply(b"pixels"))

    assert darkroom.generate(DOG).images[0].content == b"pixels"


def test_image_that_is_too_large_is_not_fetched_to_its_end(
    connect: Callable[..., Any], linked: StubServer
) -> None:
    linked.on(POST, Reply(accepted(task=task())))

    with pytest.raises(TooLarge, match="more than 5 bytes"):
        connect(linked.url, image_bytes=5).generate(DOG)


def test_image_is_saved_and_opened(darkroom: Any, linked: StubServer, tmp_path: Path) -> None:
    file = io.BytesIO()
    Pillow.new("RGB", (8, 6), "orange").save(file, "PNG")
    linked.on(POST, Reply(accepted(task=task())))
    linked.on("GET /a.png?signed=1", Reply(file.getvalue()))

    (image,) = darkroom.generate(DOG).images

    assert image.pil().size == (8, 6)
    assert image.save(tmp_path / "new" / "a.png").read_bytes() == file.getvalue()


def numbered(count: int) -> list[TaskRequest]:
    return [TaskRequest(runtime="sdruntime", content={"n": n}) for n in range(count)]


def test_batch_keeps_the_order_and_its_bound(darkroom: Any, linked: StubServer) -> None:
    slow = Reply(accepted(task=task()), seconds=0.1)
    linked.on(POST, Reply(accepted(task=task()), seconds=0.5), *[slow] * 9)

    outcomes = list(darkroom.batch(numbered(10), concurrency=3))

    assert [each.index for each in outcomes] == list(range(10))
    assert [each.request.content["n"] for each in outcomes] == list(range(10))
    assert all(each.images[0].content == b"pixels" for each in outcomes)
    assert linked.most_at_once == 3


def test_batch_gives_what_is_done_first_if_the_order_does_not_matter(
    darkroom: Any, linked: StubServer
) -> None:
    done = Reply(accepted(task=task()))
    linked.on(POST, Reply(accepted(task=task()), seconds=1), *[done] * 4)

    outcomes = list(darkroom.batch(numbered(5), concurrency=2, ordered=False))

    assert sorted(each.index for each in outcomes) == list(range(5))
    sent = [json.loads(each.body)["task"]["content"]["n"] for each in linked.of(POST)]
    assert outcomes[-1].index == sent[0]


def test_task_of_a_batch_that_fails_keeps_no_other_from_being_done(
    darkroom: Any, linked: StubServer
) -> None:
    done = Reply(accepted(task=task()))
    linked.on(POST, done, problem("runtime_not_found", 404), done)

    outcomes = list(darkroom.batch(numbered(3), concurrency=1))

    assert [type(each.error).__name__ for each in outcomes] == [
        "NoneType", "RuntimeNotFound", "NoneType"
    ]  # fmt: skip
    with pytest.raises(DarkroomError, match="runtime_not_found"):
        _ = outcomes[1].images


def test_batch_that_is_given_up_hands_no_more_in(darkroom: Any, linked: StubServer) -> None:
    linked.on(POST, Reply(accepted(task=task())), Reply(accepted()))
    linked.on(TASK, Reply(task(state="running")))

    outcomes = darkroom.batch(numbered(50), concurrency=2, ordered=False)
    next(outcomes)
    outcomes.close()

    handed_in = len(linked.of(POST))
    assert handed_in <= 4
    assert darkroom.task(UID).state == "running"
    assert len(linked.of(POST)) == handed_in


def test_batch_without_room_for_one_is_refused(darkroom: Any) -> None:
    with pytest.raises(ValueError, match="concurrency must be at least 1"):
        list(darkroom.batch([DOG], concurrency=0))
