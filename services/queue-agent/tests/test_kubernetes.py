"""Marks of the pod, over HTTP to a server that stands for the API server."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web

from queue_agent.pod.kubernetes import kubernetes_pod
from servicekit.errors import TransientError
from servicekit.ports import free_port

POD = "/api/v1/namespaces/art/pods/sdruntime-1"


@dataclass
class ApiServer:
    """Keeps what it is asked; answers with `status`."""

    url: str = ""
    status: int = 200
    asked: list[tuple[str, str, str, Any]] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.Response:
        body = json.loads(await request.text())
        kind = request.headers["Content-Type"]
        self.asked.append((request.method, request.path, kind, body))
        return web.json_response({"kind": "Pod", "apiVersion": "v1"}, status=self.status)


@pytest.fixture
async def api() -> AsyncIterator[ApiServer]:
    server, app = ApiServer(), web.Application()
    app.router.add_route("*", "/{path:.*}", server.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    server.url = f"http://127.0.0.1:{port}"
    yield server
    await runner.cleanup()


async def test_a_busy_pod_is_dear_to_delete_and_not_to_be_disrupted(api: ApiServer) -> None:
    async with kubernetes_pod("sdruntime-1", "art", api.url) as pod:
        await pod.mark(busy=True)

    annotations = {
        "controller.kubernetes.io/pod-deletion-cost": "100",
        "karpenter.sh/do-not-disrupt": "true",
    }
    body = {"metadata": {"annotations": annotations}}
    assert api.asked == [("PATCH", POD, "application/merge-patch+json", body)]


async def test_an_idle_pod_has_no_marks(api: ApiServer) -> None:
    async with kubernetes_pod("sdruntime-1", "art", api.url) as pod:
        await pod.mark(busy=True)
        await pod.mark(busy=False)

    annotations = {
        "controller.kubernetes.io/pod-deletion-cost": None,
        "karpenter.sh/do-not-disrupt": None,
    }
    body = {"metadata": {"annotations": annotations}}
    assert api.asked[1] == ("PATCH", POD, "application/merge-patch+json", body)


@pytest.mark.parametrize("status", [403, 404, 500, 503])
async def test_a_refusal_is_an_error_that_may_pass(api: ApiServer, status: int) -> None:
    api.status = status

    async with kubernetes_pod("sdruntime-1", "art", api.url) as pod:
        with pytest.raises(TransientError) as raised:
            await pod.mark(busy=True)

    assert raised.value.details == {"status": status}


async def test_no_api_server_is_an_error_that_may_pass() -> None:
    async with kubernetes_pod("sdruntime-1", "art", f"http://127.0.0.1:{free_port()}") as pod:
        with pytest.raises(TransientError):
            await pod.mark(busy=True)


async def test_no_cluster_is_an_error_that_may_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)

    async with kubernetes_pod("sdruntime-1", "art") as pod:
        with pytest.raises(TransientError):
            await pod.mark(busy=True)
