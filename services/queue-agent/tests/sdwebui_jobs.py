"""Jobs for an SD WebUI, and what it has of them."""

from __future__ import annotations

import asyncio
import base64
from datetime import timedelta
from typing import Any

from queue_agent_fakes import whole

from contracts.ids import new_uid
from contracts.kinds import TaskType
from contracts.state import Progress
from queue_agent.domain import (
    Job,
)
from queue_agent.runtimes.http import RuntimeHttp
from queue_agent.runtimes.sdwebui.runtime import SdWebuiRuntime

POLL = timedelta(milliseconds=20)
SILENCE = timedelta(seconds=60)
SMALL = {"width": 64, "height": 64, "steps": 4, "seed": 7}


def runtime(http: RuntimeHttp, *, dynamic: bool = False) -> SdWebuiRuntime:
    return SdWebuiRuntime(http=http, dynamic=dynamic, poll=POLL, silence=timedelta(seconds=1))


def job(
    content: dict[str, Any],
    tasktype: TaskType = TaskType.TEXT_TO_IMAGE,
    checkpoint: str | None = None,
) -> Job:
    return Job(
        uid=new_uid(),
        attempt=1,
        tasktype=tasktype,
        content={**SMALL, **content},
        checkpoint=checkpoint,
    )


def ignore(_: Progress) -> None: ...


async def loaded(http: RuntimeHttp) -> str:
    title: str = (await http.get("/sdapi/v1/options")).body["sd_model_checkpoint"]
    return title.partition(" ")[0]


async def source(http: RuntimeHttp) -> str:
    made = await runtime(http).run(job({"prompt": "source"}), ignore)
    return base64.b64encode(whole(made.files[0].body)).decode()


async def running(http: RuntimeHttp) -> None:
    """Wait until the server works."""
    async with asyncio.timeout(60):
        while not (await http.get("/sdapi/v1/progress")).body["state"]["job"]:  # noqa: ASYNC110  # another process
            await asyncio.sleep(0)
