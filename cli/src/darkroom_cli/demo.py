"""`darkroom demo`: the whole way of two tasks on this machine, shown and checked."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import grpc
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from awsio import clients
from awsio.errors import translated
from darkroom.tasks.v1 import tasks_pb2, tasks_pb2_grpc
from darkroom_cli.api import TERMINAL, Api
from darkroom_cli.embedded.folder import Folder, Running
from darkroom_cli.errors import CommandError
from darkroom_cli.objects import download
from darkroom_cli.pictures import decoded
from darkroom_cli.requests import SAMPLE_CHECKPOINT, comfyui_content, sdwebui_content
from darkroom_cli.timeline import EVENTS, timeline
from provisioning.resources import subscribe_queue
from servicekit.rpc import channel

PROMPT: Final = "a lighthouse at dusk, oil on canvas"
PIPELINE_PROMPT: Final = "a paper boat on a pond, watercolour"
SIZE: Final = 512
CALLBACK_SECONDS: Final = 60
CALL_SECONDS: Final = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Submitted:
    """One task of the demonstration."""

    title: str
    uid: str
    id: str


async def demonstrate(running: Running, folder: Folder, console: Console) -> list[Path]:
    """Submit two tasks, wait for their callbacks, check the images, print the time line.

    Gives the files of the images.

    Raises `CommandError` when anything is not as promised.
    """
    callbacks_url = await subscribe_queue(running.result_topic_arn, "darkroom-demo-callbacks")
    async with Api(running.endpoint, running.api_key) as api:
        tasks = [await submit_rest(api), await submit_grpc(running)]
        async with asyncio.TaskGroup() as group:
            group.create_task(show_progress(api, tasks, console), name="progress")
            waiting = group.create_task(
                receive_callbacks(callbacks_url, {task.uid for task in tasks}), name="callbacks"
            )
        callbacks = waiting.result()
    files = []
    for task in tasks:
        callback = callbacks[task.uid]
        if not callback["result"]:
            raise CommandError(f"{task.id} failed: {callback['error']['message']}")
        for url in callback["image_url"]:
            file = folder.path / "images" / url.rsplit("/", 1)[1]
            await download(url, file)
            files.append(file)
            shown = await asyncio.to_thread(described, file)
            console.print(f"{task.title}: {shown}", highlight=False, soft_wrap=True)
    print_timeline(tasks, folder, console)
    return files


async def submit_rest(api: Api) -> Submitted:
    """Hand in a text-to-image task by REST."""
    metadata = {"id": "demo-t2i", "runtime": "sdruntime", "tasktype": "text-to-image"}
    content = sdwebui_content(PROMPT, size=SIZE, seed=7, image=None)
    answer = await api.submit({**metadata, "context": {"shown": "by REST"}}, content)
    return Submitted(title="text-to-image by REST", uid=answer["uid"], id=answer["id"])


async def submit_grpc(running: Running) -> Submitted:
    """Hand in a pipeline by gRPC."""
    content = comfyui_content(PIPELINE_PROMPT, size=SIZE, seed=7, checkpoint=SAMPLE_CHECKPOINT)
    async with channel(running.grpc) as opened:
        try:
            answer = await tasks_pb2_grpc.TaskServiceStub(opened).SubmitTask(
                tasks_pb2.SubmitTaskRequest(
                    id="demo-pipeline",
                    runtime="comfyruntime",
                    tasktype="pipeline",
                    content_json=json.dumps(content),
                ),
                metadata=(("x-api-key", running.api_key),),
                timeout=CALL_SECONDS,
            )
        except grpc.aio.AioRpcError as error:
            raise CommandError(f"gRPC refused the pipeline: {error.details()}") from error
    return Submitted(title="pipeline by gRPC", uid=answer.uid, id=answer.id)


async def show_progress(api: Api, tasks: list[Submitted], console: Console) -> None:
    """Show each task's state and progress until it has ended."""
    columns = (
        TextColumn("{task.description:<24}"),
        BarColumn(),
        TextColumn("{task.fields[state]:<10}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as bars:

        async def follow(task: Submitted) -> None:
            bar = bars.add_task(task.title, total=100, state="queued")
            while True:
                seen = await api.task(task.uid)
                percent = 100 if seen["state"] in TERMINAL else 0
                if seen["progress"] and not percent:
                    percent = seen["progress"]["percent"]
                bars.update(bar, completed=percent, state=seen["state"])
                if seen["state"] in TERMINAL:
                    return
                await asyncio.sleep(0.1)

        async with asyncio.TaskGroup() as group:
            for task in tasks:
                group.create_task(follow(task), name=f"follow-{task.id}")


async def receive_callbacks(
    queue_url: str, uids: set[str], seconds: float = CALLBACK_SECONDS
) -> dict[str, dict[str, Any]]:
    """The callback of each task, by uid; raises `CommandError` if one does not come."""
    found: dict[str, dict[str, Any]] = {}
    deadline = time.monotonic() + seconds
    async with clients.sqs() as sqs:
        while uids - found.keys():
            if time.monotonic() > deadline:
                raise CommandError(f"no callback after {seconds:g} s")
            with translated("sqs.receive"):
                answer = await sqs.receive_message(
                    QueueUrl=queue_url, WaitTimeSeconds=1, MaxNumberOfMessages=10
                )
                for message in answer.get("Messages", []):
                    callback = json.loads(message["Body"])
                    found[callback["uid"]] = callback
                    await sqs.delete_message(
                        QueueUrl=queue_url, ReceiptHandle=message["ReceiptHandle"]
                    )
    return found


def described(file: Path) -> str:
    """Decode an image wholly and say what it is; raises `CommandError` if that fails."""
    try:
        image = decoded(file.read_bytes())
    except CommandError as error:
        raise CommandError(f"{file} {error}") from error
    return f"{image.format} {image.width}x{image.height} {file}"


def print_timeline(tasks: list[Submitted], folder: Folder, console: Console) -> None:
    """Print when each task passed each point, in seconds after it was accepted."""
    table = Table(title="time line, seconds after accepted")
    table.add_column("task")
    for event in EVENTS:
        table.add_column(event, justify="right")
    for task in tasks:
        times = timeline(sorted(folder.path.glob("logs/*.log")), task.uid)
        start = times.get("accepted")
        table.add_row(task.id, *(_since(start, times.get(event)) for event in EVENTS))
    console.print(table)


def _since(start: datetime | None, moment: datetime | None) -> str:
    return "?" if start is None or moment is None else f"{(moment - start).total_seconds():.3f}"
