"""What servers answer to one task, and servers that answer it with something else in it.

The answers were taken from SD WebUI 1.10.1, ComfyUI 0.3.64 and InvokeAI 6.14.2.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from aiohttp import web
from queue_agent_fakes import PNG

IMAGE: Final = base64.b64encode(PNG).decode()
MOST_CALLS: Final = 60
"""Of one task; then the server is gone, so that nobody waits for it for ever."""

SDWEBUI: Final[dict[str, Any]] = {
    "/sdapi/v1/memory": {"ram": {"free": 1, "used": 1, "total": 2}, "cuda": {"error": "no"}},
    "/sdapi/v1/options": {"sd_model_checkpoint": "one.safetensors [31e35c80fc]"},
    "/sdapi/v1/sd-models": [
        {
            "title": "one.safetensors [31e35c80fc]",
            "model_name": "one",
            "hash": "31e35c80fc",
            "sha256": None,
            "filename": "/models/one.safetensors",
            "config": None,
        }
    ],
    "/sdapi/v1/progress": {
        "progress": 0.3,
        "eta_relative": 1.5,
        "state": {
            "skipped": False,
            "interrupted": False,
            "job": "scripts_txt2img",
            "job_count": 1,
            "job_timestamp": "20250101120000",
            "job_no": 0,
            "sampling_step": 3,
            "sampling_steps": 20,
        },
        "current_image": None,
        "textinfo": None,
    },
    "/sdapi/v1/txt2img": {
        "images": [IMAGE, IMAGE],
        "parameters": {"prompt": "x", "steps": 20, "init_images": None},
        "info": {
            "all_seeds": [7, 8],
            "sampler_name": "Euler",
            "sd_model_name": "one",
            "sd_model_hash": "31e35c80fc",
            "index_of_first_image": 0,
            "infotexts": ["x\nSteps: 20, Sampler: Euler, Schedule type: Automatic"],
            "extra_generation_params": {},
        },
    },
    "/sdapi/v1/refresh-checkpoints": None,
    "/sdapi/v1/interrupt": {},
}
"""`info` is an object here, and text in the answer."""

COMFYUI: Final[dict[str, Any]] = {
    "/system_stats": {"system": {"os": "posix", "comfyui_version": "0.3.64"}, "devices": []},
    "/object_info": {},
    "/queue": {"queue_running": [], "queue_pending": []},
    "/prompt": {"prompt_id": "PROMPT", "number": 1, "node_errors": {}},
    "/history/PROMPT": {
        "PROMPT": {
            "prompt": [1, "PROMPT", {}, {}, ["6"]],
            "outputs": {
                "6": {"images": [{"filename": "a.png", "subfolder": "", "type": "output"}]},
                "7": {"text": ["a dog"]},
            },
            "status": {
                "status_str": "success",
                "completed": True,
                "messages": [
                    ["execution_start", {"prompt_id": "PROMPT", "timestamp": 1}],
                    ["execution_cached", {"nodes": ["1"], "prompt_id": "PROMPT"}],
                    ["execution_success", {"prompt_id": "PROMPT", "timestamp": 2}],
                ],
            },
            "meta": {"6": {"node_id": "6", "display_node": "6", "parent_node": None}},
        }
    },
    "/view": "an image",
    "/interrupt": {},
    "/ws": [
        {"type": "status", "data": {"status": {"exec_info": {"queue_remaining": 1}}}},
        {"type": "execution_start", "data": {"prompt_id": "PROMPT", "timestamp": 1}},
        {
            "type": "progress",
            "data": {"value": 1, "max": 4, "prompt_id": "PROMPT", "node": "4"},
        },
        {
            "type": "progress_state",
            "data": {
                "prompt_id": "PROMPT",
                "nodes": {"4": {"value": 1.0, "max": 4.0, "state": "running", "node_id": "4"}},
            },
        },
        {"type": "executing", "data": {"node": None, "prompt_id": "PROMPT"}},
    ],
}

_NODE: Final = {"type": "img_resize", "id": "small", "is_intermediate": False}
_ITEM: Final = {
    "item_id": 3,
    "status": "completed",
    "destination": "PROMPT",
    "error_type": None,
    "error_message": None,
    "session": {
        "graph": {"id": "g", "nodes": {"small": _NODE}, "edges": []},
        "results": {"p1": {"type": "image_output", "image": {"image_name": "a.png"}}},
        "prepared_source_mapping": {"p1": "small"},
        "errors": {},
    },
}
_MODEL: Final = {"key": "k", "hash": "h", "name": "one", "base": "sd-1", "type": "main"}
INVOKEAI: Final[dict[str, Any]] = {
    "/api/v1/app/version": {"version": "6.14.2", "highlights": None},
    "/api/v2/models/": {"models": [_MODEL]},
    "/api/v2/models/scan_folder": [{"path": "/models/one.safetensors", "is_installed": True}],
    "/api/v2/models/install": [{"id": 1, "status": "completed", "source": {}}],
    "/api/v1/queue/default/list_all": [_ITEM],
    "/api/v1/queue/default/i/3": _ITEM,
    "/api/v1/images/i/a.png/full": "an image",
    "/api/v1/images/delete": {"deleted_images": ["a.png"], "affected_boards": []},
}


@dataclass
class Recorded:
    """A server that gives recorded answers, to one task named `prompt_id`."""

    answers: Mapping[str, Any]
    prompt_id: str
    status: int = 200
    broken: str = ""  # the path whose answers have the status
    calls: int = field(default=0, init=False)

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/ws", self._events)
        app.router.add_route("*", "/{rest:.*}", self._answer)
        return app

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.calls += 1
        if self.calls > MOST_CALLS and request.transport:
            request.transport.abort()
        path = request.path.replace(self.prompt_id, "PROMPT")
        if path not in self.answers:
            return web.json_response({})
        status = self.status if path == self.broken else 200
        answer = self.answers[path]
        if answer == "an image":
            return web.Response(body=PNG, status=status)
        if path.endswith("txt2img") and isinstance(answer, dict) and "info" in answer:
            answer = {**answer, "info": json.dumps(answer["info"])}
        return web.Response(text=self._said(answer), status=status)

    async def _events(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        events = self.answers["/ws"]
        for event in events if isinstance(events, list) else [events]:
            await socket.send_str(self._said(event))
        return socket

    def _said(self, answer: object) -> str:
        return json.dumps(answer).replace("PROMPT", self.prompt_id)
