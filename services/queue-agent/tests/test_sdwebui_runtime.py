from __future__ import annotations

import json
import struct
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from queue_agent_fakes import whole
from sdwebui_jobs import SMALL, ignore, job, loaded, runtime, source

from contracts.ids import TaskId
from contracts.kinds import TaskType
from contracts.state import Progress
from queue_agent.domain import (
    TaskFailedError,
)
from queue_agent.files.types import PNG, file_type
from queue_agent.runtimes.http import CALL_BUDGET, Answer, RuntimeHttp, runtime_http
from queue_agent.runtimes.sdwebui.checkpoints import Checkpoint
from queue_agent.runtimes.sdwebui.progress import progress_of
from queue_agent.task.out_document import SdWebuiOut
from testkit.sample_runtimes import SampleRuntime


@pytest.fixture
async def http(sdwebui_url: str) -> AsyncIterator[RuntimeHttp]:
    async with runtime_http(sdwebui_url) as opened:
        await opened.post("/sdapi/v1/options", json={"sd_model_checkpoint": "one"})
        yield opened


async def test_running_server_is_ready(http: RuntimeHttp) -> None:
    await runtime(http).probe()


async def test_images_are_given_although_the_client_wanted_none(http: RuntimeHttp) -> None:
    wanted = job({"prompt": "dogs", "batch_size": 2, "send_images": False})

    made = await runtime(http).run(wanted, ignore)

    assert [file_type(file.body, file.name) for file in made.files] == [PNG, PNG]
    document = SdWebuiOut().completed(TaskId("t"), wanted, made)
    assert document["images"] == [""]
    assert document["parameters"]["image_seed"] == "7,8"
    assert document["parameters"]["id_task"] == "t"
    assert document["parameters"]["error_msg"] == ""
    assert json.loads(document["info"])["all_seeds"] == [7, 8]


async def test_what_a_server_may_fetch_is_not_for_a_task_to_set(http: RuntimeHttp) -> None:
    wanted = job({"prompt": "dogs", "override_settings": {"api_enable_requests": True}})

    with pytest.raises(TaskFailedError, match=r"settings\.api_enable") as caught:
        await runtime(http).encode(wanted)

    assert caught.value.failure.code == "runtime_rejected"


async def test_grid_is_no_result(http: RuntimeHttp) -> None:
    wanted = job({"prompt": "dogs", "batch_size": 2, "save_images": True})
    raw = await http.post("/sdapi/v1/txt2img", json=dict(wanted.content))
    assert len(raw.body["images"]) == 3, "the sample makes no grid any more"

    made = await runtime(http).run(wanted, ignore)

    assert len(made.files) == 2


async def test_grid_that_was_asked_for_comes_last(http: RuntimeHttp) -> None:
    asked = {"do_not_save_grid": False, "override_settings": {"return_grid": True}}

    made = await runtime(http).run(job({"prompt": "dogs", "batch_size": 2, **asked}), ignore)

    assert [file.is_grid for file in made.files] == [False, False, True]
    widths = [struct.unpack(">I", whole(file.body)[16:20])[0] for file in made.files]
    assert widths == [64, 64, 128]


@pytest.mark.parametrize(
    ("content", "index", "grids"),
    [
        ({}, 1, 0),
        ({"script_name": "prompt matrix"}, 1, 1),
        ({"script_name": "x/y/z plot"}, 2, 2),
        ({"do_not_save_grid": False}, 1, 0),
        ({}, 3, 3),
        ({}, 9, 3),
    ],
)
async def test_grids_are_kept_for_those_who_want_them(
    content: dict[str, Any], index: int, grids: int
) -> None:
    info = json.dumps({"index_of_first_image": index})

    async def answer(request: web.Request) -> web.Response:
        images = ["aGk="] * 3 if request.method == "POST" else []
        return web.json_response({"images": images, "info": info, "parameters": {}})

    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", answer)
    server = TestServer(app)
    async with server, runtime_http(str(server.make_url("/"))) as http:
        made = await runtime(http).run(job(content), ignore)

    assert sum(file.is_grid for file in made.files) == grids
    kept = 3 if grids else 3 - index
    assert len(made.files) == kept


async def test_image_to_image_and_extras_give_images(http: RuntimeHttp) -> None:
    image = await source(http)
    upscale = {"upscaler_1": "Lanczos", "upscaling_resize": 2}
    jobs = [
        job({"prompt": "x", "init_images": [image]}, TaskType.IMAGE_TO_IMAGE),
        job({**upscale, "image": image}, TaskType.EXTRA_SINGLE_IMAGE),
        job(
            {**upscale, "imageList": [{"data": image, "name": "a"}] * 2},
            TaskType.EXTRA_BATCH_IMAGES,
        ),
    ]

    made = [await runtime(http).run(one, ignore) for one in jobs]

    assert [len(one.files) for one in made] == [1, 1, 2]
    extras = SdWebuiOut().completed(TaskId("t"), jobs[1], made[1])
    assert set(extras["parameters"]) == {"html_info", "id_task", "error_msg"}


