"""The running stack as its users have it: `darkroom up --json` as a process of its own."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from grpc import aio

from awsio import clients
from darkroom.tasks.v1 import tasks_pb2_grpc
from provisioning.emulator import CREDENTIALS

START_SECONDS = 300
STOP_SECONDS = 300
TASK_SECONDS = 300
KEY_SECONDS = 120
HOLD_FILE = "hold"


def command(*arguments: str) -> list[str]:
    """The `darkroom` command as tests run it."""
    return [sys.executable, "-m", "darkroom_cli.main", *arguments]


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """An environment in which this process's packages are found."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **(extra or {})}


@dataclass
class Stack:
    """A running stack; `info` is the line that it printed."""

    process: subprocess.Popen[str]
    info: dict[str, Any]
    folder: Path
    notes: Path  # what it wrote on standard error

    @contextmanager
    def held(self) -> Iterator[None]:
        """Runs of the sample runtimes stand still after a step until the block ends."""
        hold = self.folder / HOLD_FILE
        hold.touch()
        try:
            yield
        finally:
            hold.unlink()

    def said(self) -> str:
        """What `up` has told its user so far."""
        return self.notes.read_text()

    @property
    def headers(self) -> dict[str, str]:
        return {"x-api-key": self.info["api_key"]}

    def client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            base_url=self.info["endpoint"], headers=self.headers, timeout=120, trust_env=False
        )

    def find(self, *words: str) -> psutil.Process:
        """The one child whose command line or settings have all the words."""
        found = [child for child in self.children() if all(_mentions(child, w) for w in words)]
        assert len(found) == 1, f"{len(found)} processes have {words}"
        return found[0]

    def agent(self, runtime: str) -> psutil.Process:
        return next(
            child
            for child in self.children()
            if child.environ().get("QUEUE_AGENT_RUNTIME_NAME") == runtime
        )

    def children(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    async def submit(self, **task: Any) -> dict[str, Any]:
        async with self.client() as client:
            answer = await client.post("/v1alpha2", json={"task": task})
        assert answer.status_code == 200, answer.text
        accepted: dict[str, Any] = answer.json()
        return accepted

    async def task(self, uid: str) -> dict[str, Any]:
        async with self.client() as client:
            answer = await client.get(f"/v1/tasks/{uid}")
        assert answer.status_code == 200, answer.text
        task: dict[str, Any] = answer.json()
        return task

    async def until(self, uid: str, state: str, *, attempt: int = 0) -> dict[str, Any]:
        """Wait until the task is in a state, in at least this attempt."""
        deadline = time.monotonic() + TASK_SECONDS
        while time.monotonic() < deadline:
            task = await self.task(uid)
            if task["state"] == state and task["attempt"] >= attempt:
                return task
            await asyncio.sleep(0.05)
        raise AssertionError(f"not {state} after {TASK_SECONDS} s: {task}")

    async def object(self, url: str) -> tuple[bytes, str]:
        """The content and Content-Type of an `s3://` object."""
        bucket, _, key = url.removeprefix("s3://").partition("/")
        async with clients.s3() as s3:
            answer = await s3.get_object(Bucket=bucket, Key=key)
            async with answer["Body"] as body:
                return await body.read(), answer["ContentType"]


def _mentions(process: psutil.Process, word: str) -> bool:
    try:
        return any(word in argument for argument in process.cmdline())
    except psutil.Error:
        return False


@contextmanager
def running_stack(
    folder: Path, *arguments: str, extra: Mapping[str, str] | None = None
) -> Iterator[Stack]:
    """Start `darkroom up` and stop it with SIGTERM; fails if it leaves a process behind.

    Only with `--console-port` among the arguments does it serve the console.
    """
    if "--console-port" not in arguments:
        arguments = (*arguments, "--no-console")
    folder.mkdir(parents=True, exist_ok=True)
    notes = folder / "notes"
    with notes.open("a") as errors:
        process = subprocess.Popen(
            command("up", "--json", "--port", "0", "--data-dir", str(folder), *arguments),
            env=environment(
                {"SAMPLE_RUNTIME_HOLD_FILE": str(folder / HOLD_FILE), **(extra or {})}
            ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            start_new_session=True,
        )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, f"up ended with {process.wait()}: {notes.read_text()}"
        stack = Stack(process=process, info=json.loads(line), folder=folder, notes=notes)
        with pytest.MonkeyPatch.context() as patch:
            for name, value in CREDENTIALS.items():
                patch.setenv(name, value)
            patch.setenv("AWS_ENDPOINT_URL", stack.info["aws_endpoint_url"])
            yield stack
    finally:
        stop(process)
        if process.stdout is not None:
            process.stdout.close()


def stop(process: subprocess.Popen[str], number: signal.Signals = signal.SIGTERM) -> int:
    """End a stack and give its exit status; fails if it leaves a process behind."""
    if process.poll() is not None:
        return process.returncode
    children = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(number)
    try:
        status = process.wait(timeout=STOP_SECONDS)
    finally:
        left = [child for child in children if child.is_running()]
        for child in left:
            child.kill()
    assert not left, f"left behind: {left}"
    return status


@dataclass
class Callbacks:
    """Every message of the result topic, by uid."""

    queue_url: str
    found: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    attributes: dict[str, dict[str, str]] = field(default_factory=dict)

    async def of(self, uid: str) -> dict[str, Any]:
        """Wait for the callback of one task."""
        deadline = time.monotonic() + TASK_SECONDS
        while uid not in self.found:
            assert time.monotonic() < deadline, f"no callback for {uid} in {TASK_SECONDS} s"
            await self.receive(wait_seconds=1)
        return self.found[uid][0]

    async def receive(self, *, wait_seconds: int) -> None:
        """Take what has arrived."""
        async with clients.sqs() as sqs:
            answer = await sqs.receive_message(
                QueueUrl=self.queue_url,
                WaitTimeSeconds=wait_seconds,
                MaxNumberOfMessages=10,
                MessageAttributeNames=["All"],
            )
            for message in answer.get("Messages", []):
                callback = json.loads(message["Body"])
                self.found.setdefault(callback["uid"], []).append(callback)
                self.attributes[callback["uid"]] = {
                    name: value["StringValue"]
                    for name, value in message.get("MessageAttributes", {}).items()
                }
                await sqs.delete_message(
                    QueueUrl=self.queue_url, ReceiptHandle=message["ReceiptHandle"]
                )


def task_service(channel: aio.Channel) -> tasks_pb2_grpc.TaskServiceAsyncStub:
    """The public gRPC API."""
    return tasks_pb2_grpc.TaskServiceStub(channel)


def text_to_image(
    task_id: str, *, runtime: str = "sdruntime", **content: Any
) -> dict[str, Any]:
    """A small v1alpha2 task for an SD WebUI runtime."""
    return {
        "metadata": {
            "id": task_id,
            "runtime": runtime,
            "tasktype": "text-to-image",
            "context": {"test": task_id},
        },
        "content": {"prompt": "A dog", "steps": 4, "width": 64, "height": 64, **content},
    }


def pipeline(task_id: str, prompt: str = "A dog", *, seed: int = 1) -> dict[str, Any]:
    """A small v1alpha2 task for a ComfyUI runtime."""
    graph = {
        "1": {
            "class_type": "CheckpointLoaderSimple",
            "inputs": {"ckpt_name": "v1-5-pruned-emaonly.safetensors"},
        },
        "2": {"class_type": "CLIPTextEncode", "inputs": {"text": prompt, "clip": ["1", 1]}},
        "3": {
            "class_type": "EmptyLatentImage",
            "inputs": {"width": 64, "height": 64, "batch_size": 1},
        },
        "4": {
            "class_type": "KSampler",
            "inputs": {
                "seed": seed,
                "steps": 4,
                "cfg": 7,
                "sampler_name": "euler",
                "scheduler": "normal",
                "denoise": 1,
                "model": ["1", 0],
                "positive": ["2", 0],
                "negative": ["2", 0],
                "latent_image": ["3", 0],
            },
        },
        "5": {"class_type": "VAEDecode", "inputs": {"samples": ["4", 0], "vae": ["1", 2]}},
        "6": {
            "class_type": "SaveImage",
            "inputs": {"filename_prefix": "x", "images": ["5", 0]},
        },
    }
    return {
        "metadata": {"id": task_id, "runtime": "comfyruntime", "tasktype": "pipeline"},
        "content": {"prompt": graph},
    }
