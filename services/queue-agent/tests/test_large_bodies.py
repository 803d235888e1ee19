"""Bodies that an agent does not hold in memory, on their way through it."""

from __future__ import annotations

import base64
import json
import os
import zlib
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from queue_agent_fakes import FakeInputReader, FakeRuntime, FakeStore, leftovers, task, whole

from awsio import clients
from contracts.ids import new_uid
from contracts.kinds import TaskType
from queue_agent.aws.s3 import S3ClaimStore, S3OutputStore
from queue_agent.domain import Job, TaskFailedError, UnworkableError
from queue_agent.files.body import MEMORY_BYTES, FileBody
from queue_agent.files.types import PNG, file_type
from queue_agent.inputs.fetch import Fetcher, InputLimits
from queue_agent.inputs.find import find_in_body
from queue_agent.inputs.kinds import Kind
from queue_agent.inputs.s3 import S3InputReader
from queue_agent.metrics import Metrics
from queue_agent.runtimes.comfyui.runtime import ComfyUiRuntime
from queue_agent.runtimes.http import RuntimeHttp, runtime_http
from queue_agent.runtimes.invokeai.models import ModelLibrary
from queue_agent.runtimes.invokeai.runtime import InvokeAiRuntime
from queue_agent.runtimes.sdwebui.runtime import SdWebuiRuntime
from queue_agent.task.prepare import Preparer

LARGE = b"\x89PNG\r\n\x1a\n" + os.urandom(3 * MEMORY_BYTES)
SOON = timedelta(seconds=5)


def spooled(body: bytes = LARGE) -> FileBody:
    kept = FileBody()
    kept.write(body)
    return kept


def job(content: dict[str, Any], kind: TaskType = TaskType.TEXT_TO_IMAGE, **more: Any) -> Job:
    return Job(uid=new_uid(), attempt=1, tasktype=kind, content=content, **more)