@pytest.mark.parametrize(
    "name", ["two.safetensors", "two", "TITLE", "/models/Stable-diffusion/two.safetensors"]
)
async def test_checkpoint_is_loaded_by_any_of_its_names(http: RuntimeHttp, name: str) -> None:
    if name == "TITLE":
        listed = (await http.get("/sdapi/v1/sd-models")).body
        name = next(one["title"] for one in listed if one["model_name"] == "two")
        assert "[" in name

    made = await runtime(http, dynamic=True).run(job({"prompt": "x"}, checkpoint=name), ignore)

    assert json.loads(made.answer["info"])["sd_model_name"] == "two"
    assert await loaded(http) == "two.safetensors"


async def test_checkpoint_that_arrived_later_is_found(
    growing_sdwebui: tuple[str, Path],
) -> None:
    url, folder = growing_sdwebui
    (folder / "new.safetensors").touch()

    async with runtime_http(url) as http:
        made = await runtime(http, dynamic=True).run(job({}, checkpoint="new"), ignore)

    assert json.loads(made.answer["info"])["sd_model_name"] == "new"


async def test_unknown_checkpoint_fails_and_the_loaded_one_stays(http: RuntimeHttp) -> None:
    with pytest.raises(TaskFailedError) as caught:
        await runtime(http, dynamic=True).run(job({}, checkpoint="three"), ignore)

    assert caught.value.code == "model_not_found"
    assert await loaded(http) == "one.safetensors"


@pytest.mark.parametrize("dynamic", [True, False])
async def test_unknown_checkpoint_in_the_body_fails_instead_of_using_another(
    http: RuntimeHttp, dynamic: bool
) -> None:
    """The server itself answers 200 with an image of the loaded model."""
    body = {"override_settings": {"sd_model_checkpoint": "three"}}
    raw = await http.post("/sdapi/v1/txt2img", json={**SMALL, **body})
    assert raw.ok, "the sample refuses it now"

    with pytest.raises(TaskFailedError) as caught:
        await runtime(http, dynamic=dynamic).run(job(body), ignore)

    assert caught.value.code == "model_not_found"


async def test_checkpoint_of_the_body_is_used_on_a_static_runtime(http: RuntimeHttp) -> None:
    body = {"override_settings": {"sd_model_checkpoint": "two"}}

    made = await runtime(http).run(job(body), ignore)

    assert json.loads(made.answer["info"])["sd_model_name"] == "two"
    assert await loaded(http) == "one.safetensors"


async def test_another_model_than_was_asked_for_is_a_mismatch(http: RuntimeHttp) -> None:
    """A static runtime cannot load what the message names: its image is not given out."""
    with pytest.raises(TaskFailedError) as caught:
        await runtime(http).run(job({"prompt": "x"}, checkpoint="two"), ignore)

    assert caught.value.code == "model_mismatch"


async def test_checkpoint_among_the_scripts_is_taken_out(http: RuntimeHttp) -> None:
    body = {"alwayson_scripts": {"sd_model_checkpoint": "two.safetensors"}}

    made = await runtime(http, dynamic=True).run(job(body), ignore)

    assert json.loads(made.answer["info"])["sd_model_name"] == "two"


async def test_other_sampler_is_no_failure_but_is_logged(
    http: RuntimeHttp, caplog: pytest.LogCaptureFixture
) -> None:
    made = await runtime(http).run(job({"sampler_name": "No such"}), ignore)

    assert len(made.files) == 1
    assert json.loads(made.answer["info"])["sampler_name"] != "No such"
    [warning] = made.warnings
    assert warning == "the sampler 'No such' was asked for, and the runtime used 'DPM++ 2M'"
    assert warning in caplog.messages


@pytest.mark.parametrize(
    ("content", "tasktype", "code", "said"),
    [
        ({"prompt": "BREAK"}, TaskType.TEXT_TO_IMAGE, "runtime_error", "told to fail"),
        ({"steps": "x"}, TaskType.TEXT_TO_IMAGE, "runtime_rejected", "body.steps: "),
        ({"script_name": "no"}, TaskType.TEXT_TO_IMAGE, "runtime_rejected", "'no' not found"),
        ({}, TaskType.IMAGE_TO_IMAGE, "runtime_rejected", "Init image not found"),
        ({"init_images": ["?"]}, TaskType.IMAGE_TO_IMAGE, "runtime_error", "Invalid encoded"),
        (
            {"override_settings": {"no": 1}},
            TaskType.TEXT_TO_IMAGE,
            "runtime_rejected",
            "no option",
        ),
        ({}, TaskType.PIPELINE, "runtime_rejected", "does not do pipeline"),
    ],
)
async def test_failure_has_the_servers_own_words(
    http: RuntimeHttp, content: dict[str, Any], tasktype: TaskType, code: str, said: str
) -> None:
    with pytest.raises(TaskFailedError) as caught:
        await runtime(http).run(job(content, tasktype), ignore)

    assert caught.value.code == code
    assert said in str(caught.value)
    assert not caught.value.failure.retryable


