"""Real ComfyUI and InvokeAI servers, as the benchmark `real` sees them.

Both write down when they began and ended each piece of work of their queue, and that is what is
measured: of work that is queued there directly by asking the server, of work from Darkroom by
its `.out`, since the agent removes what it has stored.
"""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Protocol

import httpx

from contracts.kinds import RuntimeType
from darkroom_cli.errors import CommandError

SEEDS: Final = itertools.count(1)  # no graph is made twice: servers keep what they know
SPAN = tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """What each piece of work makes."""

    side: int
    steps: int
    checkpoint: str = ""  # empty: a plain picture, for which no model is needed


class Server(Protocol):
    """A server with a queue of its own."""

    async def device(self) -> str:
        """What it computes on, and its version."""

    async def spans(self) -> dict[str, SPAN]:
        """When it began and ended, in seconds, by its own name for the work."""

    async def graph(self, picture: Picture) -> dict[str, Any]:
        """A piece of work in its own form."""

    async def queue(self, graph: dict[str, Any]) -> None:
        """Put work into its queue, past Darkroom."""


@dataclass(frozen=True, slots=True)
class ComfyUi:
    """A ComfyUI."""

    http: httpx.AsyncClient

    async def device(self) -> str:
        """The name of its first device."""
        stats = await _json(self.http, "/system_stats")
        version = stats["system"]["comfyui_version"]
        return f"ComfyUI {version} on {stats['devices'][0]['name']}"

    async def spans(self) -> dict[str, SPAN]:
        """Of its history."""
        history = await _json(self.http, "/history")
        told = {name: span_of(entry["status"]) for name, entry in history.items()}
        return {name: span for name, span in told.items() if span}

    async def graph(self, picture: Picture) -> dict[str, Any]:
        """A prompt in the form of its API."""
        seed = next(SEEDS)
        size = {"width": picture.side, "height": picture.side, "batch_size": 1}
        save = {"filename_prefix": "bench", "images": ["image", 0]}
        nodes = _comfyui_sampled(picture, seed) if picture.checkpoint else {}
        plain = _node("EmptyImage", **size, color=seed)
        return {"image": plain, **nodes, "save": _node("SaveImage", **save)}

    async def queue(self, graph: dict[str, Any]) -> None:
        """Put a prompt into its queue."""
        body = {"prompt": graph, "prompt_id": str(uuid.uuid4())}
        answer = await self.http.post("/prompt", json=body)
        if not answer.is_success:
            raise CommandError(f"ComfyUI refused a prompt: {answer.text[:300]}")


def span_of(status: Mapping[str, Any]) -> SPAN | None:
    """When ComfyUI began and ended a prompt, by its status; None if it did not go well."""
    told = {what: data.get("timestamp") for what, data in status["messages"]}
    if "execution_success" not in told:
        return None
    return told["execution_start"] / 1000, told["execution_success"] / 1000


