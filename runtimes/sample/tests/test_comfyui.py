"""The ComfyUI shape over HTTP and the websocket: what surprises, and how it fails."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from comfyui_client import (
    events_until,
    history,
    listen,
    message_names,
    run,
    submit,
    with_prompt,
)
from PIL import Image, ImageSequence

from testkit.sample_runtimes import SampleRuntime

Start = Callable[..., SampleRuntime]
Event = tuple[str, dict[str, Any]]


async def test_events_of_a_run_come_in_order(
    comfy: str, comfy_client: httpx.AsyncClient, workflow: dict[str, Any]
) -> None:
    async with listen(comfy, "events") as socket:
        prompt_id = await submit(comfy_client, workflow, "events")
        events = await events_until(socket, "end")

    names = [name for name, _ in events]
    executing = [content["node"] for name, content in events if name == "executing"]
    progress = [
        (content["value"], content["max"]) for name, content in events if name == "progress"
    ]
    assert names[:2] == ["execution_start", "execution_cached"]
    assert names[-2:] == ["execution_success", "executing"]
    assert executing[-3:] == ["8", "9", None]
    assert progress == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert all(content["prompt_id"] == prompt_id for _, content in events)
    states = [content["nodes"] for name, content in events if name == "progress_state"]
    assert states[-1]["3"]["state"] == "finished"
    [executed] = [content for name, content in events if name == "executed"]
    assert executed["output"]["images"][0]["type"] == "output"


async def test_status_goes_to_all_and_other_events_to_their_client(
    comfy: str, comfy_client: httpx.AsyncClient, workflow: dict[str, Any]
) -> None:
    async with listen(comfy, "mine") as mine, listen(comfy, "other") as other:
        await submit(comfy_client, workflow, "mine")
        await events_until(mine, "end")
        await submit(comfy_client, workflow, "other")
        events = await events_until(other, "execution_start", keep_status=True)

    assert {name for name, _ in events[:-1]} == {"status"}
    assert len(events) > 2
    assert events[0][1]["sid"] == "other"


async def test_same_graph_again_is_answered_with_the_old_files(
    comfy: str, comfy_client: httpx.AsyncClient, workflow: dict[str, Any]
) -> None:
    first = await run(comfy, comfy_client, workflow)
    again = await run(comfy, comfy_client, workflow)

    cached = dict(again["status"]["messages"])["execution_cached"]["nodes"]
    assert again["outputs"] == first["outputs"]
    assert set(cached) == set(workflow)
    assert message_names(again)[-1] == "execution_success"


async def test_changed_seed_writes_a_new_file(
    comfy: str, comfy_client: httpx.AsyncClient, workflow: dict[str, Any]
) -> None:
    first = await run(comfy, comfy_client, workflow)
    workflow["3"]["inputs"]["seed"] += 1
    second = await run(comfy, comfy_client, workflow)

    assert first["outputs"]["9"]["images"] != second["outputs"]["9"]["images"]


async def test_failure_ends_with_executing_null_and_its_history_tells(
    comfy: str, comfy_client: httpx.AsyncClient, workflow: dict[str, Any]
) -> None:
    async with listen(comfy, "fails") as socket:
        prompt_id = await submit(comfy_client, with_prompt(workflow, "broken"), "fails")
        events = await events_until(socket, "end")

    error = dict(events)["execution_error"]
    entry = await history(comfy_client, prompt_id)
    assert (error["node_id"], error["node_type"]) == ("3", "KSampler")
    assert error["exception_type"] == "RuntimeError"
    assert error["exception_message"]
    assert error["traceback"]
    assert entry["status"]["status_str"] == "error"
    assert entry["status"]["completed"] is False
    assert message_names(entry)[-1] == "execution_error"
    assert entry["outputs"] == {}


async def test_interrupt_shows_as_an_error_that_only_its_message_tells_apart(
    comfy: str, comfy_client: httpx.AsyncClient, workflow: dict[str, Any]
) -> None:
    async with listen(comfy, "stuck") as socket:
        prompt_id = await submit(comfy_client, with_prompt(workflow, "stuck"), "stuck")
        await events_until(socket, "execution_cached")
        unfinished = (await comfy_client.get(f"/history/{prompt_id}")).json()
        await comfy_client.post("/interrupt")
        events = await events_until(socket, "end")

    entry = await history(comfy_client, prompt_id)
    assert unfinished == {}
    assert "execution_interrupted" in dict(events)
    assert entry["status"]["status_str"] == "error"
    assert "execution_interrupted" in message_names(entry)
    assert "execution_error" not in message_names(entry)


async def test_interrupt_for_another_prompt_is_ignored(
    comfy: str, comfy_client: httpx.AsyncClient, workflow: dict[str, Any]
) -> None:
    async with listen(comfy, "kept") as socket:
        prompt_id = await submit(comfy_client, with_prompt(workflow, "stuck"), "kept")
        await events_until(socket, "execution_cached")
        await comfy_client.post("/interrupt", json={"prompt_id": "another"})
        running = (await comfy_client.get("/queue")).json()["queue_running"]
        await comfy_client.post("/interrupt", json={"prompt_id": prompt_id})
        events = await events_until(socket, "end")

    assert [one[1] for one in running] == [prompt_id]
    assert "execution_interrupted" in dict(events)


async def test_waiting_prompt_is_dropped_with_no_event_but_status(
    comfy: str, comfy_client: httpx.AsyncClient, workflow: dict[str, Any]
) -> None:
    async with listen(comfy, "runs") as runs, listen(comfy, "waits") as waits:
        await submit(comfy_client, with_prompt(workflow, "stuck"), "runs")
        await events_until(runs, "execution_cached")
        waiting = await submit(comfy_client, workflow, "waits")
        queue = (await comfy_client.get("/queue")).json()
        await comfy_client.post("/queue", json={"delete": [waiting]})
        remaining = (await comfy_client.get("/prompt")).json()["exec_info"]
        await comfy_client.post("/interrupt")
        await events_until(runs, "end")
        last = await submit(comfy_client, workflow, "waits")
        events = await events_until(waits, "end")

    assert [one[1] for one in queue["queue_pending"]] == [waiting]
    assert remaining == {"queue_remaining": 1}
    assert {content["prompt_id"] for _, content in events} == {last}
    assert (await comfy_client.get(f"/history/{waiting}")).json() == {}


async def test_cleared_queue_is_empty(
    comfy: str, comfy_client: httpx.AsyncClient, workflow: dict[str, Any]
) -> None:
    async with listen(comfy, "clears") as socket:
        await submit(comfy_client, with_prompt(workflow, "stuck"), "clears")
        await events_until(socket, "execution_cached")
        await submit(comfy_client, workflow)
        await comfy_client.post("/queue", json={"clear": True})
        queue = (await comfy_client.get("/queue")).json()
        await comfy_client.post("/interrupt")
        await events_until(socket, "end")

    assert queue["queue_pending"] == []


async def test_second_upload_of_a_name_gets_a_number_unless_it_overwrites(
    comfy_client: httpx.AsyncClient,
) -> None:
    name = f"{uuid4()}.png"
    files = {"image": (name, b"first")}

    first = await comfy_client.post("/upload/image", files=files)
    second = await comfy_client.post("/upload/image", files={"image": (name, b"second")})
    third = await comfy_client.post(
        "/upload/image", files={"image": (name, b"third")}, data={"overwrite": "true"}
    )
    query = {"filename": name, "type": "input"}
    content = (await comfy_client.get("/view", params=query)).content

    assert first.json() == {"name": name, "subfolder": "", "type": "input"}
    assert second.json()["name"] == name.replace(".png", " (1).png")
    assert third.json()["name"] == name
    assert content == b"third"


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({"filename": "missing.png"}, 404),
        ({"filename": "../x.png"}, 400),
        ({"filename": "x.png", "subfolder": "../.."}, 403),
        ({}, 400),
    ],
)
async def test_file_that_is_not_there_is_not_shown(
    comfy_client: httpx.AsyncClient, query: dict[str, str], status: int
) -> None:
    assert (await comfy_client.get("/view", params=query)).status_code == status


async def test_preview_is_of_type_temp_and_text_is_shown(
    comfy: str, comfy_client: httpx.AsyncClient, workflow: dict[str, Any]
) -> None:
    workflow["9"] = {"class_type": "PreviewImage", "inputs": {"images": ["8", 0]}}
    workflow["10"] = {"class_type": "PreviewAny", "inputs": {"source": ["6", 0]}}

    outputs = (await run(comfy, comfy_client, workflow))["outputs"]

    assert outputs["9"]["images"][0]["type"] == "temp"
    assert outputs["10"] == {"text": ["a glass bottle"]}


async def test_animation_has_a_frame_for_each_picture(
    comfy: str, comfy_client: httpx.AsyncClient, workflow: dict[str, Any]
) -> None:
    workflow["5"]["inputs"]["batch_size"] = 3
    workflow["9"] = {
        "class_type": "SaveAnimatedWEBP",
        "inputs": {
            "images": ["8", 0],
            "filename_prefix": "films/dog",
            "fps": 4.0,
            "lossless": False,
            "quality": 50,
            "method": "default",
        },
    }

    output = (await run(comfy, comfy_client, workflow))["outputs"]["9"]

    [file] = output["images"]
    content = (await comfy_client.get("/view", params=file)).content
    assert output["animated"] == [True]
    assert file["subfolder"] == "films"
    assert len(ImageSequence.all_frames(Image.open(io.BytesIO(content)))) == 3


async def test_prefix_that_leads_outside_fails_the_run(
    comfy: str, comfy_client: httpx.AsyncClient, workflow: dict[str, Any]
) -> None:
    workflow["9"]["inputs"]["filename_prefix"] = "../../outside"

    entry = await run(comfy, comfy_client, workflow)

    assert message_names(entry)[-1] == "execution_error"


async def test_picture_can_be_painted_over(
    comfy: str, comfy_client: httpx.AsyncClient, workflow: dict[str, Any], picture: Image.Image
) -> None:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    files = {"image": (f"{uuid4()}.png", buffer.getvalue())}
    name = (await comfy_client.post("/upload/image", files=files)).json()["name"]
    workflow["1"] = {"class_type": "LoadImage", "inputs": {"image": name}}
    workflow["2"] = {"class_type": "VAEEncode", "inputs": {"pixels": ["1", 0], "vae": ["4", 2]}}
    workflow["3"]["inputs"] |= {"latent_image": ["2", 0], "denoise": 0.6}

    entry = await run(comfy, comfy_client, workflow)

    [file] = entry["outputs"]["9"]["images"]
    image = Image.open(io.BytesIO((await comfy_client.get("/view", params=file)).content))
    assert image.size == (64, 48)
    assert image.getpixel((0, 0)) == (255, 0, 0)


async def test_unknown_node_class_has_an_empty_description(
    comfy_client: httpx.AsyncClient,
) -> None:
    assert (await comfy_client.get("/object_info/Nope")).json() == {}
    assert "KSampler" in (await comfy_client.get("/object_info")).json()


async def test_results_are_written_to_the_given_folder(
    start: Start, tmp_path: Path, workflow: dict[str, Any]
) -> None:
    url, _ = start("comfyui", "--output-dir", str(tmp_path / "out"))

    async with httpx.AsyncClient(base_url=url) as client:
        entry = await run(url, client, workflow)

    [file] = entry["outputs"]["9"]["images"]
    assert (tmp_path / "out" / file["filename"]).is_file()


async def test_cached_run_does_not_occupy_the_device(
    start: Start, tmp_path: Path, workflow: dict[str, Any]
) -> None:
    log = tmp_path / "busy.jsonl"
    url, _ = start("comfyui", "--seconds-per-image", "0", "--busy-log", str(log))

    async with httpx.AsyncClient(base_url=url) as client:
        await run(url, client, workflow)
        await run(url, client, workflow)

    assert len(log.read_text().splitlines()) == 1


async def test_websocket_that_comes_back_learns_which_node_runs(
    comfy: str, comfy_client: httpx.AsyncClient, workflow: dict[str, Any]
) -> None:
    async with listen(comfy, "returns") as socket:
        await submit(comfy_client, with_prompt(workflow, "stuck"), "returns")
        events = await events_until(socket, "execution_cached")
        while events[-1][1].get("node") != "3":
            events += await events_until(socket, "executing")

    async with listen(comfy, "returns") as socket:
        [current] = await events_until(socket, "executing")
        await comfy_client.post("/interrupt")
        rest = await events_until(socket, "end")

    assert current == ("executing", {"node": "3"})
    assert "execution_interrupted" in dict(rest)
