"""The SD WebUI shape over plain HTTP: what surprises, and how it fails."""

from __future__ import annotations

import asyncio
import base64
import io
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from testkit.sample_runtimes import SampleRuntime

Until = Callable[[Callable[[], Awaitable[bool]]], Awaitable[None]]
Start = Callable[..., SampleRuntime]
FAST: dict[str, Any] = {"prompt": "a dog", "steps": 2, "width": 64, "height": 64, "seed": 1}
LOADED, OTHER = "v1-5-pruned-emaonly", "other"


def info_of(response: httpx.Response) -> dict[str, Any]:
    assert response.status_code == 200, response.text
    info: dict[str, Any] = json.loads(response.json()["info"])
    return info


async def test_root_says_that_it_is_a_stand_in(webui: str) -> None:
    async with httpx.AsyncClient() as client:
        answer = await client.get(webui)

    assert answer.json()["name"] == "Darkroom sample runtime, draws pictures, runs no model"


async def test_same_request_gives_the_same_picture_and_another_seed_another(
    webui_client: httpx.AsyncClient,
) -> None:
    first, again, other = [
        (await webui_client.post("/txt2img", json=FAST | {"seed": seed})).json()["images"]
        for seed in (1, 1, 2)
    ]

    assert first == again
    assert first != other


async def test_random_seed_is_told(webui_client: httpx.AsyncClient) -> None:
    first, second = [
        info_of(await webui_client.post("/txt2img", json=FAST | {"seed": -1})) for _ in "ab"
    ]

    assert first["seed"] != second["seed"]
    assert first["seed"] >= 0


async def test_unknown_checkpoint_in_override_settings_is_passed_over_in_silence(
    webui_client: httpx.AsyncClient,
) -> None:
    body = FAST | {"override_settings": {"sd_model_checkpoint": "nowhere.safetensors"}}

    info = info_of(await webui_client.post("/txt2img", json=body))

    assert info["sd_model_name"] == LOADED


@pytest.mark.parametrize("restore", [True, False])
async def test_known_override_is_kept_only_if_asked_to(
    webui_client: httpx.AsyncClient, restore: bool
) -> None:
    body = FAST | {
        "override_settings": {"sd_model_checkpoint": "other.ckpt"},
        "override_settings_restore_afterwards": restore,
    }

    overridden = info_of(await webui_client.post("/txt2img", json=body))
    after = info_of(await webui_client.post("/txt2img", json=FAST))

    assert overridden["sd_model_name"] == OTHER
    assert after["sd_model_name"] == (LOADED if restore else OTHER)
    await webui_client.post("/options", json={"sd_model_checkpoint": LOADED})


@pytest.mark.parametrize("field", ["title", "model_name", "file"])
async def test_checkpoint_is_known_by_file_name_title_and_model_name(
    webui_client: httpx.AsyncClient, field: str
) -> None:
    models = (await webui_client.get("/sd-models")).json()
    names = models[1] | {"file": Path(models[1]["filename"]).name}

    answer = await webui_client.post("/options", json={"sd_model_checkpoint": names[field]})

    options = (await webui_client.get("/options")).json()
    await webui_client.post("/options", json={"sd_model_checkpoint": LOADED})
    assert answer.json() is None
    assert options["sd_model_checkpoint"] == models[1]["title"]


async def test_unknown_checkpoint_through_options_is_a_runtime_error(
    webui_client: httpx.AsyncClient,
) -> None:
    answer = await webui_client.post("/options", json={"sd_model_checkpoint": "nowhere"})

    assert (answer.status_code, answer.json()["error"]) == (500, "RuntimeError")


async def test_unknown_option_is_a_key_error(webui_client: httpx.AsyncClient) -> None:
    answer = await webui_client.post("/options", json={"no_such_option": 1})

    assert answer.status_code == 500
    assert answer.json() == {
        "error": "KeyError",
        "detail": "",
        "body": "",
        "errors": "'no_such_option'",
    }


async def test_unknown_sampler_falls_back_in_silence(webui_client: httpx.AsyncClient) -> None:
    body = FAST | {"sampler_name": "No Such Sampler"}

    info = info_of(await webui_client.post("/txt2img", json=body))

    assert info["sampler_name"] == "DPM++ 2M"


async def test_interrupted_call_answers_200_with_part_of_the_pictures_and_no_mark(
    webui_client: httpx.AsyncClient, until: Until
) -> None:
    body = FAST | {"prompt": "stuck", "n_iter": 3}
    whole = info_of(await webui_client.post("/txt2img", json=FAST))

    async def is_working() -> bool:
        return bool((await webui_client.get("/progress")).json()["state"]["job"])

    async with asyncio.TaskGroup() as group:
        run = group.create_task(webui_client.post("/txt2img", json=body))
        await until(is_working)
        await webui_client.post("/interrupt")

    after = (await webui_client.get("/progress")).json()
    info = info_of(run.result())
    assert len(run.result().json()["images"]) == 1
    assert info.keys() == whole.keys()
    assert after["state"]["interrupted"] is True


async def test_progress_names_no_task_and_its_steps_are_those_of_the_last_run_at_first(
    webui_client: httpx.AsyncClient, until: Until
) -> None:
    await webui_client.post("/txt2img", json=FAST | {"steps": 7})

    async def is_working() -> bool:
        return bool((await webui_client.get("/progress")).json()["state"]["job"])

    async with asyncio.TaskGroup() as group:
        body = FAST | {"prompt": "stuck", "steps": 20, "force_task_id": "task-1"}
        group.create_task(webui_client.post("/txt2img", json=body))
        await until(is_working)
        progress = await webui_client.get("/progress")
        await webui_client.post("/interrupt")

    assert progress.json()["state"]["sampling_steps"] == 7
    assert progress.json()["state"]["sampling_step"] == 0
    assert "task-1" not in progress.text