def _node(kind: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": kind, "inputs": inputs}


def _comfyui_sampled(picture: Picture, seed: int) -> dict[str, Any]:
    size = {"width": picture.side, "height": picture.side, "batch_size": 1}
    sampled = {
        "seed": seed,
        "steps": picture.steps,
        "cfg": 7,
        "sampler_name": "euler",
        "scheduler": "normal",
        "denoise": 1,
        "model": ["model", 0],
        "positive": ["text", 0],
        "negative": ["none", 0],
        "latent_image": ["latent", 0],
    }
    return {
        "model": _node("CheckpointLoaderSimple", ckpt_name=picture.checkpoint),
        "text": _node("CLIPTextEncode", text="a lighthouse at dusk", clip=["model", 1]),
        "none": _node("CLIPTextEncode", text="", clip=["model", 1]),
        "latent": _node("EmptyLatentImage", **size),
        "sampled": _node("KSampler", **sampled),
        "image": _node("VAEDecode", samples=["sampled", 0], vae=["model", 2]),
    }


@dataclass(frozen=True, slots=True)
class InvokeAi:
    """An InvokeAI."""

    http: httpx.AsyncClient

    async def device(self) -> str:
        """Its version; it does not tell its device."""
        version = await _json(self.http, "/api/v1/app/version")
        return f"InvokeAI {version['version']}"

    async def spans(self) -> dict[str, SPAN]:
        """Of the items of its queue."""
        items = await _json(self.http, "/api/v1/queue/default/list_all")
        return {
            str(item["item_id"]): (_seconds(item["started_at"]), _seconds(item["completed_at"]))
            for item in items
            if item["status"] == "completed"
        }

    async def graph(self, picture: Picture) -> dict[str, Any]:
        """A graph with nodes and edges."""
        seed = next(SEEDS)
        if picture.checkpoint:
            return await self._sampled(picture, seed)
        color = {"r": seed % 256, "g": seed // 256 % 256, "b": 0, "a": 255}
        size = {"width": picture.side, "height": picture.side}
        blank = {"id": "blank", "type": "blank_image", "color": color, **size}
        return {"id": "bench", "nodes": {"blank": blank}, "edges": []}

    async def queue(self, graph: dict[str, Any]) -> None:
        """Put a batch of one into its queue."""
        body = {"prepend": False, "batch": {"graph": graph, "runs": 1}}
        answer = await self.http.post("/api/v1/queue/default/enqueue_batch", json=body)
        if not answer.is_success:
            raise CommandError(f"InvokeAI refused a graph: {answer.text[:300]}")

    async def _sampled(self, picture: Picture, seed: int) -> dict[str, Any]:
        model = await self._model(picture.checkpoint)
        size = {"width": picture.side, "height": picture.side}
        nodes: dict[str, dict[str, Any]] = {
            "model": {"type": "main_model_loader", "model": model},
            "text": {"type": "compel", "prompt": "a lighthouse at dusk"},
            "none": {"type": "compel", "prompt": ""},
            "noise": {"type": "noise", "seed": seed, "use_cpu": True, **size},
            "sampled": {"type": "denoise_latents", "steps": picture.steps, "cfg_scale": 7},
            "image": {"type": "l2i"},
        }
        edges = [
            _edge("model", "clip", "text", "clip"),
            _edge("model", "clip", "none", "clip"),
            _edge("model", "unet", "sampled", "unet"),
            _edge("model", "vae", "image", "vae"),
            _edge("text", "conditioning", "sampled", "positive_conditioning"),
            _edge("none", "conditioning", "sampled", "negative_conditioning"),
            _edge("noise", "noise", "sampled", "noise"),
            _edge("sampled", "latents", "image", "latents"),
        ]
        named = {name: {"id": name, **node} for name, node in nodes.items()}
        return {"id": "bench", "nodes": named, "edges": edges}

    async def _model(self, name: str) -> dict[str, Any]:
        answer = await _json(self.http, "/api/v2/models/", model_type="main")
        for model in answer["models"]:
            if model["name"] == name:
                return {key: model[key] for key in ("key", "hash", "name", "base", "type")}
        raise CommandError(
            f"InvokeAI has no model {name}: {[m['name'] for m in answer['models']]}"
        )


def _edge(source: str, output: str, destination: str, field: str) -> dict[str, Any]:
    return {
        "source": {"node_id": source, "field": output},
        "destination": {"node_id": destination, "field": field},
    }


def _seconds(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()


async def _json(http: httpx.AsyncClient, path: str, **params: Any) -> Any:
    try:
        answer = await http.get(path, params=params)
        answer.raise_for_status()
    except httpx.HTTPError as error:
        raise CommandError(f"{http.base_url}{path}: {error or 'does not answer'}") from None
    return answer.json()


SERVERS: Final[Mapping[RuntimeType, type[ComfyUi] | type[InvokeAi]]] = {
    RuntimeType.COMFYUI: ComfyUi,
    RuntimeType.INVOKEAI: InvokeAi,
}
"""SD WebUI has no queue that it could be compared with, and does not tell when it worked."""
