"""The steady load of the fault injector, and what the world was told of it."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import httpx

from awsio.errors import translated

if TYPE_CHECKING:
    from types_aiobotocore_sqs import SQSClient

PATIENCE_SECONDS: Final = 45  # of a client that is refused
PAUSE_SECONDS: Final = 0.5
ANSWER_SECONDS: Final = 15
OK: Final = 200
LARGE_BYTES: Final = 600_000  # more than an agent keeps in memory


@dataclass(slots=True, kw_only=True)
class Handed:
    """One task as its client knows it; times are of the event loop's clock."""

    task_id: str
    tenant: str
    posted: float
    uid: str | None = None  # None: never accepted
    refusals: int = 0
    is_sound: bool = True  # it is to be completed


@dataclass(frozen=True, slots=True)
class Told:
    """One message that was published, and when it came."""

    text: str
    content: dict[str, Any]
    moment: float


@dataclass(slots=True)
class Box:
    """Keeps every message of a queue, by uid."""

    sqs: SQSClient
    queue_url: str
    kept: dict[str, list[Told]] = field(default_factory=dict)
    _arrival: asyncio.Event = field(default_factory=asyncio.Event)

    async def receive(self) -> None:
        """Receive until cancelled; raises `AppError` when the queue cannot be read."""
        loop = asyncio.get_running_loop()
        while True:
            with translated("sqs.receive"):
                answer = await self.sqs.receive_message(
                    QueueUrl=self.queue_url, WaitTimeSeconds=5, MaxNumberOfMessages=10
                )
            messages = answer.get("Messages", [])
            for message in messages:
                told = Told(message["Body"], json.loads(message["Body"]), loop.time())
                self.kept.setdefault(told.content["uid"], []).append(told)
            if messages:
                self._arrival.set()
                with translated("sqs.delete"):
                    await self.sqs.delete_message_batch(
                        QueueUrl=self.queue_url,
                        Entries=[
                            {"Id": str(number), "ReceiptHandle": message["ReceiptHandle"]}
                            for number, message in enumerate(messages)
                        ],
                    )

    async def hold(self, uids: list[str], seconds: float) -> bool:
        """Wait until there is a message for each uid; tells whether that came to be."""
        try:
            async with asyncio.timeout(seconds):
                while any(uid not in self.kept for uid in uids):
                    self._arrival.clear()
                    await self._arrival.wait()
        except TimeoutError:
            return False
        return True


@dataclass(frozen=True, slots=True)
class Client:
    """Hands tasks in as a careful client does: again with the same key until accepted."""

    http: httpx.AsyncClient

    async def hand_in(self, task: dict[str, Any], handed: Handed) -> None:
        """Fill in the uid of the task, or leave it unset when patience has ended."""
        loop = asyncio.get_running_loop()
        while loop.time() < handed.posted + PATIENCE_SECONDS:
            try:
                answer = await self.http.post(
                    "/v1alpha2",
                    json={"task": task},
                    headers={"idempotency-key": handed.task_id},
                )
            except httpx.HTTPError:
                handed.refusals += 1  # it may have been accepted: the key tells
            else:
                if answer.status_code == OK:
                    handed.uid = answer.json()["uid"]
                    return
                handed.refusals += 1
            await asyncio.sleep(PAUSE_SECONDS)


@asynccontextmanager
async def client(endpoint: str, api_key: str) -> AsyncIterator[Client]:
    """A client of one endpoint."""
    async with httpx.AsyncClient(
        base_url=endpoint,
        headers={"x-api-key": api_key},
        timeout=ANSWER_SECONDS,
        trust_env=False,
    ) as http:
        yield Client(http)


def task(
    task_id: str,
    rng: random.Random,
    prompt: str,
    *,
    large: bool = False,
    graph: bool = False,
) -> dict[str, Any]:
    """A small task for one of the two runtimes, but with a large answer if it is to be."""
    seed = rng.randrange(2**31)
    # Runtimes say it again with each image, in the answer or in the file.
    unwanted = rng.randbytes(LARGE_BYTES // 2).hex() if large else ""
    if rng.random() < 0.6 and not graph:  # noqa: PLR2004  # the cheaper runtime gets a little more
        metadata = {"id": task_id, "runtime": "sdruntime", "tasktype": "text-to-image"}
        content = {
            "prompt": prompt, "negative_prompt": unwanted, "seed": seed, "steps": 4,
            "width": 64, "height": 64,
        }  # fmt: skip
        return {"metadata": {**metadata, "context": {"task": task_id}}, "content": content}
    metadata = {"id": task_id, "runtime": "comfyruntime", "tasktype": "pipeline"}
    return {"metadata": metadata, "content": {"prompt": _graph(prompt, unwanted, seed)}}


def _graph(prompt: str, unwanted: str, seed: int) -> dict[str, Any]:
    checkpoint = {"ckpt_name": "v1-5-pruned-emaonly.safetensors"}
    sampled = {
        "seed": seed, "steps": 4, "cfg": 7, "sampler_name": "euler", "scheduler": "normal",
        "denoise": 1, "model": ["1", 0], "positive": ["2", 0], "negative": ["7", 0],
        "latent_image": ["3", 0],
    }  # fmt: skip
    size = {"width": 64, "height": 64, "batch_size": 1}
    nodes: list[tuple[str, dict[str, Any]]] = [
        ("CheckpointLoaderSimple", checkpoint),
        ("CLIPTextEncode", {"text": prompt, "clip": ["1", 1]}),
        ("EmptyLatentImage", size),
        ("KSampler", sampled),
        ("VAEDecode", {"samples": ["4", 0], "vae": ["1", 2]}),
        ("SaveImage", {"filename_prefix": "fault", "images": ["5", 0]}),
        ("CLIPTextEncode", {"text": unwanted, "clip": ["1", 1]}),
    ]
    return {
        str(number): {"class_type": kind, "inputs": inputs}
        for number, (kind, inputs) in enumerate(nodes, 1)
    }
