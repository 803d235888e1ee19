"""The shape of InvokeAI."""

from __future__ import annotations

import io
import json
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from testkit.sample_runtimes import SampleRuntime

Until = Callable[[Callable[[], Awaitable[bool]]], Awaitable[None]]
Start = Callable[..., SampleRuntime]
QUEUE = "/api/v1/queue/default"


@pytest.fixture
def invoke(start: Start) -> str:
    url, _ = start(
        *("invokeai", "--seconds-per-image", "0.02"),
        *("--fail-when", "broken", "--hang-when", "stuck"),
    )
    return url


@pytest.fixture
async def client(invoke: str) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=invoke) as opened:
        yield opened


def batch(text: str = "a lighthouse", **batch: Any) -> dict[str, Any]:
    nodes = {
        "blank": {"id": "blank", "type": "blank_image", "width": 64, "height": 64},
        "mark": {"id": "mark", "type": "img_watermark", "text": text},
    }
    source = {"node_id": "blank", "field": "image"}
    edge = {"source": source, "destination": {"node_id": "mark", "field": "image"}}
    graph = {"nodes": nodes, "edges": [edge]}
    return {"batch": {"graph": graph, "runs": 1, **batch}, "prepend": False}


async def enqueue(client: httpx.AsyncClient, body: dict[str, Any]) -> list[int]:
    answer = await client.post(f"{QUEUE}/enqueue_batch", json=body)
    assert answer.status_code == 201, answer.text
    ids: list[int] = answer.json()["item_ids"]
    return ids


async def item(client: httpx.AsyncClient, item_id: int) -> dict[str, Any]:
    shown: dict[str, Any] = (await client.get(f"{QUEUE}/i/{item_id}")).json()
    return shown


async def reach(client: httpx.AsyncClient, item_id: int, status: str, until: Until) -> None:
    async def is_there() -> bool:
        return bool((await item(client, item_id))["status"] == status)

    await until(is_there)


async def test_version_is_told(client: httpx.AsyncClient) -> None:
    assert (await client.get("/api/v1/app/version")).json()["version"].startswith("6.")


async def test_graph_runs_and_each_node_gives_its_image(
    client: httpx.AsyncClient, until: Until
) -> None:
    first, second = await enqueue(client, batch(runs=2, destination="mine"))

    await reach(client, second, "completed", until)

    shown = await item(client, first)
    session = shown["session"]
    assert shown["destination"] == "mine"
    assert set(session["prepared_source_mapping"].values()) == {"blank", "mark"}
    names = [result["image"]["image_name"] for result in session["results"].values()]
    for name in names:
        full = await client.get(f"/api/v1/images/i/{name}/full")
        assert Image.open(io.BytesIO(full.content)).size == (64, 64)
    assert len(set(names)) == 2
    status = (await client.get(f"{QUEUE}/status")).json()["queue"]
    assert status["completed"] == status["total"] == 2


async def test_list_can_be_asked_for_one_destination(
    client: httpx.AsyncClient, until: Until
) -> None:
    await enqueue(client, batch(destination="mine"))
    await enqueue(client, batch(destination="other"))

    found = (await client.get(f"{QUEUE}/list_all", params={"destination": "mine"})).json()

    assert [one["destination"] for one in found] == ["mine"]
    assert len((await client.get(f"{QUEUE}/list_all")).json()) == 2


@pytest.mark.parametrize(
    ("graph", "said"),
    [
        ({"nodes": {"1": {"id": "1", "type": "sdxl_denoise"}}}, "Invalid invocation type"),
        ({"nodes": {"1": {"id": "2", "type": "blank_image"}}}, "Node ids must match"),
        ({"nodes": {"1": {"type": "blank_image", "depth": 1}}}, "Extra inputs"),
        ({"nodes": {}, "edges": [{"source": {}}]}, "Field required"),
    ],
)
async def test_bad_graph_is_refused(
    client: httpx.AsyncClient, graph: dict[str, Any], said: str
) -> None:
    answer = await client.post(f"{QUEUE}/enqueue_batch", json=batch(graph=graph))

    assert answer.status_code == 422
    assert said in str(answer.json()["detail"])


async def test_graph_with_a_circle_is_refused(client: httpx.AsyncClient) -> None:
    body = batch()
    edges = body["batch"]["graph"]["edges"]
    edges.append({"source": edges[0]["destination"], "destination": edges[0]["source"]})
    body["batch"]["graph"]["nodes"]["blank"] = {"type": "img_blur"}

    answer = await client.post(f"{QUEUE}/enqueue_batch", json=body)

    assert "acyclic" in str(answer.json()["detail"])


async def test_failure_is_told_with_its_node(client: httpx.AsyncClient, until: Until) -> None:
    [number] = await enqueue(client, batch("broken"))

    await reach(client, number, "failed", until)

    shown = await item(client, number)
    assert (shown["error_type"], len(shown["session"]["errors"])) == ("RuntimeError", 1)
    assert "told to fail" in shown["error_message"]


@pytest.mark.parametrize("way", ["item", "destination"])
async def test_cancelled_items_end_and_the_next_one_runs(
    client: httpx.AsyncClient, until: Until, way: str
) -> None:
    [stuck] = await enqueue(client, batch("stuck", destination="mine"))
    [waiting] = await enqueue(client, batch(destination="mine"))
    [next_one] = await enqueue(client, batch())
    await reach(client, stuck, "in_progress", until)

    if way == "item":
        for number in (waiting, stuck):
            await client.put(f"{QUEUE}/i/{number}/cancel")
    else:
        await client.put(f"{QUEUE}/cancel_by_destination", params={"destination": "mine"})

    await reach(client, next_one, "completed", until)
    for number in (stuck, waiting):
        assert (await item(client, number))["status"] == "canceled"


