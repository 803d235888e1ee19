"""APIs of other servers at the edge; their own clients judge them in `tests/e2e`."""

from __future__ import annotations

import gzip
import json
from base64 import b64decode, b64encode
from dataclasses import replace
from typing import Any

import pytest
from ingest_fakes import CALLER, KEY, UID, World, change, digest, encode, rest

from contracts.keys import KeyScope
from contracts.state import TaskState
from darkroom.task.v1.task_pb2 import TaskError, TaskProgress, TaskRecord
from ingest.http.edge import operation_of
from ingest.keys import Gate

SDWEBUI = "/runtimes/sdruntime/sdapi/v1"
OPENAI = "/openai/v1/images"
OUT = {
    "images": [""],
    "parameters": {"steps": 3, "image_seed": "7", "id_task": UID, "error_msg": ""},
    "info": '{"all_seeds": [7]}',
}
IMAGES = ("s3://outputbucket/a-1.png", "s3://outputbucket/a-2.png")
PNG = b"\x89PNG\r\n\x1a\n"


def completed(world: World, **changes: Any) -> None:
    """Let the task that comes next be completed with two images."""
    world.router.out = encode(OUT)
    known = {"state": TaskState.COMPLETED, "image_url": IMAGES, "progress": None}
    world.notifier.tell(change(1, **known, **changes))


def in_base64(text: str) -> str:
    return b64encode(text.encode()).decode()


@pytest.mark.parametrize("path", [SDWEBUI, "/sdapi/v1"])
async def test_txt2img_waits_and_answers_as_sd_webui_does(world: World, path: str) -> None:
    completed(world)
    body = {"prompt": "A dog", "steps": 3, "send_images": True, "save_images": True}
    async with rest(world) as client:
        answer = await client.post(f"{path}/txt2img", json=body)

    assert answer.json() == {
        "images": [in_base64("image 0"), in_base64("image 1")],
        "parameters": {"steps": 3},
        "info": '{"all_seeds": [7]}',
    }
    [(submission, tenant)] = world.router.submitted
    assert (submission.runtime, submission.tasktype, tenant) == (
        "sdruntime",
        "text-to-image",
        "studio",
    )
    assert json.loads(submission.content) == {"prompt": "A dog", "steps": 3}


async def test_images_that_are_not_to_be_sent_are_made_all_the_same(world: World) -> None:
    completed(world)
    async with rest(world) as client:
        body = {"prompt": "A dog", "send_images": False}
        answer = await client.post(f"{SDWEBUI}/txt2img", json=body)

    assert answer.json()["images"] == []
    assert len(world.router.submitted) == 1


@pytest.mark.parametrize(
    ("resource", "tasktype", "told"),
    [
        ("extra-single-image", "extra-single-image", {"image": in_base64("image 0")}),
        (
            "extra-batch-images",
            "extra-batch-images",
            {"images": [in_base64("image 0"), in_base64("image 1")]},
        ),
    ],
)
async def test_upscaled_images_come_as_sd_webui_sends_them(
    world: World, resource: str, tasktype: str, told: dict[str, Any]
) -> None:
    completed(world)
    world.router.out = encode({"parameters": {"html_info": "<p>"}, "info": ""})
    async with rest(world) as client:
        answer = await client.post(f"{SDWEBUI}/{resource}", json={"image": "aGk="})

    assert answer.json() == {"html_info": "<p>", **told}
    assert world.router.submitted[0][0].tasktype == tasktype


async def test_failed_task_is_an_error_that_no_client_repeats(world: World) -> None:
    error = TaskError(code="out_of_memory", message="CUDA out of memory")
    world.notifier.tell(change(1, state=TaskState.FAILED, error=error))
    async with rest(world) as client:
        answer = await client.post(f"{SDWEBUI}/txt2img", json={"prompt": "A dog"})

    assert answer.status_code == 422
    assert answer.json() == {
        "error": "task_failed",
        "detail": f"CUDA out of memory (task {UID})",
        "body": "",
        "errors": "",
    }


async def test_wait_that_is_over_says_where_the_task_is(world: World) -> None:
    world.native_seconds = 0.01
    async with rest(world) as client:
        answer = await client.post(f"{SDWEBUI}/txt2img", json={"prompt": "A dog"})

    assert answer.status_code == 504
    assert f"/v1/tasks/{UID}" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("method", "path", "status", "error"),
    [
        ("POST", "/runtimes/comfy/sdapi/v1/txt2img", 404, "runtime_not_found"),
        ("POST", f"{SDWEBUI}/reload-checkpoint", 404, "not_found"),
        ("GET", f"{SDWEBUI}/txt2img", 405, "method_not_allowed"),
    ],
)
async def test_what_is_not_there_is_refused_in_sd_webuis_words(
    world: World, method: str, path: str, status: int, error: str
) -> None:
    async with rest(world) as client:
        answer = await client.request(method, path, json={})

    assert answer.status_code == status
    assert answer.json().keys() == {"error", "detail", "body", "errors"}
    assert answer.json()["error"] == error


