"""Marks of the pod, over HTTPS to a server that stands for the API server."""

from __future__ import annotations

import json
import ssl
import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from queue_agent.domain import Node
from queue_agent.pod.kubernetes import kubernetes_pod
from queue_agent.pod.node import find_node
from queue_agent.ports import PodMark
from servicekit.errors import TransientError
from servicekit.listen import free_port

POD = "/api/v1/namespaces/art/pods/sdruntime-1"
NODE = "/api/v1/nodes/ip-10-0-1-2"
THE_POD = {"kind": "Pod", "metadata": {"creationTimestamp": "2026-01-02T03:04:05Z"}}


@dataclass
class ApiServer:
    """Keeps what it is asked; answers with `status`."""

    account: Path  # what a pod has of it
    status: int = 200
    told: dict[str, Any] = field(default_factory=dict)  # by path, of what is not the pod
    asked: list[tuple[str, str, str, Any]] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.Response:
        text = await request.text()
        kind = request.headers.get("Content-Type", "")
        self.asked.append((request.method, request.path, kind, json.loads(text or "null")))
        self.tokens.append(request.headers["Authorization"])
        return web.json_response(self.told.get(request.path, THE_POD), status=self.status)

    async def mark(self, *marks: PodMark) -> None:
        async with kubernetes_pod("sdruntime-1", "art", self.account) as pod:
            for mark in marks:
                await pod.mark(mark)


@pytest.fixture(scope="module")
def certified(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for this machine, and its key."""
    folder = tmp_path_factory.mktemp("tls")
    key, certificate = folder / "api.key", folder / "api.pem"
    made = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
    subject = ["-subj", "/CN=kubernetes", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run(
        [*made.split(), *subject, "-keyout", str(key), "-out", str(certificate)],
        check=True,
        capture_output=True,
        timeout=60,
    )
    return certificate, key


@pytest.fixture
async def api(
    certified: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[ApiServer]:
    server, app = ApiServer(tmp_path), web.Application()
    app.router.add_route("*", "/{path:.*}", server.answer)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(*certified)
    (tmp_path / "ca.crt").write_bytes(certified[0].read_bytes())
    (tmp_path / "token").write_text("first\n")
    runner = web.AppRunner(app)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port, ssl_context=tls).start()
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(port))
    yield server
    await runner.cleanup()


@pytest.mark.parametrize(
    ("mark", "cost", "undisturbed", "label"),
    [
        (PodMark.BUSY, "100", "true", None),
        (PodMark.LASTING, "100", "true", "true"),
        (PodMark.IDLE, None, None, None),
    ],
)
async def test_a_busy_pod_is_dear_to_delete_and_one_of_lasting_work_is_counted(
    api: ApiServer, mark: PodMark, cost: str | None, undisturbed: str | None, label: str | None
) -> None:
    await api.mark(mark)

    annotations = {
        "controller.kubernetes.io/pod-deletion-cost": cost,
        "karpenter.sh/do-not-disrupt": undisturbed,
    }
    body = {"metadata": {"annotations": annotations, "labels": {"darkroom/at-work": label}}}
    assert api.asked == [("PATCH", POD, "application/merge-patch+json", body)]
    assert api.tokens == ["Bearer first"]


async def test_a_token_that_was_renewed_is_used(api: ApiServer) -> None:
    async with kubernetes_pod("sdruntime-1", "art", api.account) as pod:
        await pod.mark(PodMark.BUSY)
        (api.account / "token").write_text("second")
        await pod.mark(PodMark.IDLE)

    assert api.tokens == ["Bearer first", "Bearer second"]


@pytest.mark.parametrize("status", [403, 404, 500, 503])
async def test_a_refusal_is_an_error_that_may_pass(api: ApiServer, status: int) -> None:
    api.status = status

    with pytest.raises(TransientError) as raised:
        await api.mark(PodMark.BUSY)

    assert raised.value.details == {"status": status}


async def test_a_server_of_another_authority_is_told_nothing(
    api: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The certificate is for the address only.
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "localhost")

    with pytest.raises(TransientError):
        await api.mark(PodMark.BUSY)

    assert api.tokens == []


async def test_no_api_server_is_an_error_that_may_pass(
    api: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(free_port()))

    with pytest.raises(TransientError):
        await api.mark(PodMark.BUSY)


async def test_a_pod_without_a_token_is_an_error_that_may_pass(api: ApiServer) -> None:
    (api.account / "token").unlink()

    with pytest.raises(TransientError):
        await api.mark(PodMark.BUSY)


async def test_no_cluster_is_an_error_that_may_pass(
    api: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST")

    with pytest.raises(TransientError):
        await api.mark(PodMark.BUSY)


LATER = datetime(2026, 1, 2, 3, 5, tzinfo=UTC)  # Karpenter makes a node for a pod that waits


def the_node(made: datetime, labels: dict[str, str], gpus: str) -> dict[str, Any]:
    return {
        "kind": "Node",
        "metadata": {"creationTimestamp": made.isoformat(), "labels": labels},
        "status": {"capacity": {"cpu": "8", "nvidia.com/gpu": gpus}},
    }


@pytest.mark.parametrize(
    ("labels", "gpus", "node"),
    [
        (
            {"karpenter.sh/capacity-type": "spot"},
            "1",
            Node(type="g5.2xlarge", capacity="spot", since=LATER),
        ),
        (
            {"eks.amazonaws.com/capacityType": "ON_DEMAND"},
            "4",
            Node(type="g5.2xlarge", capacity="on-demand", gpus=4, since=LATER),
        ),
        ({}, "0", Node(type="g5.2xlarge", since=LATER)),
    ],
)
async def test_the_labels_of_a_node_say_what_it_is(
    api: ApiServer, labels: dict[str, str], gpus: str, node: Node
) -> None:
    labels = {"node.kubernetes.io/instance-type": "g5.2xlarge", **labels}
    api.told[NODE] = the_node(LATER, labels, gpus)

    async with kubernetes_pod("sdruntime-1", "art", api.account) as pod:
        assert await pod.node("ip-10-0-1-2") == node

    assert api.asked == [("GET", NODE, "", None), ("GET", POD, "", None)]


async def test_a_node_that_was_there_before_the_pod_is_the_pods_from_its_own_start(
    api: ApiServer,
) -> None:
    api.told[NODE] = the_node(LATER - timedelta(days=1), {}, "1")

    async with kubernetes_pod("sdruntime-1", "art", api.account) as pod:
        found = await pod.node("ip-10-0-1-2")

    assert found.since == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.mark.parametrize(("status", "calls"), [(200, 6), (403, 3), (500, 3)])
async def test_a_node_that_is_not_told_is_unknown_and_nothing_fails(
    api: ApiServer, status: int, calls: int
) -> None:
    api.status, api.told[NODE] = status, {"kind": "Status"}

    async with kubernetes_pod("sdruntime-1", "art", api.account) as pod:
        found = await find_node(lambda: pod.node("ip-10-0-1-2"), pause=timedelta())

    assert found == Node()
    assert len(api.asked) == calls
