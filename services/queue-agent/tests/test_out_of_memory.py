"""Memory that was short is told from other failures, whatever the server calls it."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from comfyui_jobs import ignore
from sdwebui_jobs import job, runtime

from queue_agent.domain import TaskFailedError
from queue_agent.runtimes.comfyui.answers import check_ending
from queue_agent.runtimes.http import runtime_http
from queue_agent.runtimes.invokeai.answers import Item

SHORT = [
    ("OutOfMemoryError", "CUDA out of memory. Tried to allocate 20.00 MiB (GPU 0; 4.00 GiB)"),
    ("RuntimeError", "CUDA out of memory. Tried to allocate 2.00 GiB"),
    ("RuntimeError", "HIP out of memory. Tried to allocate 1.00 GiB"),
    ("RuntimeError", "MPS backend out of memory (MPS allocated: 17.00 GB)"),
    ("torch.OutOfMemoryError", "Allocation on device"),
    ("torch.cuda.OutOfMemoryError", "Allocation on device 0 would exceed allowed memory."),
    ("torch.AcceleratorError", "CUDA error: out of memory\nCUDA kernel errors might be"),
    ("torch.AcceleratorError", "XPU out of memory"),
    (
        "RuntimeError",
        "[enforce fail at alloc_cpu.cpp:75] DefaultCPUAllocator: not enough memory",
    ),
    ("MemoryError", ""),
    (
        "RuntimeError",
        "Could not allocate tensor. There is not enough GPU video memory available!",
    ),
    ("RuntimeError", "cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
]
OTHER = [
    ("RuntimeError", "CUDA error: an illegal memory access was encountered"),
    ("RuntimeError", "mat1 and mat2 shapes cannot be multiplied"),
    ("ValueError", "Image not found"),
]
CASES = [(*one, True) for one in SHORT] + [(*one, False) for one in OTHER]


def check(error: TaskFailedError, is_short: bool) -> None:
    assert (error.code == "out_of_memory") == is_short
    assert error.failure.retryable == is_short


@pytest.mark.parametrize(("kind", "said", "is_short"), CASES)
def test_node_of_comfyui(kind: str, said: str, is_short: bool) -> None:
    content = {"node_id": "3", "exception_type": kind, "exception_message": said}
    status = {"status_str": "error", "messages": [["execution_error", content]]}

    with pytest.raises(TaskFailedError) as caught:
        check_ending({"status": status})

    check(caught.value, is_short)


@pytest.mark.parametrize(("kind", "said", "is_short"), CASES)
def test_item_of_invokeai(kind: str, said: str, is_short: bool) -> None:
    shown = {"item_id": 1, "status": "failed", "error_type": kind, "error_message": said}
    item = Item.read(shown)
    assert item is not None

    with pytest.raises(TaskFailedError) as caught:
        item.check_ending()

    check(caught.value, is_short)


@pytest.mark.parametrize("form", ["webui", "forge", "errors-only"])
@pytest.mark.parametrize(("kind", "said", "is_short"), [CASES[1], CASES[6], CASES[-1]])
async def test_call_of_sd_webui(kind: str, said: str, is_short: bool, form: str) -> None:
    bodies: dict[str, dict[str, Any]] = {
        "webui": {"error": kind, "detail": "", "body": "", "errors": said},
        "forge": {"detail": f"{kind}: {said}"},
        "errors-only": {"errors": said},
    }

    async def fail(_: web.Request) -> web.Response:
        return web.json_response(bodies[form], status=500)

    async def nothing(_: web.Request) -> web.Response:
        return web.json_response({})

    app = web.Application()
    app.router.add_post("/sdapi/v1/txt2img", fail)
    app.router.add_route("*", "/{rest:.*}", nothing)
    server = TestServer(app)
    async with server, runtime_http(str(server.make_url("/"))) as http:
        with pytest.raises(TaskFailedError) as caught:
            await runtime(http).run(job({}), ignore)

    check(caught.value, is_short)