@pytest.mark.parametrize(
    "headers",
    [
        {"x-api-key": KEY},
        {"authorization": f"Bearer {KEY}"},
        {"authorization": "Basic " + in_base64(f"anybody:{KEY}")},
    ],
)
async def test_key_comes_as_each_client_can_send_it(
    world: World, headers: dict[str, str]
) -> None:
    async with rest(world, key=None) as client:
        answer = await client.get(f"{SDWEBUI}/progress", headers=headers)

    assert answer.status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "Basic !"},
        {"authorization": f"Digest {KEY}"},
        {"authorization": "Bearer nobody"},
        {"authorization": f"Bearer {KEY}", "x-api-key": KEY},
    ],
)
async def test_who_has_no_one_key_is_asked_for_it(
    world: World, headers: dict[str, str]
) -> None:
    async with rest(world, key=None) as client:
        answer = await client.get(f"{SDWEBUI}/progress", headers=headers)

    assert (answer.status_code, answer.json()["error"]) == (401, "unauthorized")
    assert answer.headers["www-authenticate"].startswith("Basic ")


async def test_key_that_reads_makes_no_image(world: World) -> None:
    world.gate = Gate({digest(KEY): replace(CALLER, scope=KeyScope.READ)})
    async with rest(world) as client:
        paths = (f"{SDWEBUI}/txt2img", f"{SDWEBUI}/interrupt", f"{OPENAI}/generations")
        answers = [await client.post(path, json={"prompt": "A dog"}) for path in paths]

    assert [answer.status_code for answer in answers] == [403, 403, 403]
    assert world.router.submitted == []


def of(key: str, **changes: Any) -> TaskRecord:
    """A running task of a key."""
    task = change(1, **changes).task
    task.key = key
    return task


async def test_progress_and_interrupt_are_of_the_keys_own_task(world: World) -> None:
    world.router.known = [of("another", uid="01JD0000000000000000000001"), of("tests")]
    async with rest(world) as client:
        told = (await client.get(f"{SDWEBUI}/progress")).json()
        stopped = await client.post(f"{SDWEBUI}/interrupt")

    assert told["progress"] == pytest.approx(1 / 3, abs=0.001)
    assert told["state"]["job"] == UID
    assert (told["state"]["sampling_step"], told["state"]["sampling_steps"]) == (1, 3)
    assert stopped.json() == {}
    assert world.router.cancelled == [UID]


async def test_nobody_elses_task_is_told_or_stopped(world: World) -> None:
    world.router.known = [of("another")]
    async with rest(world) as client:
        told = (await client.get(f"{SDWEBUI}/progress")).json()
        await client.post(f"{SDWEBUI}/interrupt")

    assert (told["progress"], told["state"]["job_count"]) == (0, 0)
    assert world.router.cancelled == []


async def test_generations_are_made_by_sd_webui(world: World) -> None:
    completed(world)
    asked = {
        "model": "sdruntime/a.safetensors",
        "prompt": "A dog",
        "n": 2,
        "size": "128x96",
        "user": "someone",
        "darkroom": {"steps": 3, "cfg": 5, "seed": 7, "negative_prompt": "A cat"},
    }
    async with rest(world) as client:
        answer = await client.post(f"{OPENAI}/generations", json=asked)

    images = [b64decode(one["b64_json"]) for one in answer.json()["data"]]
    assert images == [b"image 0", b"image 1"]
    [(submission, _)] = world.router.submitted
    assert submission.checkpoint == "a.safetensors"
    assert json.loads(submission.content) == {
        "prompt": "A dog",
        "n_iter": 2,
        "width": 128,
        "height": 96,
        "steps": 3,
        "cfg_scale": 5,
        "seed": 7,
        "negative_prompt": "A cat",
        "override_settings": {"sd_model_checkpoint": "a.safetensors"},
    }


async def test_generations_are_given_as_links(world: World) -> None:
    completed(world)
    asked = {"prompt": "A dog", "response_format": "url"}
    async with rest(world) as client:
        answer = await client.post(f"{OPENAI}/generations", json=asked)

    first = answer.json()["data"][0]
    assert first["url"].startswith(f"https://files/{UID}-1.png")


async def test_stream_has_an_event_for_each_image(world: World) -> None:
    completed(world)
    asked = {"prompt": "A dog", "stream": True}
    async with rest(world) as client:
        answer = await client.post(f"{OPENAI}/generations", json=asked)

    events = [event.split("\n") for event in answer.text.strip().split("\n\n")]
    assert [event[0] for event in events] == ["event: image_generation.completed"] * 2
    told = json.loads(events[1][1].removeprefix("data: "))
    assert (told["type"], b64decode(told["b64_json"])) == (
        "image_generation.completed",
        b"image 1",
    )


