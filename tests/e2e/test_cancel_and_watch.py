"""Taking a task back and following it, with each shape of runtime."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from commands import run
from harness import Callbacks, Stack, pipeline, running_stack, text_to_image
from httpx_sse import aconnect_sse

from provisioning.resources import subscribe_queue

EVENT_SECONDS = 300


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack whose runs tests hold still."""
    folder: Path = tmp_path_factory.mktemp("followed")
    with running_stack(folder) as running:
        yield running


@pytest.fixture(scope="module")
def told(slow: Stack) -> Callbacks:
    url = asyncio.run(subscribe_queue(slow.info["result_topic_arn"], "cancel-callbacks"))
    return Callbacks(queue_url=url)


def tasks(name: str, *, seed: int) -> list[Any]:
    """One task for each shape of runtime."""
    return [
        pytest.param(text_to_image(f"{name}-sd", steps=20), id="sdwebui"),
        pytest.param(pipeline(f"{name}-comfy", seed=seed), id="comfyui"),
    ]


async def delete(stack: Stack, uid: str) -> httpx.Response:
    async with stack.client() as client:
        return await client.delete(f"/v1/tasks/{uid}")


async def events(
    stack: Stack, uid: str, last: str = ""
) -> AsyncIterator[tuple[int, str, dict[str, Any]]]:
    headers = {"last-event-id": last} if last else {}
    async with (
        asyncio.timeout(EVENT_SECONDS),
        stack.client() as client,
        aconnect_sse(client, "GET", f"/v1/tasks/{uid}/events", headers=headers) as source,
    ):
        async for event in source.aiter_sse():
            yield int(event.id.removeprefix(f"{uid}-")), event.event, event.json()


@pytest.mark.parametrize("task", tasks("cancel-running", seed=21))
async def test_running_task_is_interrupted(
    slow: Stack, told: Callbacks, task: dict[str, Any]
) -> None:
    with slow.held():
        accepted = await slow.submit(**task)
        await slow.until(accepted["uid"], "running")

        answer = await delete(slow, accepted["uid"])

        assert answer.status_code == 200, answer.text
        callback = await told.of(accepted["uid"])
    assert (callback["status"], callback["result"]) == ("cancelled", False)
    assert callback["image_url"] == []
    again = await delete(slow, accepted["uid"])
    assert (again.status_code, again.json()["code"]) == (409, "already_finished")


@pytest.mark.parametrize("task", tasks("cancel-queued", seed=22))
async def test_queued_task_never_runs_and_the_one_before_it_completes(
    slow: Stack, told: Callbacks, task: dict[str, Any]
) -> None:
    with slow.held():
        first = await slow.submit(**task)
        # The agent stages one task beside the running one: the last of these is still queued.
        later = [await slow.submit(**task) for _ in range(3)]
        await slow.until(first["uid"], "running")

        for accepted in reversed(later):
            assert (await delete(slow, accepted["uid"])).status_code == 200

        for accepted in later:
            assert (await told.of(accepted["uid"]))["status"] == "cancelled"
    assert (await told.of(first["uid"]))["status"] == "completed"
    assert (await slow.task(later[-1]["uid"]))["attempt"] == 0


@pytest.mark.parametrize("task", tasks("progress", seed=23))
async def test_progress_is_followed_to_the_end(slow: Stack, task: dict[str, Any]) -> None:
    seen = []
    with ExitStack() as held:
        held.enter_context(slow.held())
        accepted = await slow.submit(**task)
        async for event in events(slow, accepted["uid"]):
            seen.append(event)
            if event[1] == "progress":
                held.close()

    numbers = [number for number, _, _ in seen]
    assert numbers == sorted(set(numbers))
    steps = [content["step"] for _, kind, content in seen if kind == "progress"]
    assert steps, seen
    assert steps == sorted(steps)
    states = [content["state"] for _, kind, content in seen if kind == "state"]
    assert states[-2:] == ["running", "completed"]


@pytest.mark.parametrize("task", tasks("resume", seed=24))
async def test_broken_stream_is_taken_up_where_it_broke(
    slow: Stack, task: dict[str, Any]
) -> None:
    with slow.held():
        accepted = await slow.submit(**task)
        await slow.until(accepted["uid"], "running")
        stream = events(slow, accepted["uid"])
        last, _, _ = await anext(stream)
        await stream.aclose()  # type: ignore[attr-defined]  # it is a generator
        slow.find("notifier.main").send_signal(signal.SIGKILL)

    seen = f"{accepted['uid']}-{last}"
    rest = [event async for event in events(slow, accepted["uid"], seen)]

    assert all(number > last for number, _, _ in rest)
    assert rest[-1][2]["state"] == "completed"


def test_watch_command_follows_a_task(slow: Stack) -> None:
    run(
        "submit", "--prompt", "watched", "--id", "watched", "--data-dir", str(slow.folder)
    )  # fmt: skip

    assert '"state": "completed"' in run("watch", "watched", "--data-dir", str(slow.folder))
    assert "watched" in run("tasks", "--state", "completed", "--data-dir", str(slow.folder))


async def test_same_idempotency_key_is_the_same_submission(slow: Stack) -> None:
    task = text_to_image("once", steps=1)
    async with slow.client() as client:
        headers = {"idempotency-key": "order-7"}
        first = await client.post("/v1alpha2", json={"task": task}, headers=headers)
        second = await client.post("/v1alpha2", json={"task": task}, headers=headers)
        task["content"]["prompt"] = "Another dog"
        other = await client.post("/v1alpha2", json={"task": task}, headers=headers)

    assert first.status_code == second.status_code == 200
    assert first.json() == second.json()
    assert (other.status_code, other.json()["code"]) == (409, "idempotency_conflict")


async def test_waited_for_task_comes_with_the_answer_and_its_links_work(slow: Stack) -> None:
    async with slow.client() as client:
        answer = await client.post(
            "/v1alpha2",
            json={"task": text_to_image("waited", steps=1)},
            headers={"prefer": "wait=40"},
        )
        assert answer.json()["task"]["state"] == "completed"
        uid = answer.json()["uid"]
        task = (await client.get(f"/v1/tasks/{uid}?links=60")).json()
    async with httpx.AsyncClient(trust_env=False) as anyone:
        images = [await anyone.get(link) for link in task["links"]]
    assert len(images) == len(task["image_url"]) + 1
    assert images[0].content.startswith(b"\x89PNG")
