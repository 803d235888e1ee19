"""The whole process, between real clients and a real router and model-sync over gRPC."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from google.protobuf.duration_pb2 import Duration
from grpc_health.v1 import health_pb2, health_pb2_grpc
from ingest_fakes import CALLER, KEY, UID, digest, stamp, v1alpha1, v1alpha2

from contracts.state import TaskState
from darkroom.modelsync.v1 import modelsync_pb2, modelsync_pb2_grpc
from darkroom.router.v1 import router_pb2, router_pb2_grpc
from darkroom.task.v1.task_pb2 import TaskError, TaskProgress, TaskRecord
from ingest.adapters.models import GrpcModels
from ingest.adapters.router import GrpcRouter
from ingest.domain import Submission
from ingest.main import serve
from ingest.settings import Settings
from ingest.translate_v1alpha2 import translate_flat
from servicekit.errors import FatalError, RejectedError, TransientError
from servicekit.health import Health
from servicekit.listen import free_port
from servicekit.rpc import channel, serving

SECOND = timedelta(seconds=1)


@dataclass
class FakeRouterService(router_pb2_grpc.RouterServiceServicer):
    """A router that takes everything but the runtime `none`."""

    submitted: list[router_pb2.SubmitTaskRequest] = field(default_factory=list)
    hold: asyncio.Event | None = None
    entered: asyncio.Event = field(default_factory=asyncio.Event)

    async def SubmitTask(  # noqa: N802  # the name in the proto
        self, request: router_pb2.SubmitTaskRequest, context: Any
    ) -> router_pb2.SubmitTaskResponse:
        self.entered.set()
        if self.hold is not None:
            await self.hold.wait()
        if request.runtime == "none":
            raise RejectedError("there is: sdruntime", code="runtime_not_found")
        self.submitted.append(request)
        return router_pb2.SubmitTaskResponse(
            runtime="sdruntime", output_location="s3://b/p/a", uid=request.uid
        )

    async def GetTask(  # noqa: N802  # the name in the proto
        self, request: router_pb2.GetTaskRequest, context: Any
    ) -> router_pb2.GetTaskResponse:
        record = TaskRecord(
            uid=UID,
            id=request.id,
            runtime="sdruntime",
            tasktype="text-to-image",
            state="failed",
            attempt=1,
            context_json="[1]",
            created_at=stamp(5),
            finished_at=stamp(5),
            output_location="s3://b/p/a",
            image_url=["s3://b/1"],
            output_url="s3://b/o",
            error=TaskError(code="c", message="m", retryable=True),
            progress=TaskProgress(step=1, total=2),
        )
        return router_pb2.GetTaskResponse(task=record)

    async def CancelTask(  # noqa: N802  # the name in the proto
        self, request: router_pb2.CancelTaskRequest, context: Any
    ) -> router_pb2.CancelTaskResponse:
        found = await self.GetTask(router_pb2.GetTaskRequest(id=request.id), context)
        found.task.state = "cancelled"
        return router_pb2.CancelTaskResponse(task=found.task)

    async def LinkFiles(  # noqa: N802  # the name in the proto
        self, request: router_pb2.LinkFilesRequest, context: Any
    ) -> router_pb2.LinkFilesResponse:
        links = [f"https://b/{number}?{request.seconds}" for number in (1, 2)]
        return router_pb2.LinkFilesResponse(image_url=links, output_url="https://b/out")

    async def GetSubmission(  # noqa: N802  # the name in the proto
        self, request: router_pb2.GetSubmissionRequest, context: Any
    ) -> router_pb2.GetSubmissionResponse:
        return router_pb2.GetSubmissionResponse(body_json=request.id.encode())

    async def GetListings(  # noqa: N802  # the name in the proto
        self, request: router_pb2.GetListingsRequest, context: Any
    ) -> router_pb2.GetListingsResponse:
        return router_pb2.GetListingsResponse(etag=f"{request.etag}1", text=b"packed")

    async def ReadFile(  # noqa: N802  # the name in the proto
        self, request: router_pb2.ReadFileRequest, context: Any
    ) -> AsyncIterator[router_pb2.ReadFileResponse]:
        which = str(request.image) if request.HasField("image") else "out"
        for part in (request.reader.tenant, " ", which):
            yield router_pb2.ReadFileResponse(part=part.encode())

    async def ListTasks(  # noqa: N802  # the name in the proto
        self, request: router_pb2.ListTasksRequest, context: Any
    ) -> router_pb2.ListTasksResponse:
        record = TaskRecord(
            uid=request.before_uid,
            id=f"{request.runtime}-{request.state}-{request.limit}-{request.tenant}-{request.text}",
            state="queued",
            created_at=stamp(5),
        )
        return router_pb2.ListTasksResponse(tasks=[record], next_before_uid=UID)

    async def GetUsage(  # noqa: N802  # the name in the proto
        self, request: router_pb2.GetUsageRequest, context: Any
    ) -> router_pb2.GetUsageResponse:
        days = f"{request.first_day} {request.last_day} {request.reader.all_tenants}"
        return router_pb2.GetUsageResponse(used=[router_pb2.Used(key=days)])

    async def ListRuntimes(  # noqa: N802  # the name in the proto
        self, request: router_pb2.ListRuntimesRequest, context: Any
    ) -> router_pb2.ListRuntimesResponse:
        runtime = router_pb2.Runtime(name="comfy", type="comfyui", tasktypes=["pipeline"])
        return router_pb2.ListRuntimesResponse(runtimes=[runtime])


class FakeModelService(modelsync_pb2_grpc.ModelServiceServicer):
    """A catalogue of one file."""

    async def CreateUpload(  # noqa: N802  # the name in the proto
        self, request: modelsync_pb2.CreateUploadRequest, context: Any
    ) -> modelsync_pb2.CreateUploadResponse:
        return modelsync_pb2.CreateUploadResponse(url=f"https://b/{request.name}")

    async def ListModels(  # noqa: N802  # the name in the proto
        self, request: modelsync_pb2.ListModelsRequest, context: Any
    ) -> modelsync_pb2.ListModelsResponse:
        model = modelsync_pb2.Model(
            name="a", kind="Lora", size_bytes=5, format="pt", problem="it is broken"
        )
        return modelsync_pb2.ListModelsResponse(models=[model])

    def GetModel(self, request: Any, context: Any) -> Any:  # noqa: N802  # as in the proto
        raise NotImplementedError


@asynccontextmanager
async def neighbours(router: FakeRouterService, health: Health) -> AsyncIterator[str]:
    address = f"127.0.0.1:{free_port()}"

    def register(server: grpc.aio.Server) -> None:
        router_pb2_grpc.add_RouterServiceServicer_to_server(router, server)
        modelsync_pb2_grpc.add_ModelServiceServicer_to_server(FakeModelService(), server)

    async with serving(address, health, (), register):
        yield address


@asynccontextmanager
async def grpc_router(address: str) -> AsyncIterator[GrpcRouter]:
    async with channel(address) as opened:
        yield GrpcRouter(opened, timeout=SECOND, submit_timeout=SECOND)


QUOTA = {"open_tasks": 5, "daily_images": 6, "monthly_budget": "7.5"}


def settings(tmp_path: Path, address: str) -> Settings:
    path = tmp_path / "keys.json"
    key = {"name": "a", "tenant": "studio", "sha256": digest(KEY), "quota": QUOTA}
    path.write_text(json.dumps({"keys": [key]}))
    return Settings(
        http_port=free_port(),
        grpc_port=free_port(),
        api_keys_file=path,
        router_target=address,
        model_sync_target=address,
        notifier_target=address,
        readiness_interval=timedelta(milliseconds=5),
    )


def client_of(chosen: Settings) -> httpx.AsyncClient:
    url = f"http://127.0.0.1:{chosen.http_port}"
    return httpx.AsyncClient(base_url=url, headers={"x-api-key": KEY})


def channel_to(chosen: Settings) -> grpc.aio.Channel:
    return grpc.aio.insecure_channel(f"127.0.0.1:{chosen.grpc_port}")


class Readiness:
    """Waits for what the process says of itself over gRPC."""

    def __init__(self, opened: grpc.aio.Channel) -> None:
        request = health_pb2.HealthCheckRequest()
        stub: Any = health_pb2_grpc.HealthStub(opened)  # its types lack Watch
        self._told = stub.Watch(request, wait_for_ready=True)

    async def until(self, ready: bool) -> None:
        wanted = health_pb2.HealthCheckResponse.SERVING
        async with asyncio.timeout(120):
            async for told in self._told:
                if (told.status == wanted) is ready:
                    break
        if ready:
            self._told.cancel()  # an open stream would hold the process up


async def test_process_serves_waits_for_its_router_and_finishes_what_it_began(
    tmp_path: Path,
) -> None:
    router, health = FakeRouterService(), Health()
    async with AsyncExitStack() as stack:
        address = await stack.enter_async_context(neighbours(router, health))
        chosen = settings(tmp_path, address)
        client = await stack.enter_async_context(client_of(chosen))
        readiness = Readiness(await stack.enter_async_context(channel_to(chosen)))
        async with asyncio.TaskGroup() as group:
            process = group.create_task(serve(chosen), name="ingest")
            await readiness.until(False)
            waiting = await client.get("/readyz")
            await health.ready()
            await readiness.until(True)
            accepted = await client.post("/v1alpha1", json=v1alpha1())
            models = await client.get("/v1/models")
            router.hold, router.entered = asyncio.Event(), asyncio.Event()
            last = group.create_task(client.post("/v1alpha2", json=v1alpha2()), name="last")
            await router.entered.wait()
            os.kill(os.getpid(), signal.SIGTERM)
            asyncio.get_running_loop().call_later(0.05, router.hold.set)
            answer = await last
            await process

    assert waiting.json()["reason"] in {"starting", "the router does not answer"}
    assert accepted.status_code == 200
    assert [m["name"] for m in models.json()["models"]] == ["a"]
    assert answer.status_code == 200
    assert [r.tenant for r in router.submitted] == ["studio", "studio"]


async def test_what_native_clients_are_sent_comes_from_the_router() -> None:
    async with (
        neighbours(FakeRouterService(), Health()) as address,
        grpc_router(address) as router,
    ):
        image = b"".join([part async for part in router.file(UID, 0, CALLER)])
        out = b"".join([part async for part in router.file(UID, None, CALLER)])
        listings = await router.listings("sdruntime", "e")

    assert (image, out, listings) == (b"studio 0", b"studio out", ("e1", b"packed"))


async def test_process_without_keys_ends_with_one_sentence(tmp_path: Path) -> None:
    chosen = settings(tmp_path, "127.0.0.1:1")
    chosen.api_keys_file.unlink()

    with pytest.raises(FatalError, match="cannot be used: No such file"):
        await serve(chosen)


async def test_router_gets_every_field_of_a_submission(tmp_path: Path) -> None:
    router, health = FakeRouterService(), Health()
    await health.ready()
    async with AsyncExitStack() as stack:
        address = await stack.enter_async_context(neighbours(router, health))
        chosen = settings(tmp_path, address)
        client = await stack.enter_async_context(client_of(chosen))
        readiness = Readiness(await stack.enter_async_context(channel_to(chosen)))
        async with asyncio.TaskGroup() as group:
            group.create_task(serve(chosen), name="ingest")
            await readiness.until(True)
            content = {"alwayson_scripts": {"sd_model_checkpoint": "m"}}
            body = v1alpha2(
                content,
                prefix="p",
                context={"a": 1},
                timeout_seconds=1.5,
                inputs="none",
                previews="keep",
                include=["cost"],
            )
            headers = {"Idempotency-Key": "key 1"}
            answer = await client.post("/v1alpha2", json=body, headers=headers)
            refused = await client.post("/v1alpha2", json=v1alpha2(runtime="none"))
            os.kill(os.getpid(), signal.SIGTERM)

    [request] = router.submitted
    assert request == router_pb2.SubmitTaskRequest(
        uid=answer.json()["uid"],
        id="a",
        runtime="sdruntime",
        tasktype="text-to-image",
        prefix="p",
        context_json='{"a":1}',
        content_json=b'{"alwayson_scripts":{}}',
        checkpoint="m",
        tenant="studio",
        key="a",
        timeout=Duration(seconds=1, nanos=500_000_000),
        inputs=router_pb2.Inputs(),
        previews="keep",
        include=["cost"],
        quota=router_pb2.Quota(open_tasks=5, daily_images=6, monthly_budget="7.5"),
        idempotency_key="key 1",
        fingerprint=request.fingerprint,
    )
    assert len(request.fingerprint) == 64
    assert (refused.status_code, refused.json()["code"]) == (404, "runtime_not_found")
    assert refused.json()["detail"] == "there is: sdruntime"


async def test_what_the_router_tells_arrives_as_it_is() -> None:
    async with (
        neighbours(FakeRouterService(), Health()) as address,
        grpc_router(address) as router,
    ):
        task = await router.task("a", CALLER)
        page = await router.tasks(
            CALLER,
            runtime="r",
            state=TaskState.FAILED,
            tenant="rival",
            text="order",
            limit=7,
            before_uid="before",
        )
        [runtime] = await router.runtimes()
        [used] = await router.usage(CALLER, date(2026, 1, 2), date(2026, 1, 3))
        cancelled = await router.cancel("a", CALLER)
        links = await router.links(UID, 60, CALLER)

    assert (task.id, task.error.code, task.progress.total) == ("a", "c", 2)
    assert (page.tasks[0].id, page.tasks[0].uid) == ("r-failed-7-rival-order", "before")
    assert page.next_before_uid == UID
    assert (cancelled.id, cancelled.state) == ("a", TaskState.CANCELLED)
    assert used.key == "2026-01-02 2026-01-03 False"
    assert links == ("https://b/1?60", "https://b/2?60", "https://b/out")
    assert (runtime.name, list(runtime.tasktypes)) == ("comfy", ["pipeline"])


async def test_router_that_is_away_is_told_as_an_outage() -> None:
    async with channel(f"127.0.0.1:{free_port()}") as opened:
        router = GrpcRouter(opened, timeout=SECOND, submit_timeout=SECOND)
        models = GrpcModels(opened, timeout=SECOND)
        assert not await router.is_serving()
        with pytest.raises(TransientError):
            await router.task("a", CALLER)
        with pytest.raises(TransientError):
            await models.models()


async def test_router_that_does_not_answer_in_time_is_told_as_an_outage() -> None:
    service = FakeRouterService(hold=asyncio.Event())
    async with neighbours(service, Health()) as address, channel(address) as opened:
        soon = timedelta(milliseconds=20)
        router = GrpcRouter(opened, timeout=soon, submit_timeout=soon)
        with pytest.raises(TransientError):
            await router.submit(submission(), CALLER)


def submission() -> Submission:
    fields = {"id": "a", "runtime": "r", "tasktype": "pipeline", "content": {}}
    return translate_flat(fields, UID)