async def test_uploaded_picture_is_an_input(
    client: httpx.AsyncClient, until: Until, picture: Image.Image
) -> None:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    params = {"image_category": "user", "is_intermediate": "true"}
    files = {"file": ("a.png", buffer.getvalue(), "image/png")}
    uploaded = await client.post("/api/v1/images/upload", params=params, files=files)
    name = uploaded.json()["image_name"]
    nodes = {
        "crop": {"type": "img_crop", "image": {"image_name": name}, "width": 8, "height": 8}
    }

    [number] = await enqueue(client, batch(graph={"nodes": nodes}))

    assert uploaded.status_code == 201
    assert (await client.get(f"/api/v1/images/i/{name}")).json()["is_intermediate"]
    await reach(client, number, "completed", until)
    [result] = (await item(client, number))["session"]["results"].values()
    assert result["width"] == 8


@pytest.mark.parametrize(
    "file", [("a.txt", b"text", "text/plain"), ("a.png", b"text", "image/png")]
)
async def test_upload_that_is_no_picture_is_refused(
    client: httpx.AsyncClient, file: tuple[str, bytes, str]
) -> None:
    params = {"image_category": "user", "is_intermediate": "true"}

    answer = await client.post("/api/v1/images/upload", params=params, files={"file": file})

    assert answer.status_code == 415


async def test_what_is_not_there_is_not_found(client: httpx.AsyncClient) -> None:
    for path in (f"{QUEUE}/i/99", "/api/v1/images/i/no.png", "/api/v1/images/i/no.png/full"):
        assert (await client.get(path)).status_code == 404


MODELS = "/api/v2/models"


def write_model(path: Path, missing: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    header = json.dumps({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + b"\0" * (4 - missing))
    return path


async def install(client: httpx.AsyncClient, path: Path, **changes: str) -> dict[str, Any]:
    params = {"source": str(path), "inplace": "true"}
    answer = await client.post(f"{MODELS}/install", params=params, json=changes)
    assert answer.status_code == 201
    for _ in range(2):  # one look does it, the next one sees it
        jobs = (await client.get(f"{MODELS}/install")).json()
    [job] = [job for job in jobs if job["id"] == answer.json()["id"]]
    return dict(job)


async def test_model_is_registered_where_it_lies(
    client: httpx.AsyncClient, tmp_path: Path, until: Until
) -> None:
    path = write_model(tmp_path / "Lora" / "small.safetensors")
    scan = {"scan_path": str(tmp_path)}
    before = (await client.get(f"{MODELS}/scan_folder", params=scan)).json()

    job = await install(client, path, key="k", hash="h")

    made = job["config_out"]
    assert before == [{"path": str(path), "is_installed": False}]
    assert job["status"] == "completed"
    assert (made["name"], made["base"], made["type"]) == ("small", "sd-1", "lora")
    assert (await client.get(f"{MODELS}/")).json()["models"] == [made]
    after = (await client.get(f"{MODELS}/scan_folder", params=scan)).json()
    assert after == [{"path": str(path), "is_installed": True}]
    named = {part: made[part] for part in ("key", "hash", "name", "base", "type")}
    nodes = {"1": {"type": "lora_loader", "lora": named}}
    [known] = await enqueue(client, batch(graph={"nodes": nodes}))
    nodes["1"]["lora"] = {**named, "key": "other"}
    [unknown] = await enqueue(client, batch(graph={"nodes": nodes}))
    await reach(client, known, "completed", until)
    await reach(client, unknown, "failed", until)


async def test_file_that_is_no_model_is_unknown_and_a_part_of_one_an_error(
    client: httpx.AsyncClient, tmp_path: Path
) -> None:
    junk = tmp_path / "junk.safetensors"
    junk.write_bytes(b"junk")
    cut = write_model(tmp_path / "cut.safetensors", missing=1)

    assert (await install(client, junk))["config_out"]["type"] == "unknown"
    job = await install(client, cut)

    assert (job["status"], job["error_reason"]) == ("error", "InvalidModelConfigException")
    missing = {"scan_path": str(tmp_path / "missing")}
    assert (await client.get(f"{MODELS}/scan_folder", params=missing)).status_code == 400


async def test_model_in_a_graph_needs_all_its_parts(client: httpx.AsyncClient) -> None:
    nodes = {"1": {"type": "lora_loader", "lora": {"name": "a", "base": "b", "type": "lora"}}}

    answer = await client.post(f"{QUEUE}/enqueue_batch", json=batch(graph={"nodes": nodes}))

    assert answer.status_code == 422
    assert "hash: Field required" in str(answer.json()["detail"])


async def names_of(client: httpx.AsyncClient, item_id: int) -> list[str]:
    results = (await item(client, item_id))["session"]["results"].values()
    return [result["image"]["image_name"] for result in results]


async def test_equal_nodes_are_run_once_until_their_images_are_deleted(
    client: httpx.AsyncClient, until: Until
) -> None:
    async def run() -> list[str]:
        [number] = await enqueue(client, batch())
        await reach(client, number, "completed", until)
        return await names_of(client, number)

    first, again = await run(), await run()
    deleted = await client.post("/api/v1/images/delete", json={"image_names": [*first, "no"]})

    assert first == again
    assert deleted.json()["deleted_images"] == first
    assert (await client.get(f"/api/v1/images/i/{first[0]}")).status_code == 404
    assert not set(first) & set(await run())
