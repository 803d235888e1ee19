"""Inputs that are no images, named by URL: their bytes arrive at the runtime (A4)."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest
from harness import Callbacks, Stack
from PIL import Image

from awsio import clients

# The beginning of a file of each format, by the specification of the format.
FILES = {
    "a sound.wav": b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0",
    "film.mp4": b"\0\0\0\x18ftypisom\0\0\x02\0isomiso2\0\0\0\x08mdat",
    "thing.glb": b"glTF\x02\0\0\0\x0c\0\0\0",
}
LOADERS = {
    "a sound.wav": ("LoadAudio", "audio", 0),
    "film.mp4": ("LoadVideo", "file", 0),
    "thing.glb": ("Load3D", "model_file", 2),
}
SHOT = "shot.png"  # the editor's picture of a model, which it uploads itself


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """A server that says nothing of what its files are."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # the base class names it
            body = FILES[self.path.removeprefix("/").replace("%20", " ")]
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    serving = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=serving.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{serving.server_port}"
    serving.shutdown()
    serving.server_close()
    thread.join()


@pytest.fixture
async def runtime(stack: Stack) -> httpx.URL:
    """The runtime, which has the picture that the editor would have uploaded."""
    url = httpx.URL(stack.agent("comfyruntime").environ()["QUEUE_AGENT_RUNTIME_URL"])
    encoded = io.BytesIO()
    Image.new("RGB", (64, 64), "orange").save(encoded, "PNG")
    async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
        upload = {"image": (SHOT, encoded.getvalue())}
        answer = await client.post("/upload/image", files=upload, data={"overwrite": "true"})
    assert answer.status_code == 200
    return url


def task_with(name: str, url: str) -> dict[str, Any]:
    """A task that loads a file and shows what the loader made of it."""
    kind, field, output = LOADERS[name]
    inputs: dict[str, Any] = {field: url}
    if kind == "Load3D":
        shots = dict.fromkeys(("image", "mask", "normal", "lineart"), SHOT)
        inputs |= {"width": 64, "height": 64}
        inputs["image"] = {**shots, "camera_info": {}, "recording": ""}
    graph = {
        "1": {"class_type": kind, "inputs": inputs},
        "2": {"class_type": "PreviewAny", "inputs": {"source": ["1", output]}},
    }
    metadata = {"id": f"input-{kind}", "runtime": "comfyruntime", "tasktype": "pipeline"}
    return {"metadata": metadata, "content": {"prompt": graph}}


async def offered(runtime: httpx.URL, name: str) -> set[str]:
    """The files that the runtime offers for a loader."""
    kind, field, _ = LOADERS[name]
    async with httpx.AsyncClient(base_url=runtime, trust_env=False) as client:
        described = (await client.get(f"/object_info/{kind}")).json()
    choices, options = described[kind]["input"]["required"][field]
    return set(options["options"] if choices == "COMBO" else choices)


async def check_arrived(runtime: httpx.URL, name: str, before: set[str]) -> None:
    [taken] = await offered(runtime, name) - before
    folder, _, base = taken.rpartition("/")
    place = {"filename": base, "subfolder": folder, "type": "input"}
    async with httpx.AsyncClient(base_url=runtime, trust_env=False) as client:
        assert (await client.get("/view", params=place)).content == FILES[name]


@pytest.mark.parametrize("name", FILES)
async def test_file_behind_a_url_is_uploaded_for_its_loader(
    stack: Stack, callbacks: Callbacks, server: str, runtime: httpx.URL, name: str
) -> None:
    before = await offered(runtime, name)

    accepted = await stack.submit(**task_with(name, f"{server}/{name.replace(' ', '%20')}"))

    callback = await callbacks.of(accepted["uid"])
    assert callback["result"] is True, callback
    await check_arrived(runtime, name, before)


@pytest.mark.parametrize("name", FILES)
async def test_file_in_a_bucket_is_uploaded_for_its_loader(
    stack: Stack, callbacks: Callbacks, runtime: httpx.URL, name: str
) -> None:
    before = await offered(runtime, name)
    bucket = stack.info["bucket"]
    async with clients.s3() as s3:
        await s3.put_object(Bucket=bucket, Key=f"in/{name}", Body=FILES[name])

    accepted = await stack.submit(**task_with(name, f"s3://{bucket}/in/{name}"))

    callback = await callbacks.of(accepted["uid"])
    assert callback["result"] is True, callback
    await check_arrived(runtime, name, before)