async def test_interrupt_without_a_run_does_not_touch_the_next_one(
    webui_client: httpx.AsyncClient,
) -> None:
    whole = await webui_client.post("/txt2img", json=FAST)

    await webui_client.post("/interrupt")
    after = await webui_client.post("/txt2img", json=FAST)

    assert after.json()["images"] == whole.json()["images"]


async def test_told_failure_looks_like_the_servers_own(webui_client: httpx.AsyncClient) -> None:
    answer = await webui_client.post("/txt2img", json=FAST | {"prompt": "a broken cup"})

    body = answer.json()
    assert answer.status_code == 500
    assert (body["error"], body["detail"], body["body"]) == ("RuntimeError", "", "")
    assert body["errors"]


@pytest.mark.parametrize(
    "wanted",
    [{"script_name": "Nope"}, {"alwayson_scripts": {"Nope": {"args": []}}}],
    ids=["selectable", "always-on"],
)
async def test_unknown_script_is_refused(
    webui_client: httpx.AsyncClient, wanted: dict[str, Any]
) -> None:
    answer = await webui_client.post("/txt2img", json=FAST | wanted)

    assert answer.status_code == 422
    assert answer.json()["detail"] == "Script 'Nope' not found"


async def test_wrong_type_is_refused_with_a_list_of_details(
    webui_client: httpx.AsyncClient,
) -> None:
    answer = await webui_client.post("/txt2img", json=FAST | {"steps": "many"})

    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["body", "steps"]


@pytest.mark.parametrize(
    ("images", "status"),
    [(None, 404), ([], 404), (["not base64!"], 500), (["aGVsbG8="], 500)],
    ids=["missing", "empty", "not-base64", "not-an-image"],
)
async def test_bad_init_image_is_refused(
    webui_client: httpx.AsyncClient, images: list[str] | None, status: int
) -> None:
    answer = await webui_client.post("/img2img", json=FAST | {"init_images": images})

    assert answer.status_code == status
    assert answer.json()["error"] == "HTTPException"


async def test_init_image_may_carry_a_data_prefix(
    webui_client: httpx.AsyncClient, picture_base64: str
) -> None:
    body = FAST | {"init_images": [f"data:image/png;base64,{picture_base64}"]}

    answer = await webui_client.post("/img2img", json=body)

    assert answer.status_code == 200
    assert answer.json()["parameters"]["init_images"] is None


async def test_images_are_left_out_when_not_wanted(webui_client: httpx.AsyncClient) -> None:
    answer = await webui_client.post("/txt2img", json=FAST | {"send_images": False})

    assert answer.json()["images"] == []
    assert info_of(answer)["all_seeds"] == [1]


async def test_grid_comes_first_and_is_counted_by_the_index(
    webui_client: httpx.AsyncClient,
) -> None:
    body = FAST | {"batch_size": 2, "save_images": True}

    answer = await webui_client.post("/txt2img", json=body)

    info = info_of(answer)
    sizes = [
        Image.open(io.BytesIO(base64.b64decode(one))).size for one in answer.json()["images"]
    ]
    assert info["index_of_first_image"] == 1
    assert sizes == [(128, 64), (64, 64), (64, 64)]
    assert len(info["infotexts"]) == 3


async def test_unknown_upscaler_is_an_error_of_the_server(
    webui_client: httpx.AsyncClient, picture_base64: str
) -> None:
    body = {"image": picture_base64, "upscaler_1": "Nope"}

    answer = await webui_client.post("/extra-single-image", json=body)

    assert answer.status_code == 500
    assert "Nope" in answer.json()["errors"]


async def test_extras_reach_a_size_when_asked_for_one(
    webui_client: httpx.AsyncClient, picture_base64: str
) -> None:
    body = {
        "image": picture_base64,
        "upscaler_1": "Nearest",
        "resize_mode": 1,
        "upscaling_resize_w": 100,
        "upscaling_resize_h": 90,
    }

    answer = await webui_client.post("/extra-single-image", json=body)

    image = Image.open(io.BytesIO(base64.b64decode(answer.json()["image"])))
    assert image.size == (100, 90)


async def test_refresh_finds_new_checkpoints_in_the_folder(
    start: Start, tmp_path: Path
) -> None:
    (tmp_path / "one.safetensors").touch()
    url, _ = start("sdwebui", "--models-dir", str(tmp_path))
    (tmp_path / "two.safetensors").touch()

    async with httpx.AsyncClient(base_url=f"{url}/sdapi/v1") as client:
        before = (await client.get("/sd-models")).json()
        await client.post("/refresh-checkpoints")
        after = (await client.get("/sd-models")).json()

    assert [one["model_name"] for one in before] == ["one"]
    assert [one["model_name"] for one in after] == ["one", "two"]


@pytest.mark.parametrize(
    "path", ["samplers", "sd-vae", "loras", "embeddings", "cmd-flags", "memory", "schedulers"]
)
async def test_listing_is_answered(webui_client: httpx.AsyncClient, path: str) -> None:
    assert (await webui_client.get(f"/{path}")).status_code == 200


@pytest.mark.parametrize("path", ["unload-checkpoint", "reload-checkpoint"])
async def test_checkpoint_can_be_unloaded_and_reloaded(
    webui_client: httpx.AsyncClient, path: str
) -> None:
    assert (await webui_client.post(f"/{path}")).json() == {}