class Server:
    """A runtime of any shape that gives one large image, and keeps what it is sent."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.lengths: list[int | None] = []
        self.app = web.Application(client_max_size=2**26)
        self.app.router.add_post("/sdapi/v1/{path}", self._generate)
        self.app.router.add_post("/{path:.*}", self._keep)
        self.app.router.add_get("/view", self._give)
        self.app.router.add_get("/sdapi/v1/progress", self._progress)

    async def _generate(self, request: web.Request) -> web.Response:
        self.bodies.append(await request.read())
        self.lengths.append(request.content_length)
        image = base64.b64encode(LARGE).decode()
        return web.json_response(
            {"images": [image, f"data:image/png;base64,{image}"], "info": "{}"}
        )

    async def _keep(self, request: web.Request) -> web.Response:
        self.lengths.append(request.content_length)
        parts = await request.post()
        for part in parts.values():
            assert isinstance(part, web.FileField)
            self.bodies.append(part.file.read())
        return web.json_response({"name": "kept.png", "image_name": "kept.png"}, status=201)

    async def _give(self, _: web.Request) -> web.Response:
        return web.Response(body=LARGE)

    async def _progress(self, _: web.Request) -> web.Response:
        return web.json_response({"state": {}})


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
async def http(server: Server) -> AsyncIterator[RuntimeHttp]:
    started = TestServer(server.app)
    async with started, runtime_http(str(started.make_url("/"))) as opened:
        yield opened


def sdwebui(http: RuntimeHttp) -> SdWebuiRuntime:
    return SdWebuiRuntime(http=http, dynamic=False, poll=SOON, silence=SOON)


def ignore(_: object) -> None: ...


async def test_large_images_of_an_answer_are_kept_in_files(http: RuntimeHttp) -> None:
    made = await sdwebui(http).run(job({}), ignore)

    assert [type(file.body) for file in made.files] == [FileBody, FileBody]
    assert [whole(file.body) for file in made.files] == [LARGE, LARGE]
    assert made.answer == {"info": "{}"}


async def test_large_answer_ends_the_task_if_it_is_larger_than_may_be(
    server: Server,
) -> None:
    started = TestServer(server.app)
    async with started, runtime_http(str(started.make_url("/")), MEMORY_BYTES) as http:
        with pytest.raises(TaskFailedError, match=f"more than {MEMORY_BYTES} bytes"):
            await sdwebui(http).run(job({}), ignore)
        with pytest.raises(TaskFailedError, match="too large"):
            await http.get_file("/view", {})


async def test_large_file_of_a_runtime_is_kept_in_a_file(http: RuntimeHttp) -> None:
    found = await http.get_file("/view", {"filename": "a.png"})

    assert isinstance(found, FileBody)
    assert whole(found) == LARGE
    assert await http.get_file("/missing", {}) is None


async def test_large_input_is_sent_with_its_length_to_a_runtime(
    server: Server, http: RuntimeHttp
) -> None:
    comfyui = ComfyUiRuntime(http=http, poll=SOON, silence=SOON)
    models = ModelLibrary(http=http)
    invokeai = InvokeAiRuntime(http=http, poll=SOON, silence=SOON, models=models)

    names = [await runtime.upload("a.png", spooled()) for runtime in (comfyui, invokeai)]

    assert names == ["kept.png", "kept.png"]
    assert server.bodies == [LARGE, LARGE]
    assert all(length and length > len(LARGE) for length in server.lengths)


async def test_large_input_is_put_into_the_request_where_its_word_stands(
    server: Server, http: RuntimeHttp
) -> None:
    content = {"prompt": "say word1", "init_images": ["word1", "small"], "mask": "word2"}
    inputs = {"word2": b"mask", "word1": spooled()}
    given = job(content, TaskType.IMAGE_TO_IMAGE, inputs=inputs)

    ready = await sdwebui(http).encode(given)
    await sdwebui(http).run(ready, ignore)

    assert isinstance(ready.request, FileBody)
    assert server.lengths == [len(ready.request)]
    sent = json.loads(server.bodies[0])
    image = base64.b64encode(LARGE).decode()
    assert sent["init_images"] == [image, "small"]
    assert sent["mask"] == base64.b64encode(b"mask").decode()


async def test_large_input_is_never_text_in_memory(metrics: Metrics) -> None:
    url = "s3://in/a.png"
    preparer = Preparer(
        claims=FakeStore(),
        fetcher=Fetcher(
            readers={"s3": FakeInputReader({url: spooled()})},
            limits=InputLimits(
                count=2, bytes_each={Kind.IMAGE: len(LARGE)}, bytes_total=len(LARGE)
            ),
        ),
        find_inputs=find_in_body,
        runtime=FakeRuntime(),
        metrics=metrics,
    )

    asked = task(content={"prompt": "x", "init_images": [url, url]})
    made = await preparer.prepare(asked, leftovers(asked))

    assert len(json.dumps(made.content)) < 200
    assert [whole(body) for body in made.inputs.values()] == [LARGE, LARGE]
    assert list(made.inputs) == made.content["init_images"]


def test_type_of_a_large_file_is_seen_by_its_beginning() -> None:
    assert file_type(spooled()) == PNG


async def test_large_object_is_stored_from_its_file_and_read_into_one(aws: str) -> None:
    async with clients.s3() as s3:
        name = f"large-{new_uid().lower()}"
        await s3.create_bucket(Bucket=name)
        store = S3OutputStore(client=s3, bucket=name)

        await store.write("a.png", spooled(), "image/png", "a")

        found = await s3.get_object(Bucket=name, Key="a.png", ChecksumMode="ENABLED")
        assert found["ContentType"] == "image/png"
        assert zlib.crc32(await found["Body"].read()) == zlib.crc32(LARGE)
        reader = S3InputReader(client=s3, buckets=frozenset({name}), patience=SOON)
        body = await reader.read(f"s3://{name}/a.png", ignore)
        assert isinstance(body, FileBody)
        assert whole(body) == LARGE


async def test_claim_that_is_larger_than_any_of_the_router_is_not_read(
    aws: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("queue_agent.aws.s3.CLAIM_BYTES", 3)
    async with clients.s3() as s3:
        name = f"claims-{new_uid().lower()}"
        await s3.create_bucket(Bucket=name)
        claims = S3ClaimStore(client=s3, bucket=name)
        for key, body in (("fits", b"abc"), ("large", b"abcd")):
            await s3.put_object(Bucket=name, Key=key, Body=body)

        assert await claims.read("fits") == b"abc"
        with pytest.raises(UnworkableError, match="more than 3 bytes"):
            await claims.read("large")
