"""Which checkpoint makes the image: never another than was meant, whatever the server does."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from contracts.ids import new_uid
from contracts.kinds import TaskType
from contracts.state import Progress
from queue_agent.domain import Generated, Job, TaskFailedError
from queue_agent.runtimes.http import RuntimeHttp, runtime_http
from queue_agent.runtimes.sdwebui.checkpoints import Checkpoint, chosen
from queue_agent.runtimes.sdwebui.runtime import SdWebuiRuntime
from testkit.sample_runtimes import sample_runtime

ROOT, BAR, BAZ = "foo.safetensors", "bar/foo.safetensors", "baz/only.safetensors"


def runtime(http: RuntimeHttp, *, dynamic: bool = True, own: str = "") -> SdWebuiRuntime:
    poll, silence = timedelta(milliseconds=20), timedelta(seconds=5)
    return SdWebuiRuntime(http=http, dynamic=dynamic, own=own, poll=poll, silence=silence)


def job(checkpoint: str | None = None, **content: Any) -> Job:
    return Job(
        uid=new_uid(),
        attempt=1,
        tasktype=TaskType.TEXT_TO_IMAGE,
        content={"prompt": "x", "width": 64, "height": 64, "steps": 1, **content},
        checkpoint=checkpoint,
    )


def ignore(_: Progress) -> None: ...


def hash_of(made: Generated) -> str:
    return str(json.loads(made.answer["info"])["sd_model_hash"])


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """A server that lists a checkpoint in a folder before the one of that name in its root."""
    names = [option for name in (BAR, ROOT, BAZ) for option in ("--checkpoint", name)]
    with sample_runtime("sdwebui", "--seconds-per-image", "0.01", *names) as (url, _):
        yield url


@pytest.fixture
async def http(url: str) -> AsyncIterator[RuntimeHttp]:
    async with runtime_http(url) as opened:
        await opened.post("/sdapi/v1/options", json={"sd_model_checkpoint": BAZ})
        yield opened


async def hashes(http: RuntimeHttp) -> dict[str, str]:
    listed = (await http.get("/sdapi/v1/sd-models")).body
    return {one["title"].partition(" ")[0]: one["hash"] for one in listed}


@pytest.mark.parametrize("with_hash", [True, False])
@pytest.mark.parametrize("name", [ROOT, BAR, BAZ])
@pytest.mark.parametrize("where", ["message", "override_settings"])
async def test_exact_path_counts_before_one_that_ends_with_it(
    http: RuntimeHttp, name: str, with_hash: bool, where: str
) -> None:
    known = await hashes(http)
    asked = f"{name} [{known[name]}]" if with_hash else name
    body: dict[str, Any] = {"override_settings": {"sd_model_checkpoint": asked}}
    wanted = job(asked) if where == "message" else job(**body)

    made = await runtime(http).run(wanted, ignore)

    assert hash_of(made) == known[name]


async def test_hash_that_is_given_must_be_that_of_the_checkpoint(http: RuntimeHttp) -> None:
    with pytest.raises(TaskFailedError) as caught:
        await runtime(http).run(job(f"{BAZ} [0123456789]"), ignore)

    assert caught.value.code == "model_not_found"
    assert f"it has '{BAZ} [" in str(caught.value)


async def test_two_checkpoints_in_one_body_are_not_chosen_between(http: RuntimeHttp) -> None:
    body: dict[str, Any] = {
        "override_settings": {"sd_model_checkpoint": ROOT},
        "alwayson_scripts": {"sd_model_checkpoint": BAR},
    }

    with pytest.raises(TaskFailedError, match="the task asks for 'bar/foo") as caught:
        await runtime(http).run(job(**body), ignore)

    assert caught.value.code == "model_not_found"


async def test_fixed_runtime_that_somebody_has_switched_makes_its_own_images(
    http: RuntimeHttp,
) -> None:
    server = runtime(http, dynamic=False, own=ROOT)
    known = await hashes(http)

    for loaded in (BAZ, BAR):
        await http.post("/sdapi/v1/options", json={"sd_model_checkpoint": loaded})
        assert hash_of(await server.run(job(), ignore)) == known[ROOT]
        named = job(alwayson_scripts={"sd_model_checkpoint": f"foo [{known[ROOT]}]"})
        assert hash_of(await server.run(named, ignore)) == known[ROOT]


async def test_fixed_runtime_does_not_make_another_model_s_image(http: RuntimeHttp) -> None:
    body: dict[str, Any] = {"override_settings": {"sd_model_checkpoint": BAR}}

    with pytest.raises(TaskFailedError, match="the task asks for 'bar/foo"):
        await runtime(http, dynamic=False, own=ROOT).run(job(**body), ignore)


async def test_fixed_runtime_is_asked_with_the_hash_of_its_own_model(http: RuntimeHttp) -> None:
    server, known = runtime(http, dynamic=False, own=ROOT), await hashes(http)

    for right in (f"{ROOT} [{known[ROOT]}]", f"foo [{known[ROOT]}]"):
        assert hash_of(await server.run(job(checkpoint=right), ignore)) == known[ROOT]
    for wrong in (f"{ROOT} [{known[BAR]}]", f"{ROOT} [0000000000]"):
        with pytest.raises(TaskFailedError) as caught:
            await server.run(job(checkpoint=wrong), ignore)
        assert caught.value.code == "model_not_found"


async def test_task_leaves_the_server_as_it_was(http: RuntimeHttp) -> None:
    before = (await http.get("/sdapi/v1/options")).body
    overrides = {"sd_model_checkpoint": BAR, "CLIP_stop_at_last_layers": 2}
    asked = job(override_settings=overrides, override_settings_restore_afterwards=False)

    await runtime(http, dynamic=False).run(asked, ignore)

    assert (await http.get("/sdapi/v1/options")).body == before


@dataclass
class Stubborn:
    """An SD WebUI that makes its images with what it likes, and knows no hash at first."""

    info: dict[str, Any]
    hashes: list[str | None] = field(default_factory=lambda: [None])

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/sdapi/v1/sd-models", self.models)
        app.router.add_get("/sdapi/v1/{rest:.*}", self.nothing)
        app.router.add_post("/sdapi/v1/txt2img", self.image)
        app.router.add_post("/sdapi/v1/{rest:.*}", self.nothing)
        return app

    async def models(self, _: web.Request) -> web.Response:
        known = self.hashes.pop(0) if len(self.hashes) > 1 else self.hashes[0]
        title = f"{ROOT} [{known}]" if known else ROOT
        one = {"title": title, "model_name": "foo", "hash": known, "filename": f"/m/{ROOT}"}
        return web.json_response([one])

    async def nothing(self, _: web.Request) -> web.Response:
        return web.json_response({})

    async def image(self, _: web.Request) -> web.Response:
        made = {"images": ["aGk="], "parameters": {}, "info": json.dumps(self.info)}
        return web.json_response(made)


@pytest.mark.parametrize(
    ("asked", "info", "hashes", "code"),
    [
        (
            f"{ROOT} [aaaaaaaaaa]",
            {"sd_model_name": "foo", "sd_model_hash": "a" * 10},
            [None],
            None,
        ),
        (
            f"{ROOT} [bbbbbbbbbb]",
            {"sd_model_name": "foo", "sd_model_hash": "a" * 10},
            [None],
            "model_mismatch",
        ),
        (ROOT, {"sd_model_name": "foo", "sd_model_hash": "b" * 10}, [None], None),
        (ROOT, {"sd_model_name": "foo", "sd_model_hash": "b" * 10}, [None, "b" * 10], None),
        (
            ROOT,
            {"sd_model_name": "foo", "sd_model_hash": "a" * 10},
            ["b" * 10],
            "model_mismatch",
        ),
        (
            ROOT,
            {"sd_model_name": "foo", "sd_model_hash": "a" * 10},
            [None, "b" * 10],
            "model_mismatch",
        ),
        (ROOT, {"sd_model_name": "bar", "sd_model_hash": "a" * 10}, [None], "model_mismatch"),
        (ROOT, {"sd_model_name": "foo"}, ["b" * 10], None),
        (ROOT, {"sd_model_name": ["foo"]}, ["b" * 10], "model_mismatch"),
        (ROOT, {}, ["b" * 10], "model_mismatch"),
    ],
)
async def test_answer_is_compared_with_what_was_chosen(
    asked: str, info: dict[str, Any], hashes: list[str | None], code: str | None
) -> None:
    server = TestServer(Stubborn(info, hashes).app())
    async with server, runtime_http(str(server.make_url("/"))) as http:
        refused = (
            pytest.raises(TaskFailedError, match="was asked for") if code else nullcontext()
        )
        with refused as caught:
            await runtime(http).run(job(asked), ignore)
    assert (caught.value.code if caught else None) == code


def listed(*titles: str) -> list[Checkpoint]:
    found = []
    for title in titles:
        path, _, rest = title.partition(" [")
        name = path.rpartition(".")[0].replace("/", "_")
        hashed = rest.removesuffix("]")
        found.append(
            Checkpoint(title=title, model_name=name, filename=f"/m/{path}", hash=hashed)
        )
    return found


@pytest.mark.parametrize(
    ("titles", "asked", "expected"),
    [
        (["a/x.ckpt", "x.ckpt"], "x", "x.ckpt"),
        (["a/x.ckpt", "x.ckpt"], "a/x", "a/x.ckpt"),
        (["a/x.ckpt", "x.ckpt"], "a\\x.ckpt", "a/x.ckpt"),
        (["a/x.ckpt", "x.ckpt"], "/m/a/x.ckpt", "a/x.ckpt"),
        (["a/x.ckpt", "a_x.ckpt"], "a_x", "a_x.ckpt"),
        (["a/x.ckpt", "b/y.ckpt"], "x.ckpt", "a/x.ckpt"),
        (["a/v1.5.ckpt", "v1.ckpt"], "v1", "v1.ckpt"),
        (["a/v1.5.ckpt", "v1.ckpt"], "v1.5", "a/v1.5.ckpt"),
        (["a/x.ckpt [aaaaaaaaaa]", "x.ckpt [bbbbbbbbbb]"], "x [aaaaaaaaaa]", "a/"),
        (["a/x.ckpt [aaaaaaaaaa]", "x.ckpt [bbbbbbbbbb]"], "aaaaaaaaaa", "a/"),
        (["a/x.ckpt [aaaaaaaaaa]", "x.ckpt [bbbbbbbbbb]"], "x.ckpt [BBBBBBBBBB]", "x"),
        (["a/x.ckpt", "b/x.ckpt [bbbbbbbbbb]"], "x.ckpt [bbbbbbbbbb]", "b/"),
        (["a/x.ckpt [aaaaaaaaaa]", "b/x.ckpt [bbbbbbbbbb]"], "x.ckpt", ("a/x", "b/x")),
        (["x.ckpt", "x.safetensors"], "x", ("x.ckpt", "x.safetensors")),
        (["x.ckpt", "x.safetensors"], "x.safetensors", "x.safetensors"),
        (["xy.ckpt", "yx.ckpt"], "x", None),
        (["x.ckpt [aaaaaaaaaa]"], "x.ckpt [bbbbbbbbbb]", None),
    ],
)
def test_name_means_the_closest_or_none(
    titles: list[str], asked: str, expected: str | tuple[str, ...] | None
) -> None:
    if isinstance(expected, tuple):
        with pytest.raises(TaskFailedError) as caught:
            chosen(listed(*titles), asked)
        assert caught.value.code == "model_ambiguous"
        assert all(one in str(caught.value) for one in expected)
        return
    found = chosen(listed(*titles), asked)
    assert (found.title if found else "").startswith(expected or "")
    assert (found is None) == (expected is None)
