"""Graphs for a ComfyUI, and what it has of them."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

from contracts.ids import Uid, new_uid
from contracts.kinds import TaskType
from contracts.state import Progress
from queue_agent.domain import Job
from queue_agent.runtimes.comfyui.runtime import ComfyUiRuntime
from queue_agent.runtimes.http import RuntimeHttp

POLL = timedelta(milliseconds=20)
CHECKPOINT = "v1-5-pruned-emaonly.safetensors"


def runtime(http: RuntimeHttp) -> ComfyUiRuntime:
    return ComfyUiRuntime(http=http, poll=POLL, silence=timedelta(seconds=1))


def node(kind: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": kind, "inputs": inputs}


def graph(text: str = "a dog", /, **more: Any) -> dict[str, Any]:
    return {
        "1": node("CheckpointLoaderSimple", ckpt_name=CHECKPOINT),
        "2": node("CLIPTextEncode", text=text, clip=["1", 1]),
        "3": node("EmptyLatentImage", width=64, height=64, batch_size=1),
        "4": node(
            "KSampler",
            model=["1", 0],
            seed=1,
            steps=10,
            cfg=7,
            sampler_name="euler",
            scheduler="normal",
            positive=["2", 0],
            negative=["2", 0],
            latent_image=["3", 0],
            denoise=1,
        ),
        "5": node("VAEDecode", samples=["4", 0], vae=["1", 2]),
        "6": node("SaveImage", images=["5", 0], filename_prefix="sub/folder"),
        **more,
    }


def job(content: dict[str, Any], uid: Uid | None = None, attempt: int = 1) -> Job:
    return Job(
        uid=uid or new_uid(), attempt=attempt, tasktype=TaskType.PIPELINE, content=content
    )


def ignore(_: Progress) -> None: ...


async def queue(http: RuntimeHttp) -> list[str]:
    body = (await http.get("/queue")).body
    return [item[1] for item in body["queue_running"] + body["queue_pending"]]


async def running(http: RuntimeHttp, prompt_id: str) -> None:
    """Wait until the server works on a prompt."""
    async with asyncio.timeout(60):
        while prompt_id not in await queue(http):  # noqa: ASYNC110  # another process
            await asyncio.sleep(0)


async def emptied(http: RuntimeHttp) -> None:
    """Wait until the server has nothing to do."""
    async with asyncio.timeout(60):
        while await queue(http):  # noqa: ASYNC110  # another process
            await asyncio.sleep(0)
