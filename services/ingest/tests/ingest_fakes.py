"""In-memory stand-ins for the rest of Darkroom, and both edges on free ports before them."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import httpx
from google.protobuf.timestamp_pb2 import Timestamp
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from starlette.types import ASGIApp

from contracts.ids import Uid
from contracts.keys import KeyScope
from contracts.state import TaskState
from darkroom.modelsync.v1.modelsync_pb2 import Model
from darkroom.notifier.v1.webhooks_pb2 import Delivery, RotateWebhookResponse, Webhook
from darkroom.router.v1.operators_pb2 import (
    DeadLetter,
    DeadLetterResult,
    Ended,
    GetOverviewResponse,
    RuntimeOverview,
)
from darkroom.router.v1.router_pb2 import ListTasksResponse, Runtime, Used
from darkroom.task.v1.task_pb2 import TaskProgress, TaskRecord
from darkroom.tasks.v1 import tasks_pb2_grpc
from ingest.bodies import Bodies
from ingest.domain import (
    Accepted,
    Caller,
    Change,
    Idempotency,
    Submission,
    is_terminal,
)
from ingest.http.app import rest_app
from ingest.http.problems import no_http
from ingest.keys import Gate
from ingest.metrics import Metrics
from ingest.rpc import SERVICE, TaskRpc
from ingest.watch import Watches
from servicekit.errors import RejectedError
from servicekit.health import Health
from servicekit.listen import free_port
from servicekit.rpc import serving
from servicekit.status import REFUSALS
from servicekit.web import http_serving

if TYPE_CHECKING:
    from darkroom.tasks.v1.tasks_pb2_grpc import TaskServiceAsyncStub

GOLDEN = Path("tests/contract/golden")  # tests run in the root of the repository
JSON = {"content-type": "application/json"}
UID = Uid("01JD0000000000000000000000")
KEY = "vT8cXq0mZs5uWb2nEy7kLd4gRj9hPa1f"
SIGNATURE = "X-Amz-Signature=6f1d0c9a5b3e7f2d4c8b"
NEW_SECRET = "whsec_bmV3"  # noqa: S105  # nobody has it
WRONG_KEY = "dQ3wYr6tUi8oPa2sDf5gHj7kLz9xCv1b"
CALLER = Caller(name="tests", tenant="studio", rate_per_second=1e6, burst=10**6)


def stamp(second: int, microsecond: int = 0) -> Timestamp:
    """A time of 2 January 2026, after 3:04."""
    time = Timestamp()
    time.FromDatetime(datetime(2026, 1, 2, 3, 4, second, microsecond, tzinfo=UTC))
    return time


TASK = TaskRecord(
    uid=UID,
    id="test-t2i",
    runtime="sdruntime",
    tasktype="text-to-image",
    state=TaskState.RUNNING,
    attempt=1,
    context_json='{"abc":123}',
    created_at=stamp(5, 678900),
    started_at=stamp(6),
    output_location="s3://outputbucket/output/test-t2i",
    tenant="studio",
    progress=TaskProgress(step=1, total=3),
)


def task_with(**changes: Any) -> TaskRecord:
    """`TASK` with other fields; None unsets one."""
    fields: dict[str, Any] = {field.name: value for field, value in TASK.ListFields()}
    return TaskRecord(**(fields | changes))


def golden(name: str) -> bytes:
    """The bytes of a golden file."""
    return (GOLDEN / name).read_bytes()


def digest(key: str) -> str:
    """What a keys file holds of a key."""
    return hashlib.sha256(key.encode()).hexdigest()


@dataclass
class FakeRouter:
    """Takes every task, unless `error` says otherwise."""

    submitted: list[tuple[Submission, str]] = field(default_factory=list)
    known: list[TaskRecord] = field(default_factory=lambda: [TASK])
    requests: dict[str, bytes] = field(default_factory=dict)
    asked: dict[str, Any] = field(default_factory=dict)
    held: dict[str, tuple[str, Submission]] = field(default_factory=dict)
    used: list[Used] = field(default_factory=list)
    out: bytes = b"{}"
    offered: bytes = b""  # instead of `offers`, packed
    offers: dict[str, Any] = field(default_factory=dict)
    cancelled: list[str] = field(default_factory=list)
    error: Exception | None = None
    serving: bool = True

    async def submit(
        self, submission: Submission, caller: Caller, idempotency: Idempotency | None = None
    ) -> Accepted:
        self._fail()
        if idempotency is not None:
            held = self.held.setdefault(idempotency.key, (idempotency.fingerprint, submission))
            if held[0] != idempotency.fingerprint:
                raise RejectedError("used for another request", code="idempotency_conflict")
            submission = held[1]
        self.submitted.append((submission, caller.tenant))
        place = f"s3://outputbucket/{submission.prefix}/{submission.id}"
        return Accepted(
            uid=submission.uid,
            runtime=submission.runtime or "sdruntime",
            output_location=place,
        )

    async def cancel(self, id: str, caller: Caller) -> TaskRecord:
        task = await self.task(id, caller)
        if is_terminal(task):
            raise RejectedError("the task has ended before", code="already_finished")
        self.cancelled.append(task.uid)
        return task_with(state=TaskState.CANCELLED)

    async def links(self, uid: str, seconds: int, caller: Caller) -> tuple[str, ...]:
        self._fail()
        return (f"https://files/{uid}-1.png?{SIGNATURE}&s={seconds}", "https://files/x.out")

    async def listings(self, runtime: str, etag: str) -> tuple[str, bytes]:
        self._fail()
        if not self.offers:
            raise RejectedError("no agent has seen the runtime", code="not_found")
        text = self.offered or gzip.compress(encode(self.offers))
        return "e1", b"" if etag else text

    async def file(self, uid: str, image: int | None, caller: Caller) -> AsyncIterator[bytes]:
        self._fail()
        yield self.out if image is None else b"image "
        yield b"" if image is None else str(image).encode()

    async def task(self, id: str, caller: Caller) -> TaskRecord:
        self._fail()
        for task in self.known:
            if id in {task.uid, task.id} and self._may_see(task, caller):
                return task
        raise RejectedError("there is no such task", code="task_not_found")

    async def request(self, id: str, caller: Caller) -> bytes:
        task = await self.task(id, caller)
        if task.uid not in self.requests:
            raise RejectedError("it is not kept", code="request_not_kept")
        return self.requests[task.uid]

    async def tasks(
        self,
        caller: Caller,
        *,
        runtime: str,
        state: TaskState | None,
        tenant: str,
        text: str,
        limit: int,
        before_uid: str,
    ) -> ListTasksResponse:
        self._fail()
        known = [task for task in self.known if self._may_see(task, caller)]
        self.asked = {
            "runtime": runtime,
            "state": state,
            "tenant": tenant,
            "text": text,
            "limit": limit,
            "before_uid": before_uid,
        }
        more = len(known) > limit
        return ListTasksResponse(
            tasks=known[:limit], next_before_uid=known[limit - 1].uid if more else ""
        )

    async def usage(self, caller: Caller, first: date, last: date) -> list[Used]:
        self._fail()
        self.asked = {"first": first, "last": last, "caller": caller}
        return self.used

    async def runtimes(self) -> tuple[Runtime, ...]:
        self._fail()
        return (
            Runtime(
                name="sdruntime",
                type="sdwebui",
                model_filename="v1-5-pruned-emaonly.safetensors",
                dynamic_model=False,
                tasktypes=("text-to-image", "image-to-image"),
            ),
            Runtime(
                name="comfy",
                type="comfyui",
                dynamic_model=False,
                tasktypes=("pipeline",),
            ),
        )

    async def is_serving(self) -> bool:
        return self.serving

    def _may_see(self, task: TaskRecord, caller: Caller) -> bool:
        return caller.scope is KeyScope.ADMIN or task.tenant == caller.tenant

    def _fail(self) -> None:
        if self.error is not None:
            raise self.error


@dataclass
class FakeNotifier:
    """Gives what is put into `told`: changes, errors, and None for the end of a stream."""

    told: asyncio.Queue[Change | Exception | None] = field(default_factory=asyncio.Queue)
    asked: list[tuple[str, int]] = field(default_factory=list)
    open: int = 0
    entered: asyncio.Event = field(default_factory=asyncio.Event)
    closed: asyncio.Event = field(default_factory=asyncio.Event)

    def tell(self, *told: Change | Exception | None) -> None:
        """Let watchers have this."""
        for each in told:
            self.told.put_nowait(each)

    async def watch(self, uid: str, after_sequence: int) -> AsyncGenerator[Change, None]:
        self.asked.append((uid, after_sequence))
        self.open += 1
        self.entered.set()
        try:
            while (item := await self.told.get()) is not None:
                if isinstance(item, Exception):
                    raise item
                yield item
        finally:
            self.open -= 1
            self.closed.set()


def change(sequence: int, **changes: Any) -> Change:
    """A change of `TASK`."""
    return Change(sequence=sequence, task=task_with(**changes))


@dataclass
class FakeModels:
    """A catalogue of one good and one bad file."""

    async def models(self) -> tuple[Model, ...]:
        return (
            Model(
                name="a.safetensors",
                kind="Stable-diffusion",
                size_bytes=4265146304,
                format="safetensors",
                valid=True,
            ),
            Model(
                name="b.pt",
                kind="VAE",
                size_bytes=0,
                format="pt",
                valid=False,
                problem="the file is empty",
            ),
        )


@dataclass
class FakeWebhooks:
    """Keeps the webhooks of each tenant."""

    kept: dict[str, list[Webhook]] = field(default_factory=dict)
    replayed: list[tuple[str, datetime, datetime | None]] = field(default_factory=list)

    async def create(
        self, tenant: str, url: str, events: Sequence[str], runtime: str
    ) -> tuple[Webhook, str]:
        mine = self.kept.setdefault(tenant, [])
        webhook = Webhook(
            id=f"wh_{tenant}_{len(mine)}",
            tenant=tenant,
            url=url,
            events=events,
            runtime=runtime,
            state="active",
            created_at=stamp(5),
        )
        mine.append(webhook)
        return webhook, "whsec_c2VjcmV0"

    async def list(self, tenant: str) -> Sequence[Webhook]:
        return self.kept.get(tenant, [])

    async def delete(self, tenant: str, id: str) -> Webhook:
        webhook = self._one(tenant, id)
        self.kept[tenant].remove(webhook)
        return webhook

    async def rotate(self, tenant: str, id: str) -> RotateWebhookResponse:
        self._one(tenant, id)
        return RotateWebhookResponse(secret=NEW_SECRET, old_until=stamp(6))

    async def test(self, tenant: str, id: str) -> str:
        self._one(tenant, id)
        return UID

    async def replay(
        self, tenant: str, id: str, since: datetime, until: datetime | None
    ) -> None:
        self.replayed.append((self._one(tenant, id).id, since, until))

    async def deliveries(self, tenant: str, id: str) -> Sequence[Delivery]:
        self._one(tenant, id)
        return [
            Delivery(
                uid=UID, event="task.failed", state="retrying", tries=1, status=500,
                error="the answer was 500", tried_at=stamp(5), next_try_at=stamp(10),
            ),
            Delivery(
                uid=UID, event="webhook.test", state="delivered", tries=1, status=200,
                tried_at=stamp(5),
            ),
        ]  # fmt: skip

    def _one(self, tenant: str, id: str) -> Webhook:
        for webhook in self.kept.get(tenant, []):
            if webhook.id == id:
                return webhook
        raise RejectedError("there is no such webhook", code="webhook_not_found")


def overview_of(caller: Caller) -> GetOverviewResponse:
    """How `canvas` does; only operators are told of its queue."""
    seen = RuntimeOverview(
        runtime=Runtime(name="canvas", type="sdwebui"),
        last_hour=Ended(tasks=2, completed=1, failed=1, images=4, gpu_ms=1500),
        minutes=[0] * 59 + [2],
        today=Ended(tasks=3, images=5, gpu_ms=2000, cost_micros=207, currency="USD"),
    )
    if caller.scope is KeyScope.ADMIN:
        seen.queued, seen.running, seen.dead_letters = 7, 1, 0
        seen.oldest_wait_seconds = 12.5
    return GetOverviewResponse(at=stamp(5), runtimes=[seen])


@dataclass
class FakeOperators:
    """What the router does for operators."""

    asked: list[tuple[str, str, Any]] = field(default_factory=list)

    async def overview(self, caller: Caller) -> GetOverviewResponse:
        return overview_of(caller)

    async def dead_letters(
        self, caller: Caller, runtime: str, limit: int
    ) -> Sequence[DeadLetter]:
        self.asked.append(("list", runtime, limit))
        return [
            DeadLetter(
                message_id="m1", runtime="canvas", uid=UID, id="a", since=stamp(5),
                reason="poisoned: given up", body="{}",
            ),
            DeadLetter(message_id="m2", runtime="webhooks", since=stamp(6), body="garbage"),
        ]  # fmt: skip

    async def redrive(
        self, caller: Caller, runtime: str, messages: Sequence[str] | None
    ) -> Sequence[DeadLetterResult]:
        self.asked.append(("redrive", runtime, messages))
        if runtime == "nosuch":
            raise RejectedError("there is no runtime 'nosuch'", code="runtime_not_found")
        return [
            DeadLetterResult(message_id="m1", outcome="redriven", uid=UID),
            DeadLetterResult(message_id="m2", outcome="kept", reason="it is no task message"),
        ]

    async def purge(
        self, caller: Caller, runtime: str, messages: Sequence[str] | None
    ) -> Sequence[DeadLetterResult]:
        self.asked.append(("purge", runtime, messages))
        return [DeadLetterResult(message_id=each, outcome="purged") for each in messages or ()]


@dataclass
class World:
    """Everything behind the edges."""

    router: FakeRouter = field(default_factory=FakeRouter)
    models: FakeModels = field(default_factory=FakeModels)
    notifier: FakeNotifier = field(default_factory=FakeNotifier)
    webhooks: FakeWebhooks = field(default_factory=FakeWebhooks)
    operators: FakeOperators = field(default_factory=FakeOperators)
    streams: int = 10
    make_uid: Callable[[], Uid] = lambda: UID
    patience: timedelta = timedelta(seconds=60)
    gate: Gate = field(default_factory=lambda: Gate({digest(KEY): CALLER}))
    health: Health = field(default_factory=Health)
    metrics: Metrics = field(default_factory=Metrics)
    body_timeout: timedelta = timedelta(seconds=60)
    body_bytes: int = 64 * 2**20
    cors_origins: tuple[str, ...] = ()
    native_seconds: float = 60

    def __post_init__(self) -> None:
        self.bodies = Bodies(self.body_bytes, self.body_timeout)
        self.watches = Watches(self.notifier, limit=self.streams, patience=self.patience)

    def app(self) -> ASGIApp:
        """The REST app, which names every submission `UID`."""
        return rest_app(
            router=self.router,
            models=self.models,
            watches=self.watches,
            webhooks=self.webhooks,
            operators=self.operators,
            gate=self.gate,
            metrics=self.metrics,
            health=self.health,
            bodies=self.bodies,
            cors_origins=self.cors_origins,
            native_wait=timedelta(seconds=self.native_seconds),
            make_uid=self.make_uid,
        )


@asynccontextmanager
async def rest(world: World, key: str | None = KEY) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the REST API, served by the real server."""
    port = free_port()
    headers = {} if key is None else {"x-api-key": key}
    async with (
        http_serving(world.app(), "127.0.0.1", port, no_http=no_http(world.metrics)),
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=headers) as client,
    ):
        yield client


