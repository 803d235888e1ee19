"""Models that InvokeAI has from a folder, and graphs that name them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from invokeai_jobs import graph, ignore, job, listed, lora_graph, runtime, write_lora

from queue_agent.domain import RuntimeLostError, TaskFailedError
from queue_agent.runtimes.http import RuntimeHttp, runtime_http
from queue_agent.runtimes.invokeai.graph import references, without_reuse
from queue_agent.runtimes.invokeai.models import ModelLibrary
from servicekit.listen import free_port
from testkit.sample_runtimes import SampleRuntime, sample_runtime


@pytest.fixture
async def http(own_invokeai: SampleRuntime) -> AsyncIterator[RuntimeHttp]:
    async with runtime_http(own_invokeai[0]) as opened:
        yield opened


async def jobs(http: RuntimeHttp) -> int:
    return len((await http.get("/api/v2/models/install")).body)


async def test_models_of_the_folder_are_registered_once_before_the_server_is_ready(
    http: RuntimeHttp, tmp_path: Path
) -> None:
    for name in ("one", "two"):
        write_lora(tmp_path / "Lora" / f"{name}.safetensors")
    server = runtime(http, tmp_path)

    await server.probe()
    await server.probe()

    assert set(await listed(http)) == {"one", "two"}
    assert await jobs(http) == 2


async def test_folder_is_looked_into_again_only_when_the_server_has_forgotten_models(
    tmp_path: Path,
) -> None:
    asked: list[str] = []
    models: list[dict[str, str]] = []

    async def list_models(_: web.Request) -> web.Response:
        return web.json_response({"models": models})

    async def scan(request: web.Request) -> web.Response:
        asked.append(request.query["scan_path"])
        return web.json_response([])

    app = web.Application()
    app.router.add_get("/api/v2/models/", list_models)
    app.router.add_get("/api/v2/models/scan_folder", scan)
    server = TestServer(app)
    async with server, runtime_http(str(server.make_url("/"))) as http:
        library = ModelLibrary(http=http, folder=str(tmp_path))
        for known in (["a"], ["a"], ["a", "b"], ["b"], ["b"]):
            models[:] = [{"key": key} for key in known]
            await library.ensure_registered()

    assert asked == [str(tmp_path)] * 2


async def test_file_that_is_no_model_is_a_warning(
    http: RuntimeHttp, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    (tmp_path / "junk.safetensors").write_bytes(b"junk")
    write_lora(tmp_path / "cut.safetensors", missing=1)
    write_lora(tmp_path / "Lora" / "good.safetensors")
    server = runtime(http, tmp_path)

    await server.probe()
    await server.probe()

    assert {"good"} <= set(await listed(http)) <= {"good", "junk"}
    warned = sorted(record.message for record in caplog.records)
    assert warned == [
        f"not registered as a model: {tmp_path}/cut.safetensors",
        f"the runtime does not know this kind of model: {tmp_path}/junk.safetensors",
    ]


async def test_restarted_server_is_told_its_models_again_under_the_same_keys(
    tmp_path: Path,
) -> None:
    write_lora(tmp_path / "Lora" / "one.safetensors")
    port = str(free_port())
    async with runtime_http(f"http://127.0.0.1:{port}") as http:
        server = runtime(http, tmp_path)
        with sample_runtime("invokeai", "--port", port):
            await server.probe()
            before = await listed(http)
            ready = await server.encode(job(lora_graph(name="one")))
        with pytest.raises(RuntimeLostError):
            await server.probe()
        with sample_runtime("invokeai", "--port", port):
            await server.probe()
            after = await listed(http)
            made = await server.run(ready, ignore)

    assert after["one"]["key"] == before["one"]["key"]
    assert len(made.files) == 1


async def test_folder_that_the_server_does_not_see_makes_it_not_ready(
    http: RuntimeHttp, tmp_path: Path
) -> None:
    server = runtime(http, tmp_path / "missing")

    with pytest.raises(RuntimeLostError, match="cannot look into the folder"):
        await server.probe()

    write_lora(tmp_path / "missing" / "Lora" / "one.safetensors")
    await server.probe()
    assert set(await listed(http)) == {"one"}


async def test_registration_that_takes_too_long_is_given_up(
    http: RuntimeHttp, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_lora(tmp_path / "Lora" / "one.safetensors")
    library = ModelLibrary(http=http, folder=str(tmp_path), budget=timedelta())

    await library.ensure_registered()

    [warning] = [record for record in caplog.records if record.levelname == "WARNING"]
    assert warning.__dict__["reason"] == "it takes too long"
    with pytest.raises(TaskFailedError) as caught:
        await library.resolved(lora_graph(name="two"))
    assert caught.value.failure.retryable


@pytest.mark.parametrize(
    "named",
    [
        {"name": "one"},
        {"name": "one", "key": "of-another-server", "hash": "blake3:0"},
        {"name": "renamed", "key": "of-another-server", "hash": "THE HASH"},
        {"key": "THE KEY"},
    ],
)
async def test_model_of_a_graph_is_found_whatever_its_key_is_here(
    http: RuntimeHttp, tmp_path: Path, named: dict[str, str]
) -> None:
    write_lora(tmp_path / "Lora" / "one.safetensors")
    write_lora(tmp_path / "Lora" / "two.safetensors")
    server = runtime(http, tmp_path)
    await server.probe()
    one = (await listed(http))["one"]
    known = {"THE KEY": one["key"], "THE HASH": one["hash"]}
    asked = {part: known.get(value, value) for part, value in named.items()}

    resolved = await server.models.resolved(lora_graph(**asked))
    made = await server.run(job(lora_graph(**asked)), ignore)

    parts = ("key", "hash", "name", "base", "type")
    assert resolved["nodes"]["lora"]["lora"] == {part: one[part] for part in parts}
    assert len(made.files) == 1


async def test_model_that_came_later_is_found_when_a_graph_names_it(
    http: RuntimeHttp, tmp_path: Path
) -> None:
    server = runtime(http, tmp_path)
    await server.probe()
    write_lora(tmp_path / "Lora" / "late.safetensors")

    made = await server.run(job(lora_graph(name="late")), ignore)

    assert len(made.files) == 1


@pytest.mark.parametrize("has_folder", [True, False])
async def test_graph_with_a_model_that_is_nowhere_is_refused_by_its_name(
    http: RuntimeHttp, tmp_path: Path, has_folder: bool
) -> None:
    write_lora(tmp_path / "Lora" / "one.safetensors")
    server = runtime(http, tmp_path if has_folder else "")

    with pytest.raises(TaskFailedError) as caught:
        await server.run(job(lora_graph(name="no-such")), ignore)

    assert caught.value.code == "model_not_found"
    assert str(caught.value) == "the runtime has no model no-such (base sd-1, type lora)"


async def test_server_that_does_not_list_its_models_fails_the_task_and_is_not_ready(
    tmp_path: Path,
) -> None:
    async def version(_: web.Request) -> web.Response:
        return web.json_response({"version": "6"})

    app = web.Application()
    app.router.add_get("/api/v1/app/version", version)
    server = TestServer(app)
    async with server, runtime_http(str(server.make_url("/"))) as http:
        with pytest.raises(TaskFailedError, match="did not list its models"):
            await runtime(http).encode(job(lora_graph(name="one")))
        with pytest.raises(RuntimeLostError, match="cannot look into the folder"):
            await runtime(http, tmp_path).probe()


async def test_run_with_models_that_the_last_one_had_not_is_given_time_to_load_them(
    http: RuntimeHttp, tmp_path: Path
) -> None:
    write_lora(tmp_path / "Lora" / "one.safetensors")
    server = runtime(http, tmp_path)
    server.loaded.load_time = timedelta(hours=1)
    wanted = job({"batch": {"graph": lora_graph(name="one")}})

    assert server.loading(wanted) == timedelta(hours=1)
    await server.run(wanted, ignore)

    assert not server.loading(wanted)
    assert server.loading(job(lora_graph(name="two"))) == timedelta(hours=1)


def test_what_describes_the_picture_need_not_be_there() -> None:
    model = {"name": "a", "base": "sdxl", "type": "main"}
    nodes: dict[str, Any] = {
        "meta": {"type": "core_metadata", "model": model},
        "many": {"type": "collect", "loras": [{"weight": 1, "lora": model}]},
        "plain": {"type": "x", "base": "b", "name": "c", "image": {"image_name": "d"}},
        "none": 3,
    }

    found = references({"nodes": nodes})

    assert [(one.path, one.required) for one in found] == [
        (("nodes", "meta", "model"), False),
        (("nodes", "many", "loras", 0, "lora"), True),
    ]
    assert references({"nodes": [model]}) == references({}) == []


def test_no_node_is_given_the_result_of_an_earlier_run() -> None:
    given = graph(mark={"type": "img_watermark", "use_cache": True})

    nodes = without_reuse(given)["nodes"]

    assert {name: node["use_cache"] for name, node in nodes.items()} == dict.fromkeys(
        given["nodes"], False
    )
    assert given["nodes"]["mark"]["use_cache"]
    assert without_reuse({"nodes": None}) == {"nodes": None}


async def test_two_graphs_that_name_a_new_model_register_it_once(
    http: RuntimeHttp, tmp_path: Path
) -> None:
    write_lora(tmp_path / "Lora" / "one.safetensors")
    library = runtime(http, tmp_path).models

    async with asyncio.TaskGroup() as group:
        for number in range(2):
            group.create_task(library.resolved(lora_graph(name="one")), name=f"graph-{number}")

    assert await jobs(http) == 1


def test_name_of_two_models_is_not_chosen_between() -> None:
    models = [
        {
            "key": key,
            "hash": key,
            "name": "detail",
            "base": "sd-1",
            "type": "lora",
            "path": path,
        }
        for key, path in (("k1", "a/detail.safetensors"), ("k2", "b/detail.safetensors"))
    ]
    named = lora_graph(name="detail")
    [by_name] = references(named)
    [by_key] = references(lora_graph(name="detail", key="k2"))

    with pytest.raises(TaskFailedError, match=r"'k1' \(a/detail.*'k2' \(b/detail") as caught:
        by_name.find(models)

    assert caught.value.code == "model_ambiguous"
    assert by_key.find(models) == models[1]
