"""`darkroom verify`, against a stack whose answers and images are as the test says."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from awsio import clients
from contracts.ids import new_uid
from darkroom_cli.main import app
from darkroom_cli.verification import run
from darkroom_cli.verification.requests import requests_of

KEY = "key-of-the-test"
UID = "01M82WD9X0AAAAAAAAAAAAAAAA"
COMFYUI = {"name": "canvas", "type": "comfyui", "model_filename": None, "dynamic_model": False}
FAILED = {"result": False, "status": "failed", "error": {"code": "broken", "message": "no GPU"}}


def picture(*, size: tuple[int, int] = (64, 64), blank: bool = False) -> bytes:
    file = BytesIO()
    image = Image.new("L", size) if blank else Image.linear_gradient("L").resize(size)
    image.convert("RGB").save(file, "PNG")
    return file.getvalue()


@dataclass
class Stack:
    """A REST API that makes what the test says, with a topic and a bucket of an emulator."""

    topic: str
    bucket: str
    url: str = ""
    refusals: list[int] = field(default_factory=list)  # statuses of the next answers
    images: list[bytes] = field(default_factory=lambda: [picture()])
    callback: dict[str, Any] | None = field(default_factory=dict)  # None: there is none
    asked: list[str] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)

    def answer(self, asked: str, headers: Any, body: Any) -> tuple[int, Any]:
        self.asked.append(asked)
        if self.refusals:
            return self.refusals.pop(0), {"message": "Forbidden"}
        if asked == "GET /dev/v1/runtimes":
            return 200, {"runtimes": [COMFYUI]}
        if asked == "POST /dev/v1alpha2":
            self.keys.append(headers["Idempotency-Key"])
            asyncio.run(self._end(body["task"]["metadata"]["id"]))
            return 200, {"uid": UID}
        state = "cancelled" if f"DELETE /dev/v1/tasks/{UID}" in self.asked else "queued"
        return 200, {"uid": UID, "state": state}

    async def _end(self, name: str) -> None:
        if self.callback is None:
            return
        urls = [f"s3://{self.bucket}/verify/{n}.png" for n, _ in enumerate(self.images)]
        ended = {"uid": UID, "id": name, "result": True, "status": "completed"}
        async with clients.s3() as s3, clients.sns() as sns:
            for url, image in zip(urls, self.images, strict=True):
                key = url.removeprefix(f"s3://{self.bucket}/")
                await s3.put_object(Bucket=self.bucket, Key=key, Body=image)
            told = json.dumps({**ended, "image_url": urls, **self.callback})
            await sns.publish(TopicArn=self.topic, Message=told)

    def verify(self, *arguments: object) -> Result:
        given = ("--endpoint", f"{self.url}/dev", "--result-topic", self.topic, "--size", 64)
        words = [str(each) for each in ("verify", *given, *arguments)]
        return CliRunner().invoke(app, words, env={"DARKROOM_API_KEY": KEY})

    def left(self) -> list[Any]:
        """The objects, queues and subscriptions that are there."""
        return asyncio.run(self._left())

    async def _left(self) -> list[Any]:
        async with clients.s3() as s3, clients.sns() as sns, clients.sqs() as sqs:
            listed = await s3.list_objects_v2(Bucket=self.bucket)
            heard = await sns.list_subscriptions_by_topic(TopicArn=self.topic)
            name = self.topic.rpartition(":")[2].removesuffix("-results")
            queues = await sqs.list_queues(QueueNamePrefix=name)
        return [
            *listed.get("Contents", []),
            *heard["Subscriptions"],
            *queues.get("QueueUrls", []),
        ]


async def made(name: str) -> str:
    async with clients.s3() as s3, clients.sns() as sns:
        await s3.create_bucket(Bucket=name)
        return (await sns.create_topic(Name=f"{name}-results"))["TopicArn"]


@pytest.fixture
def stack(aws: str) -> Iterator[Stack]:
    name = f"stack-{new_uid().lower()}"
    stack = Stack(topic=asyncio.run(made(name)), bucket=name)

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            length = int(self.headers.get("content-length", 0))
            sent = json.loads(self.rfile.read(length)) if length else None
            assert self.headers["x-api-key"] == KEY
            status, body = stack.answer(f"{self.command} {self.path}", self.headers, sent)
            text = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST = do_DELETE = answer  # noqa: N815  # the base class names them

        def log_message(self, *_: object) -> None:
            pass

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=listening.serve_forever)
    thread.start()
    stack.url = f"http://127.0.0.1:{listening.server_port}"
    yield stack
    listening.shutdown()
    listening.server_close()
    thread.join()


def sentences(done: Result) -> list[str]:
    marked = [line for line in done.stderr.splitlines() if line.startswith("darkroom: ")]
    return [line.removeprefix("darkroom: ") for line in marked]


def test_images_are_told_kept_in_a_folder_and_removed(stack: Stack, tmp_path: Path) -> None:
    done = stack.verify("--json", "--out", tmp_path / "images")

    assert done.exit_code == 0, done.stderr
    (image,) = json.loads(done.stdout)["images"]
    assert (image["id"], image["width"], image["height"]) == ("verify-canvas-pipeline", 64, 64)
    assert image["url"] == f"s3://{stack.bucket}/verify/0.png"
    assert (tmp_path / "images" / "0.png").read_bytes() == picture()
    assert "verify-canvas-pipeline: completed after" in done.stderr
    assert stack.left() == []


def test_images_stay_if_they_are_to(stack: Stack) -> None:
    done = stack.verify("--keep")

    assert "verify-canvas-pipeline  64x64" in done.stdout
    assert [each["Key"] for each in stack.left()] == ["verify/0.png"]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"images": [picture(blank=True)]}, "0.png is blank: it has one colour only"),
        ({"images": [picture(size=(64, 32))]}, "0.png has 64x32 pixels and not 64x64"),
        ({"images": [picture()[:-20]]}, "0.png does not decode: "),
        ({"images": [b"<html>"]}, "0.png does not decode: "),
        ({"images": []}, "verify-canvas-pipeline has no images"),
        ({"callback": FAILED, "images": []}, "ended as failed: broken: no GPU"),
    ],
)
def test_what_is_wrong_with_a_task_is_one_sentence(
    stack: Stack, changes: dict[str, Any], reason: str
) -> None:
    for name, value in changes.items():
        setattr(stack, name, value)

    done = stack.verify()

    assert done.exit_code == 1
    (sentence,) = sentences(done)
    assert reason in sentence
    assert stack.left() == []


def test_each_bad_image_has_a_sentence(stack: Stack) -> None:
    stack.images = [picture(blank=True), picture(), b"<html>"]

    done = stack.verify("--json", "--runtime", "Canvas", "--runtime", "none")

    assert [line.rpartition("/")[2][:14] for line in sentences(done)] == [
        "there is no ru", "0.png is blank", "2.png does not",
    ]  # fmt: skip
    told = json.loads(done.stdout)
    assert [image["url"][-5:] for image in told["images"]] == ["1.png"]
    assert told["failures"] == sentences(done)


def test_task_without_a_callback_is_told_and_taken_back(stack: Stack) -> None:
    stack.callback = None

    done = stack.verify("--wait-seconds", 1)

    assert sentences(done) == ["verify-canvas-pipeline: no callback in 1 s; its task is queued"]
    assert f"DELETE /dev/v1/tasks/{UID}" in stack.asked
    assert stack.left() == []


def test_stack_that_is_not_ready_yet_is_asked_again(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "UNREADY_SECONDS", 0)
    stack.refusals = [403, 503]

    done = stack.verify()

    assert done.exit_code == 0
    assert done.stderr.count("not ready yet") == 2
    assert len(stack.keys) == 1


@pytest.mark.parametrize(
    ("status", "arguments"), [(403, ("--open-seconds", 0)), (400, ())], ids=["late", "no"]
)
def test_refusal_that_stays_is_one_sentence(
    stack: Stack, status: int, arguments: tuple[object, ...]
) -> None:
    stack.refusals = [status]

    done = stack.verify(*arguments)

    assert (done.exit_code, sentences(done)) == (1, [f"the endpoint answered {status}"])
    assert stack.asked == ["GET /dev/v1/runtimes"]


def test_topic_that_is_not_there_leaves_nothing(stack: Stack) -> None:
    done = stack.verify("--result-topic", f"{stack.topic.removesuffix('-results')}-none")

    assert done.exit_code == 1
    assert "AWS refused sns." in sentences(done)[0]
    assert stack.left() == []


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ((), "--endpoint needs --result-topic ARN"),
        (("--result-topic", "topic"), "--result-topic topic: is no ARN of a topic"),
        (
            ("--result-topic", "arn:aws:sns:us-east-1:000000000000:t", "--tag", "x"),
            "--tag x: must look like KEY=VALUE",
        ),
    ],
)
def test_words_that_are_wrong_are_one_sentence(arguments: tuple[str, ...], reason: str) -> None:
    words = ["verify", "--endpoint", "http://127.0.0.1:1", *arguments]

    done = CliRunner().invoke(app, words, env={"DARKROOM_API_KEY": KEY})

    assert (done.exit_code, sentences(done)) == (1, [reason])


def asked_of(**runtime: Any) -> dict[str, tuple[Any, tuple[int, int] | None]]:
    whole = {"name": "canvas", "model_filename": None, "dynamic_model": False, **runtime}
    asked = requests_of(whole, size=96, checkpoint="own.safetensors", image=None)
    return {each.id: (each.body()["task"]["content"], each.size) for each in asked}


def test_sdwebui_is_asked_for_each_of_its_tasks() -> None:
    asked = asked_of(type="sdwebui")

    text, image, larger = asked.values()
    assert list(asked) == [
        f"verify-canvas-{tasktype}"
        for tasktype in ("text-to-image", "image-to-image", "extra-single-image")
    ]
    assert (text[1], image[1], larger[1]) == ((96, 96), (96, 96), (512, 512))
    assert image[0]["init_images"] == [larger[0]["image"]]
    assert "alwayson_scripts" not in text[0]


def test_model_is_named_where_the_runtime_takes_any() -> None:
    dynamic = asked_of(type="sdwebui", dynamic_model=True)["verify-canvas-text-to-image"][0]
    graphs = [
        asked_of(type="comfyui", model_filename=name)["verify-canvas-pipeline"][0]["prompt"]
        for name in (None, "its.safetensors")
    ]

    assert dynamic["alwayson_scripts"] == {"sd_model_checkpoint": "own.safetensors"}
    assert [graph["4"]["inputs"]["ckpt_name"] for graph in graphs] == [
        "own.safetensors", "its.safetensors",
    ]  # fmt: skip
