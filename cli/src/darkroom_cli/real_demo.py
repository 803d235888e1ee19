"""`darkroom demo --real`: a text-to-image and an image-to-image task of an installed server."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from contracts.kinds import RuntimeType
from contracts.runtimes import Runtime
from darkroom_cli.api import Api
from darkroom_cli.demo import (
    CALLBACK_SECONDS,
    Submitted,
    described,
    print_timeline,
    receive_callbacks,
    show_progress,
)
from darkroom_cli.embedded.folder import Folder, Running
from darkroom_cli.errors import CommandError
from darkroom_cli.models.known import KNOWN
from darkroom_cli.objects import download, read_object
from darkroom_cli.requests import comfyui_content, invokeai_content, sdwebui_content
from provisioning.resources import subscribe_queue

PROMPT: Final = "a lighthouse at dusk, oil on canvas"
ANOTHER_PROMPT: Final = "the same lighthouse in winter, snow, oil on canvas"
RUN_SECONDS: Final = 3600  # of one image, on a slow processor
START_SECONDS: Final = 1800  # of the server, with its model
CANCEL_SECONDS: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is drawn, and by what."""

    runtime: str
    kind: RuntimeType
    device: str
    checkpoint: str  # a file of Stable-diffusion/
    base: str = "sd-1"  # as InvokeAI calls its architecture
    size: int = 512
    steps: int = 16
    cfg: float = 7
    # Another one each time: a server gives an image that it has made once out again.
    seed: int = field(default_factory=lambda: secrets.randbelow(2**31))

    def content(self, prompt: str, image: str | None) -> dict[str, Any]:
        """The body of a task, with an image to begin with or without."""
        match self.kind:
            case RuntimeType.SDWEBUI:
                return sdwebui_content(
                    prompt, size=self.size, seed=self.seed, image=image,
                    checkpoint=self.checkpoint, steps=self.steps,
                )  # fmt: skip
            case RuntimeType.COMFYUI:
                return comfyui_content(
                    prompt, size=self.size, seed=self.seed, checkpoint=self.checkpoint,
                    steps=self.steps, cfg=self.cfg, image=image,
                )  # fmt: skip
            case RuntimeType.INVOKEAI:
                name = self.checkpoint.rpartition(".")[0]
                return invokeai_content(
                    prompt, size=self.size, seed=self.seed, steps=self.steps, cfg=self.cfg,
                    model={"name": name, "base": self.base, "type": "main"}, image=image,
                )  # fmt: skip

    def tasktype(self, image: str | None) -> str:
        """The type of a task, with an image to begin with or without."""
        if self.kind is not RuntimeType.SDWEBUI:
            return "pipeline"
        return "text-to-image" if image is None else "image-to-image"


# What a model draws well with, where it is not what most do.
_SETTINGS: Final[dict[str, dict[str, Any]]] = {
    "sd-turbo": {"steps": 3, "cfg": 1},
    "sdxl": {"base": "sdxl", "size": 1024},
}


def file_of(model: str) -> str:
    """The file of a well-known model by its name; any other is a file."""
    return next((known.file for known in KNOWN if known.name == model), model)


def planned(runtime: Runtime, device: str, model: str) -> Plan:
    """What is drawn with a model, by its well-known name or its file.

    Raises `CommandError` for one that the server cannot read.
    """
    file = file_of(model)
    name = next((known.name for known in KNOWN if known.file == file), "")
    if runtime.type is RuntimeType.INVOKEAI and name == "sd-turbo":
        raise CommandError(
            "--model sd-turbo: InvokeAI reads a Stable Diffusion 2 with files that its makers"
            " have taken from the hub; sd15-fp16 will do"
        )
    return Plan(
        runtime=runtime.name,
        kind=runtime.type,
        device=device,
        checkpoint=file,
        **_SETTINGS.get(name, {}),
    )


async def demonstrate_real(
    running: Running, folder: Folder, console: Console, plan: Plan
) -> list[Path]:
    """Have an image made, and another from it; show each with its time, and the time line.

    Gives the files of both.

    Raises `CommandError` when anything is not as promised.
    """
    queue = await subscribe_queue(running.result_topic_arn, "darkroom-demo-callbacks")
    tasks, files, image = [], [], None
    async with Api(running.endpoint, running.api_key) as api:
        for number, prompt in enumerate((PROMPT, ANOTHER_PROMPT), start=1):
            task = await _submit(api, plan, f"real-{number}", prompt, image)
            async with _taken_back(api, task):
                callback = await _done(api, task, queue, console)
            (image,) = callback["image_url"]
            file = folder.path / "images" / image.rsplit("/", 1)[1]
            await download(image, file)
            files.append(file)
            shown = await asyncio.to_thread(described, file)
            worked = await _seconds_of_device(callback["output_url"])
            took = f"; {worked:.1f} s on {plan.device}" if worked is not None else ""
            console.print(f"{task.title}: {shown}{took}", highlight=False, soft_wrap=True)
            tasks.append(task)
    print_timeline(tasks, folder, console)
    return files


async def _submit(api: Api, plan: Plan, name: str, prompt: str, image: str | None) -> Submitted:
    metadata = {
        "id": name,
        "runtime": plan.runtime,
        "tasktype": plan.tasktype(image),
        "timeout_seconds": RUN_SECONDS,
    }
    answer = await api.submit(metadata, plan.content(prompt, image))
    title = "text-to-image" if image is None else "image-to-image"
    return Submitted(title=title, uid=answer["uid"], id=answer["id"])


@asynccontextmanager
async def _taken_back(api: Api, task: Submitted) -> AsyncIterator[None]:
    """Cancel the task when the block is broken off: the next stack would go on with it."""
    try:
        yield
    except asyncio.CancelledError:
        with suppress(CommandError, TimeoutError):
            async with asyncio.timeout(CANCEL_SECONDS):
                await api.cancel(task.uid)
        raise


async def _done(api: Api, task: Submitted, queue: str, console: Console) -> dict[str, Any]:
    seconds = START_SECONDS + RUN_SECONDS + CALLBACK_SECONDS
    async with asyncio.TaskGroup() as group:
        group.create_task(show_progress(api, [task], console), name="progress")
        waiting = group.create_task(receive_callbacks(queue, {task.uid}, seconds))
    callback = waiting.result()[task.uid]
    if not callback["result"]:
        raise CommandError(f"{task.title} failed: {callback['error']['message']}")
    return callback


async def _seconds_of_device(output_url: str) -> float | None:
    """How long the server worked, as it wrote that down; None if it does not."""
    told = json.loads(await read_object(output_url))
    messages = dict((told.get("status") or {}).get("messages") or [])
    start, end = (
        messages.get(name, {}).get("timestamp")
        for name in ("execution_start", "execution_success")
    )
    return None if start is None or end is None else (end - start) / 1000
