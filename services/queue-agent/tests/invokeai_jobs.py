"""Graphs for InvokeAI, models for them, and what its server says."""

from __future__ import annotations

import asyncio
import json
import struct
from datetime import timedelta
from pathlib import Path
from typing import Any

from PIL import Image

from contracts.ids import Uid, new_uid
from contracts.kinds import TaskType
from contracts.state import Progress
from queue_agent.domain import File, Job
from queue_agent.files.body import open_body
from queue_agent.runtimes.http import RuntimeHttp
from queue_agent.runtimes.invokeai.models import ModelLibrary
from queue_agent.runtimes.invokeai.runtime import InvokeAiRuntime

POLL = timedelta(milliseconds=20)
QUEUE = "/api/v1/queue/default"


def runtime(http: RuntimeHttp, folder: Path | str = "") -> InvokeAiRuntime:
    models = ModelLibrary(http=http, folder=str(folder), poll=POLL)
    return InvokeAiRuntime(http=http, poll=POLL, silence=timedelta(seconds=1), models=models)


def edge(source: str, destination: str) -> dict[str, Any]:
    return {
        "source": {"node_id": source, "field": "image"},
        "destination": {"node_id": destination, "field": "image"},
    }


def graph(text: str = "a dog", **changes: dict[str, Any]) -> dict[str, Any]:
    nodes = {
        "blank": {"type": "blank_image", "width": 64, "height": 48, "is_intermediate": True},
        "mark": {"type": "img_watermark", "text": text, "is_intermediate": True},
        "small": {"type": "img_resize", "width": 32, "height": 24},
        **changes,
    }
    named = {node_id: {"id": node_id, **node} for node_id, node in nodes.items()}
    return {"nodes": named, "edges": [edge("blank", "mark"), edge("mark", "small")]}


def job(content: dict[str, Any], uid: Uid | None = None, attempt: int = 1) -> Job:
    return Job(
        uid=uid or new_uid(), attempt=attempt, tasktype=TaskType.PIPELINE, content=content
    )


def ignore(_: Progress) -> None: ...


def size(file: File) -> tuple[int, int]:
    with Image.open(open_body(file.body)) as picture:
        return picture.size


async def items(http: RuntimeHttp, destination: str) -> list[dict[str, Any]]:
    found = await http.get(f"{QUEUE}/list_all", {"destination": destination})
    assert isinstance(found.body, list)
    return found.body


async def enqueue(http: RuntimeHttp, content: dict[str, Any], destination: str) -> None:
    batch = {"graph": content, "runs": 1, "destination": destination}
    assert (await http.post(f"{QUEUE}/enqueue_batch", json={"batch": batch})).status == 201


async def reached(http: RuntimeHttp, destination: str, status: str) -> int:
    """Wait until the server's item has a status; gives its id."""
    async with asyncio.timeout(60):
        while True:
            for item in await items(http, destination):
                if item["status"] == status:
                    return int(item["item_id"])
            await asyncio.sleep(0)


def write_lora(path: Path, *, missing: int = 0) -> Path:
    """Write the smallest file that InvokeAI takes for a LoRA of Stable Diffusion 1."""
    layer = "lora_te_text_model_encoder_layers_0_self_attn_k_proj"
    shapes = {"lora_down.weight": [1, 768], "lora_up.weight": [768, 1], "alpha": []}
    header, end = {}, 0
    for name, shape in shapes.items():
        start, end = end, end + 4 * (768 if shape else 1)
        header[f"{layer}.{name}"] = {
            "dtype": "F32",
            "shape": shape,
            "data_offsets": [start, end],
        }
    text = json.dumps(header).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(end - missing))
    return path


def lora_graph(**named: str) -> dict[str, Any]:
    """A graph that asks for a LoRA by some of its key, hash, name, base and type."""
    return graph(
        lora={"type": "lora_loader", "lora": {"base": "sd-1", "type": "lora", **named}}
    )


async def listed(http: RuntimeHttp) -> dict[str, dict[str, Any]]:
    """The models that the server has, by their names."""
    body = (await http.get("/api/v2/models/")).body
    return {model["name"]: model for model in body["models"]}
