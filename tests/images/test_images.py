from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image
from testcontainers.core.container import DockerContainer

from awsio import clients
from containers import SERVICES, container, user
from contracts.kinds import RuntimeType
from contracts.runtimes import Runtime
from darkroom_cli.embedded import programs
from darkroom_cli.embedded.folder import Folder
from darkroom_cli.embedded.processes import Processes, Program
from darkroom_cli.embedded.programs import HOST, Addresses, Attached
from provisioning import emulator
from provisioning.resources import provision
from servicekit.listen import free_port

RUNTIME = "sdruntime"
READY_SECONDS = 60
TASK_SECONDS = 60


@pytest.mark.parametrize("service", SERVICES)
def test_the_image_of_each_service_runs_as_nobody_in_particular(
    images: dict[str, str], service: str
) -> None:
    assert user(images[service]) == "65532:65532"


@pytest.fixture
async def stack(
    images: dict[str, str], tmp_path: Path
) -> AsyncIterator[tuple[str, str, dict[str, DockerContainer]]]:
    """The endpoint, its key and the containers of the five services."""
    folder = Folder(tmp_path / "stack")
    async with AsyncExitStack() as exits:
        processes = Processes(print, exits.enter_context(folder.locked()))
        exits.push_async_callback(processes.stop)
        port = free_port()
        aws = {**emulator.CREDENTIALS, "AWS_ENDPOINT_URL": f"http://{HOST}:{port}"}
        patch = exits.enter_context(pytest.MonkeyPatch.context())
        for name, value in aws.items():
            patch.setenv(name, value)
        await processes.start(programs.emulated_aws(port, folder))
        runtime = Runtime(name=RUNTIME, type=RuntimeType.SDWEBUI, dynamic_model=True)
        attached = Attached(runtime=runtime, url=f"http://{HOST}:{free_port()}")
        resources = await provision("images", [runtime])
        await processes.start(
            programs.sample_runtime(attached, folder, ("--seconds-per-image", "0.1"))
        )
        folder.write_runtimes((runtime,))
        api_key = folder.api_key()
        open_to_containers(tmp_path)
        addresses = Addresses(
            host=HOST, rest=free_port(), grpc=free_port(), router=free_port(),
            notifier=free_port(), model_sync=free_port(), agents={RUNTIME: free_port()},
        )  # fmt: skip
        running = {}
        for program in programs.services(addresses, (attached,), resources, folder, aws):
            service = program.name.removesuffix(f"-{RUNTIME}")
            started = container(program, images[service], tmp_path).start()
            exits.callback(started.stop)
            await until_ready(program, started)
            running[service] = started
        yield f"http://{HOST}:{addresses.rest}", api_key, running


def open_to_containers(folder: Path) -> None:
    """Let the user of the containers read what the stack's folder holds."""
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)


async def until_ready(program: Program, started: DockerContainer) -> None:
    async with asyncio.timeout(READY_SECONDS):
        while await program.unready():
            wrapped = started.get_wrapped_container()
            wrapped.reload()
            assert wrapped.status == "running", wrapped.logs(tail=20).decode()
            await asyncio.sleep(0.1)


async def test_a_task_passes_through_five_containers_with_read_only_roots(
    stack: tuple[str, str, dict[str, DockerContainer]],
) -> None:
    endpoint, api_key, running = stack
    metadata = {
        "id": "contained",
        "runtime": RUNTIME,
        "tasktype": "text-to-image",
        "prefix": "p",
    }
    task = {"metadata": metadata, "content": {"prompt": "a lighthouse", "steps": 2}}
    async with httpx.AsyncClient(
        base_url=endpoint, headers={"x-api-key": api_key}, trust_env=False, timeout=30
    ) as client:
        answer = await client.post("/v1alpha2", json={"task": task})
        assert answer.status_code == 200, answer.text
        ended = await until_ended(client, answer.json()["uid"])

    assert ended["state"] == "completed", ended
    image = await fetched(ended["image_url"][0])
    assert Image.open(io.BytesIO(image)).format == "PNG"
    assert set(running) == set(SERVICES)
    for name, one in running.items():
        wrapped = one.get_wrapped_container()
        wrapped.reload()
        assert wrapped.attrs["HostConfig"]["ReadonlyRootfs"], name
        assert wrapped.status == "running", wrapped.logs(tail=20).decode()
        wrapped.stop(timeout=30)
        assert wrapped.wait()["StatusCode"] == 0, wrapped.logs(tail=20).decode()


async def until_ended(client: httpx.AsyncClient, uid: str) -> dict[str, Any]:
    async with asyncio.timeout(TASK_SECONDS):
        while True:
            task: dict[str, Any] = (await client.get(f"/v1/tasks/{uid}")).json()
            if task["state"] in {"completed", "failed", "cancelled"}:
                return task
            await asyncio.sleep(0.1)


async def fetched(url: str) -> bytes:
    bucket, _, key = url.removeprefix("s3://").partition("/")
    async with clients.s3() as s3:
        answer = await s3.get_object(Bucket=bucket, Key=key)
        async with answer["Body"] as body:
            return await body.read()