@asynccontextmanager
async def rpc(world: World) -> AsyncIterator[TaskServiceAsyncStub]:
    """A client of the gRPC API, served by the real server."""
    async with rpc_channel(world) as channel:
        yield tasks_pb2_grpc.TaskServiceStub(channel)


@asynccontextmanager
async def rpc_channel(world: World) -> AsyncIterator[grpc.aio.Channel]:
    """A channel to the gRPC API, served by the real server."""
    address = f"127.0.0.1:{free_port()}"

    servicer = TaskRpc(world.router, world.watches, world.gate, world.metrics, world.bodies)

    def register(server: grpc.aio.Server) -> None:
        tasks_pb2_grpc.add_TaskServiceServicer_to_server(servicer, server)

    async with AsyncExitStack() as stack:
        await stack.enter_async_context(
            serving(address, world.health, (SERVICE,), register, reading=servicer.reading)
        )
        yield await stack.enter_async_context(grpc.aio.insecure_channel(address))


def v1alpha2(content: object = None, **metadata: object) -> dict[str, Any]:
    """A request that is valid unless the arguments make it wrong."""
    known = {"id": "a", "runtime": "sdruntime", "tasktype": "text-to-image"}
    return {
        "task": {
            "metadata": {**known, **metadata},
            "content": {"prompt": "A dog"} if content is None else content,
        }
    }


