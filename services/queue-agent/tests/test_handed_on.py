"""What a task names by URL never reaches a runtime: each spelling, through all adapters."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from handler_parts import LIMITS, Room
from queue_agent_fakes import delivery, message, state

from contracts.kinds import RuntimeType
from egress.addresses import AddressRules
from queue_agent.inputs.fetch import Fetcher
from queue_agent.inputs.http import http_inputs
from queue_agent.runtimes.comfyui.runtime import comfyui_parts
from queue_agent.runtimes.http import runtime_http
from queue_agent.runtimes.invokeai.runtime import invokeai_parts
from queue_agent.runtimes.loading import LoadedModels
from queue_agent.runtimes.port import RuntimeOptions
from queue_agent.runtimes.sdwebui.runtime import sdwebui_parts

HOST = "169.254.169.254"
SPELLINGS = [
    f"http://{HOST}/latest/",
    f"http://{HOST}/latest/ ",
    f"http://{HOST}/la test/",
    f" http://{HOST}/latest/",
    f"\thttp://{HOST}/latest/",
    f"http://{HOST}/latest/\t",
    f"http://{HOST}/latest/\n",
    f"http://{HOST}/lat\nest/",
    f"http://{HOST}/latest/\u00a0",
    f"http://{HOST}/lat\u00a0est/",
    f"http://{HOST}/latest/\u200b",
    f"\u200bhttp://{HOST}/latest/",
    f"\ufeffhttp://{HOST}/latest/",
    f"HTTP://{HOST}/latest/",
    f"hTTps://{HOST}/latest/",
    f"ht\ttp://{HOST}/latest/",
    f"http:/{HOST}/latest/",
    f"http:{HOST}/latest/",
    f"http:\\\\{HOST}\\latest",
    f"<URL:http://{HOST}/latest/>",
    f"ftp://{HOST}/latest/",
    f"file://{HOST}/latest/",
    f"http://a@{HOST}/latest/",
    f"http://{HOST}:80/latest/?a= b",
]

Content = dict[str, Any]
Body = Callable[[str], Content]


def script(url: str) -> Content:
    return {"alwayson_scripts": {"ControlNet": {"args": [True, {"image": {"image": url}}]}}}


def node(kind: str, name: str) -> Body:
    return lambda url: {"1": {"class_type": kind, "inputs": {name: url}}}


def image_field(url: str) -> Content:
    return {"nodes": {"1": {"type": "img_blur", "image": {"image_name": url}}}}


BODIES: list[tuple[RuntimeType, str, Body]] = [
    (RuntimeType.SDWEBUI, "image-to-image", lambda url: {"init_images": [url]}),
    (RuntimeType.SDWEBUI, "image-to-image", lambda url: {"init_images": ["A"], "mask": url}),
    (RuntimeType.SDWEBUI, "text-to-image", script),
    (RuntimeType.SDWEBUI, "text-to-image", lambda url: {"script_args": [1, url]}),
    (RuntimeType.SDWEBUI, "extra-single-image", lambda url: {"image": url}),
    (RuntimeType.SDWEBUI, "extra-batch-images", lambda url: {"imageList": [{"data": url}]}),
    (RuntimeType.COMFYUI, "pipeline", node("LoadImage", "image")),
    (RuntimeType.COMFYUI, "pipeline", node("LoadAudio", "audio")),
    (RuntimeType.COMFYUI, "pipeline", node("LoadVideo", "file")),
    (RuntimeType.COMFYUI, "pipeline", node("Load3D", "model_file")),
    (RuntimeType.COMFYUI, "pipeline", lambda u: {"prompt": node("LoadImage", "image")(u)}),
    (RuntimeType.INVOKEAI, "pipeline", image_field),
    (RuntimeType.INVOKEAI, "pipeline", lambda url: {"batch": {"graph": image_field(url)}}),
]
PARTS = {
    RuntimeType.SDWEBUI: sdwebui_parts,
    RuntimeType.COMFYUI: comfyui_parts,
    RuntimeType.INVOKEAI: invokeai_parts,
}


@dataclass
class Recorder:
    """A server that keeps what it is sent."""

    sent: list[str] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.Response:
        self.sent.append(await request.text())
        return web.json_response({"images": [], "info": "{}", "image": "", "queue_running": []})


@pytest.fixture
async def recorder() -> AsyncIterator[tuple[Recorder, str]]:
    kept = Recorder()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", kept.answer)
    async with TestServer(app, host="127.0.0.1") as server:
        yield kept, str(server.make_url("/"))


@pytest.mark.parametrize("url", SPELLINGS)
async def test_runtime_is_handed_no_url_that_it_might_fetch(
    room: Room, recorder: tuple[Recorder, str], url: str
) -> None:
    kept, address = recorder
    options = RuntimeOptions(
        poll=timedelta(seconds=1),
        silence=timedelta(seconds=5),
        loaded=LoadedModels(),
        dynamic_model=False,
        own_model="",
        models_folder="",
    )
    rules = AddressRules()
    patience = timedelta(seconds=5)
    async with (
        runtime_http(address) as http,
        http_inputs(patience=patience, redirects=2, rules=rules, agent="test") as reader,
    ):
        fetcher = Fetcher(readers={"http": reader, "https": reader}, limits=LIMITS)
        for kind, tasktype, body in BODIES:
            handler = room.handler_of(PARTS[kind](http, options), fetcher)
            sent = message(tasktype=tasktype, content=body(url))

            await handler.handle(delivery(sent), state())

            failure = room.notifier.ends[sent.uid].failure
            assert failure is not None
            assert failure.code == "input_unavailable", failure.message
    assert not [text for text in kept.sent if HOST in text or HOST in json.dumps(text)]
