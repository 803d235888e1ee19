"""The image of InvokeAI, built as the playbook builds it and run as the chart runs it."""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from harness import running_stack
from PIL import Image
from testcontainers.core.container import DockerContainer

from deployment.built_images import SECURITY_CONTEXT
from rendering import (
    VALUES,
    containers,
    environment,
    merged,
    objects,
    only,
    read_values,
    render,
)
from server_containers import build_server, pod_container, server_base, unpacked_bytes
from servicekit.listen import free_port

ROOT = Path(__file__).resolve().parents[2]
ARGUMENT = "--root /tmp/mine"  # in the container
BLANK = {"id": "1", "type": "blank_image", "width": 64, "height": 48}
KILLED = 128 + 9
WRITABLE = ["/tmp", "/var/darkroom/outputs"]  # noqa: S108  # only compared
RECEIVE_SECONDS = 10  # the longest that an agent waits for a message; the chart counts it too
Json = dict[str, Any]


@pytest.fixture(scope="module")
def image() -> str:
    return build_server("invokeai", server_base(), ROOT)


@pytest.fixture
def workload() -> Json:
    """The Deployment of a runtime that names no image, so that it has ours."""
    server = {
        "port": free_port(),
        "securityContext": SECURITY_CONTEXT,
        "commandArguments": ARGUMENT,
    }
    values = read_values(VALUES / "runtime" / "invokeai.yaml")
    rendered = render("runtime", merged(values, {"runtime": {"inferenceApi": server}}))
    return only(objects(rendered), "Deployment")


@pytest.fixture
async def server(image: str, workload: Json, tmp_path: Path) -> AsyncIterator[DockerContainer]:
    """The container of the server, which answers its pod's probe."""
    models = tmp_path / "models"
    models.mkdir()
    models.chmod(0o777)  # nothing but its mount keeps the server from writing to it
    started = pod_container(workload, "runtime", image, models).start()
    try:
        await until_ready(address(workload), containers(workload)["runtime"], started)
        yield started
    finally:
        started.stop()


def address(workload: Json) -> str:
    (port,) = containers(workload)["runtime"]["ports"]
    return f"http://127.0.0.1:{port['containerPort']}"


async def until_ready(url: str, spec: Json, started: DockerContainer) -> None:
    probe = spec["startupProbe"]
    wrapped = started.get_wrapped_container()
    async with (
        httpx.AsyncClient(base_url=url, trust_env=False, timeout=5) as client,
        asyncio.timeout(probe["periodSeconds"] * probe["failureThreshold"]),
    ):
        while not await answers(client, probe["httpGet"]["path"]):
            wrapped.reload()
            assert wrapped.status == "running", wrapped.logs(tail=20).decode()
            await asyncio.sleep(0.5)


async def answers(client: httpx.AsyncClient, path: str) -> bool:
    try:
        return (await client.get(path)).is_success
    except httpx.TransportError:
        return False


async def test_a_task_passes_through_the_image_as_the_chart_runs_it(
    server: DockerContainer, workload: Json, tmp_path: Path
) -> None:
    runtime = f"invoke=invokeai@{address(workload)}"
    task = {
        "metadata": {"id": "blank", "runtime": "invoke", "tasktype": "pipeline"},
        "content": {"graph": {"nodes": {"1": BLANK}, "edges": []}},
    }

    with running_stack(tmp_path / "up", "--runtime", runtime) as stack:
        accepted = await stack.submit(**task)
        ended = await stack.until(accepted["uid"], "completed")
        made, _ = await stack.object(ended["image_url"][0])

    assert Image.open(io.BytesIO(made)).size == (64, 48)
    processes = server.get_wrapped_container().top()["Processes"]
    assert [ARGUMENT in each[-1] for each in processes] == [True]


async def test_the_server_writes_only_where_its_pod_has_a_volume_for_it(
    server: DockerContainer,
) -> None:
    wrapped = server.get_wrapped_container()

    _, found = wrapped.exec_run(["find", "/", "-xdev", "-writable"], stderr=False)

    assert sorted(found.decode().split()) == WRITABLE


async def test_the_server_ends_in_what_the_agent_leaves_of_the_grace_period(
    server: DockerContainer, workload: Json
) -> None:
    agent = environment(containers(workload)["queue-agent"])
    grace = int(agent["QUEUE_AGENT_TERMINATION_GRACE"])
    left = grace - int(agent["QUEUE_AGENT_DRAIN"]) - RECEIVE_SECONDS
    wrapped = server.get_wrapped_container()

    begun = time.monotonic()
    wrapped.stop(timeout=left)

    assert wrapped.wait()["StatusCode"] != KILLED, wrapped.logs(tail=20).decode()
    assert time.monotonic() - begun < left


def test_tells_the_size_of_the_image(image: str, capsys: pytest.CaptureFixture[str]) -> None:
    size = unpacked_bytes(image)

    with capsys.disabled():
        print(f"\n{image} has {size / 1e9:.1f} GB unpacked")
    assert size