def v1alpha1(body: dict[str, Any] | None = None, **scripts: object) -> dict[str, Any]:
    """A request of the older form that is valid unless the arguments make it wrong."""
    known = {"task": "text-to-image", "sd_model_checkpoint": "m.safetensors", "id_task": "a"}
    return {"alwayson_scripts": {**known, **scripts}, "prompt": "A dog", **(body or {})}


def encode(value: object) -> bytes:
    """Compact JSON."""
    return json.dumps(value, separators=(",", ":")).encode()


def check_problem(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """Check that an answer of REST is this problem, and give it."""
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = response.json()
    assert list(problem) == ["type", "title", "status", "detail", "code", "errors"]
    assert problem["type"] == f"urn:darkroom:problem:{code}"
    assert (problem["status"], problem["code"]) == (status, code)
    assert problem["title"] == REFUSALS[code].title
    return problem


def counted(meter: InMemoryMetricReader) -> dict[tuple[str, str, str], int]:
    """What was recorded, by instrument, operation or code, and status."""
    found: dict[tuple[str, str, str], int] = {}
    recorded = meter.get_metrics_data()
    for resource in recorded.resource_metrics if recorded else ():
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                for point in metric.data.data_points:
                    label = point.attributes or {}
                    name = str(label.get("operation") or label.get("code"))
                    key = (metric.name, name, str(label.get("status", "")))
                    number: int = getattr(point, "count", 0) or getattr(point, "value", 0)
                    found[key] = found.get(key, 0) + number
    return found