@dataclass(frozen=True, kw_only=True)
class Counted(RuntimeHttp):
    """Records which calls go to the server."""

    calls: list[str] = field(default_factory=list)

    async def get(
        self,
        path: str,
        params: Mapping[str, str] | None = None,
        budget: timedelta = CALL_BUDGET,
    ) -> Answer:
        self.calls.append(path)
        return await super().get(path, params, budget)


@pytest.mark.parametrize("dynamic", [True, False])
async def test_loaded_checkpoint_is_not_asked_for_again(
    http: RuntimeHttp, dynamic: bool
) -> None:
    counted = Counted(session=http.session)
    server = runtime(counted, dynamic=dynamic)
    name = "two" if dynamic else "one"
    await server.run(job({}, checkpoint=name), ignore)
    counted.calls.clear()

    await server.run(job({}, checkpoint=f"{name}.safetensors"), ignore)

    assert set(counted.calls) == {"/sdapi/v1/progress"}


async def test_checkpoint_that_somebody_else_has_loaded_is_noticed(http: RuntimeHttp) -> None:
    server = runtime(http, dynamic=True)
    await server.run(job({}, checkpoint="two"), ignore)
    await http.post("/sdapi/v1/options", json={"sd_model_checkpoint": "one"})

    made = await server.run(job({}, checkpoint="two"), ignore)

    assert json.loads(made.answer["info"])["sd_model_name"] == "two"


async def test_failure_makes_the_loaded_checkpoint_unknown(http: RuntimeHttp) -> None:
    server = runtime(http, dynamic=True)
    await server.run(job({}, checkpoint="two"), ignore)

    with pytest.raises(TaskFailedError):
        await server.run(job({"prompt": "BREAK"}), ignore)

    assert server.known.checkpoint is None


async def test_request_that_was_encoded_before_is_sent_as_it_is(http: RuntimeHttp) -> None:
    ready = await runtime(http).encode(job({"prompt": "x"}))

    made = await runtime(http).run(replace(ready, content={"prompt": "BREAK"}), ignore)

    assert len(made.files) == 1


async def test_progress_of_a_real_run_goes_up(
    own_sdwebui: SampleRuntime,
) -> None:
    seen: list[Progress] = []

    async with runtime_http(own_sdwebui[0]) as http:
        await runtime(http).run(job({"prompt": "dog", "steps": 10}), seen.append)

    assert seen
    assert [one.step for one in seen] == sorted(one.step for one in seen)
    assert {one.total for one in seen} == {10}


BEFORE = {"job_timestamp": "1", "job": "", "job_count": 0, "sampling_steps": 50}
FRESH = {"job_timestamp": "2", "job": "scripts_txt2img", "job_count": 2, "job_no": 1}


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        pytest.param({}, None, id="no-state"),
        pytest.param({**FRESH, "job_timestamp": "1", "sampling_step": 3}, None, id="old-run"),
        pytest.param(
            {**FRESH, "sampling_step": 0, "sampling_steps": 50}, None, id="steps-of-the-old-run"
        ),
        pytest.param({**FRESH, "job": "", "sampling_step": 3}, None, id="idle"),
        pytest.param(
            {**FRESH, "job_count": -1, "sampling_step": 3, "sampling_steps": 20},
            None,
            id="early",
        ),
        pytest.param(
            {**FRESH, "sampling_step": 3, "sampling_steps": 20},
            Progress(step=23, total=40),
            id="second-of-two",
        ),
    ],
)
def test_stale_progress_is_not_believed(state: dict[str, Any], expected: object) -> None:
    assert progress_of(state, BEFORE) == expected


def test_model_in_a_folder_is_recognised_in_the_answer() -> None:
    """The list calls it `sdxl_base`, the answer `base`."""
    listed = Checkpoint(
        title="sdxl/base.safetensors [31e35c80fc]",
        model_name="sdxl_base",
        filename="/models/sdxl/base.safetensors",
    )

    assert listed.answers_to("sdxl/base.safetensors")
    assert listed.answers_to("base.safetensors")
    assert not listed.answers_to("other [31e35c80fc]")
    assert listed.run_names == {"sdxl_base", "base"}


async def test_long_inputs_that_the_server_repeats_are_cut_out() -> None:
    script = {"ControlNet": {"args": [{"image": "iVBOR" * 20_000}, 1]}}
    said = {"images": ["iVBOR+8="], "parameters": {"alwayson_scripts": script}, "info": "{}"}

    async def answer(request: web.Request) -> web.Response:
        return web.json_response(said if request.method == "POST" else {})

    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", answer)
    server = TestServer(app)
    async with server, runtime_http(str(server.make_url("/"))) as http:
        made = await runtime(http).run(job({}), ignore)

    [image, number] = made.answer["parameters"]["alwayson_scripts"]["ControlNet"]["args"]
    assert (image["image"], number) == ("(100000 characters of base64)", 1)
    assert len(made.files) == 1