async def test_edit_begins_with_the_image_of_the_form(world: World) -> None:
    completed(world)
    async with rest(world) as client:
        answer = await client.post(
            f"{OPENAI}/edits",
            data={"prompt": "A dog", "n": "2"},
            files={"image": ("a.png", PNG), "mask": ("b.png", PNG)},
        )

    assert len(answer.json()["data"]) == 2
    [(submission, _)] = world.router.submitted
    assert submission.tasktype == "image-to-image"
    content = json.loads(submission.content)
    assert content["init_images"] == [b64encode(PNG).decode()]
    assert content["mask"] == b64encode(PNG).decode()


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({}, "prompt"),
        ({"prompt": ""}, "prompt"),
        ({"prompt": "A dog", "n": 11}, "n"),
        ({"prompt": "A dog", "size": "12"}, "size"),
        ({"prompt": "A dog", "size": "5000x10"}, "size"),
        ({"prompt": "A dog", "size": "0x10"}, "size"),
        ({"prompt": "A dog", "output_format": "webp"}, "output_format"),
        ({"prompt": "A dog", "darkroom": {"stepps": 3}}, "darkroom.stepps"),
    ],
)
async def test_wrong_field_is_named_in_openais_words(
    world: World, asked: dict[str, Any], field: str
) -> None:
    async with rest(world) as client:
        answer = await client.post(f"{OPENAI}/generations", json=asked)

    assert answer.status_code == 400
    error = answer.json()["error"]
    assert (error["type"], error["param"], error["code"]) == (
        "invalid_request_error",
        field,
        "invalid_request",
    )
    assert field in error["message"]


@pytest.mark.parametrize(
    ("sent", "status", "param"),
    [
        ({"json": {"prompt": "A dog"}}, 415, None),
        ({"data": {"prompt": "A dog"}, "files": {"mask": PNG}}, 400, "image"),
        (
            {
                "content": b"--x\r\n\r\n",
                "headers": {"content-type": "multipart/form-data; boundary=x"},
            },
            400,
            "body",
        ),
        ({"files": {"image": b"0" * (10 * 2**20 + 1)}}, 413, None),
    ],
)
async def test_edit_that_has_no_image_is_refused(
    world: World, sent: dict[str, Any], status: int, param: str | None
) -> None:
    async with rest(world) as client:
        answer = await client.post(f"{OPENAI}/edits", **sent)

    assert answer.status_code == status
    assert answer.json()["error"]["param"] == param
    assert world.router.submitted == []


async def test_models_are_the_runtimes(world: World) -> None:
    async with rest(world) as client:
        listed = (await client.get("/openai/v1/models")).json()
        one = await client.get("/openai/v1/models/sdruntime")
        none = await client.get("/openai/v1/models/sdruntime/b.safetensors")

    assert [model["id"] for model in listed["data"]] == ["sdruntime"]
    assert one.json() == listed["data"][0]
    assert (none.status_code, none.json()["error"]["code"]) == (404, "model_not_found")


@pytest.mark.parametrize(
    ("path", "operation"),
    [
        (f"{SDWEBUI}/txt2img", "sdwebui_txt2img"),
        ("/sdapi/v1/extra-single-image", "sdwebui_extra_single_image"),
        (f"{SDWEBUI}/whatever", "sdwebui_unknown"),
        (f"{OPENAI}/generations", "openai_images_generations"),
        ("/openai/v1/models/a/b", "openai_models"),
        ("/openai/v1/whatever", "openai_unknown"),
        ("/openai/v1", "unknown"),
    ],
)
def test_metrics_have_few_names(path: str, operation: str) -> None:
    assert operation_of("POST", path) == operation


async def test_progress_that_was_never_told_is_none(world: World) -> None:
    world.router.known = [of("tests", progress=TaskProgress())]
    async with rest(world) as client:
        told = (await client.get(f"{SDWEBUI}/progress")).json()

    assert told["progress"] == 0


async def test_listings_are_what_an_agent_has_seen(world: World) -> None:
    world.router.offers = {"samplers": [{"name": "Euler"}], "options": {"sd_vae": "None"}}
    async with rest(world) as client:
        samplers = await client.get(f"{SDWEBUI}/samplers")
        options = await client.get("/sdapi/v1/options")

    assert samplers.json() == [{"name": "Euler"}]
    assert options.json() == {"sd_vae": "None"}


async def test_models_are_of_the_catalogue_before_the_first_start(world: World) -> None:
    async with rest(world) as client:
        models = await client.get(f"{SDWEBUI}/sd-models")
        vaes = await client.get(f"{SDWEBUI}/sd-vae")
        samplers = await client.get(f"{SDWEBUI}/samplers")

    assert [(one["title"], one["model_name"]) for one in models.json()] == [
        ("a.safetensors", "a")
    ]
    assert vaes.json() == [{"model_name": "b.pt", "filename": "b.pt"}]
    assert samplers.status_code == 404
    assert "first start" in samplers.json()["detail"]


@pytest.mark.parametrize("text", [b"no gzip", gzip.compress(b"no JSON"), gzip.compress(b"[]")])
async def test_broken_listings_are_none(world: World, text: bytes) -> None:
    world.router.offers = {"samplers": []}
    world.router.offered = text
    async with rest(world) as client:
        answer = await client.get(f"{SDWEBUI}/samplers")

    assert answer.status_code == 404
