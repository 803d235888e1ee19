from __future__ import annotations

import asyncio
import base64
import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from queue_agent_fakes import (
    PNG,
    FakeInputReader,
    FakeNotifier,
    FakeRuntime,
    FakeStore,
    delivery,
    make_image,
    message,
    passage,
    run_for_ever,
)

from contracts.ids import claim_key, new_uid
from contracts.message import TaskMessage
from queue_agent import delivery as delivery_module
from queue_agent import handling, work
from queue_agent.delivery import Deliverer
from queue_agent.domain import (
    File,
    Generated,
    Job,
    Task,
    TaskFailedError,
    UnworkableError,
    Verdict,
)
from queue_agent.fetch import Fetcher, InputLimits
from queue_agent.handling import Handler
from queue_agent.inputs import find_in_body, find_in_graph
from queue_agent.measures import Measures
from queue_agent.out_document import ComfyUiOut, SdWebuiOut
from queue_agent.ports import Report
from queue_agent.spool import Spooled
from queue_agent.timeouts import RunLimits
from queue_agent.work import Preparer, Runner
from servicekit.errors import TransientError

SIGNED = "https://user:pw@host/a.png?X-Amz-Signature=secret"
LIMITS = InputLimits(count=2, bytes_each=100, bytes_total=150)


@dataclass
class Room:
    """A handler with fakes around it, and what it measured."""

    runtime: FakeRuntime = field(default_factory=FakeRuntime)
    notifier: FakeNotifier = field(default_factory=FakeNotifier)
    store: FakeStore = field(default_factory=FakeStore)
    reader: FakeInputReader = field(default_factory=FakeInputReader)
    metrics: InMemoryMetricReader = field(default_factory=InMemoryMetricReader)

    def __post_init__(self) -> None:
        provider = MeterProvider([self.metrics], shutdown_on_exit=False)
        self.measures = Measures(provider.get_meter("test"))

    def handler(self, *, limit: float = 5, budget: float = 5, comfy: bool = False) -> Handler:
        measures = self.measures
        out = ComfyUiOut() if comfy else SdWebuiOut()
        readers = {"https": self.reader, "s3": self.reader}
        return Handler(
            runtime_name="sdruntime",
            bucket="bucket",
            notifier=self.notifier,
            preparer=Preparer(
                claims=self.store,
                fetcher=Fetcher(readers=readers, limits=LIMITS),
                find_inputs=find_in_graph if comfy else find_in_body,
                runtime=self.runtime,
                measures=measures,
            ),
            runner=Runner(
                runtime=self.runtime,
                out=out,
                limits=RunLimits(
                    floor=timedelta(seconds=limit),
                    cap=timedelta(seconds=limit),
                    per_megapixel_step=timedelta(),
                ),
            ),
            deliverer=Deliverer(
                store=self.store,
                notifier=self.notifier,
                measures=measures,
                budget=timedelta(seconds=budget),
            ),
            measures=measures,
            now=lambda: datetime.now(UTC),
        )

    async def handle(self, sent: TaskMessage, **options: Any) -> None:
        await self.handler(**options).handle(delivery(sent), passage())

    def out(self) -> dict[str, Any]:
        [key] = [key for key in self.store.objects if key.endswith(".out")]
        document: dict[str, Any] = json.loads(self.store.objects[key][0])
        return document

    def measured(self) -> dict[str, list[dict[str, Any]]]:
        points: dict[str, list[dict[str, Any]]] = {}
        gathered = self.metrics.get_metrics_data()
        for resource in gathered.resource_metrics if gathered else ():
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    points[metric.name] = [
                        dict(point.attributes or {}) for point in metric.data.data_points
                    ]
        return points


@pytest.fixture
def room(monkeypatch: pytest.MonkeyPatch) -> Room:
    monkeypatch.setattr(delivery_module, "FIRST_PAUSE", timedelta(milliseconds=1))
    return Room()


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    for module in (handling, work, delivery_module):
        monkeypatch.setattr(module, "tracer", provider.get_tracer("test"))
    yield exporter
    provider.shutdown()


async def test_images_come_first_then_the_document_then_the_news(room: Room) -> None:
    sent = message()

    await room.handle(sent)

    image, out = room.store.objects
    assert room.store.objects[image] == (PNG, "image/png")
    assert image.endswith("-1.png")
    assert out.endswith(".out")
    assert room.store.objects[out][1] == "application/json"
    end = room.notifier.ends[sent.uid]
    assert end.image_url == (f"s3://bucket/{image}",)
    assert end.output_url == f"s3://bucket/{out}"
    assert end.failure is None


async def test_files_are_gone_when_their_task_has_ended(room: Room) -> None:
    body = Spooled()
    body.write(PNG)

    async def make(job: Job, report: Report) -> Generated:
        return Generated(files=(File(body=body),), answer={})

    room.runtime.script = make

    await room.handle(message())

    image, _ = room.store.objects
    assert room.store.objects[image] == (PNG, "image/png")
    with pytest.raises(ValueError, match="closed file"):
        body.read()


@pytest.mark.parametrize("verdict", [Verdict.FINISHED, Verdict.UNKNOWN])
async def test_task_with_nothing_to_do_may_be_deleted_without_work(
    room: Room, verdict: Verdict
) -> None:
    room.notifier.verdict = verdict

    await room.handle(message())

    assert room.runtime.jobs == []
    assert room.measured()["darkroom.agent.tasks"] == [{"outcome": verdict.name.lower()}]


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"\xff\xfe", id="bytes"),
        pytest.param(b'{"prompt": "my secret"}', id="other-json"),
        pytest.param(message(runtime="other").model_dump_json().encode(), id="other-runtime"),
        pytest.param(message(bucket="other").model_dump_json().encode(), id="other-bucket"),
    ],
)
async def test_message_that_is_not_ours_is_given_back_unread(room: Room, body: bytes) -> None:
    with pytest.raises(UnworkableError) as caught:
        await room.handler().handle(delivery(body), passage())

    assert "secret" not in str(caught.value)
    assert room.notifier.attempts == {}


async def test_content_may_wait_in_the_claim_bucket(room: Room) -> None:
    uid = new_uid()
    room.store.objects[f"{uid}.json"] = (b'{"prompt": "from afar"}', "")

    await room.handle(message(uid=uid, content=None, content_key=claim_key(uid)))

    assert room.runtime.jobs[0].content == {"prompt": "from afar"}


async def test_claim_that_is_no_object_is_given_back(room: Room) -> None:
    uid = new_uid()
    room.store.objects[f"{uid}.json"] = (b"[1]", "")

    with pytest.raises(UnworkableError):
        await room.handle(message(uid=uid, content=None, content_key=claim_key(uid)))


async def test_claim_of_another_task_is_not_read(room: Room) -> None:
    other = claim_key(new_uid())
    room.store.objects[other] = (b'{"prompt": "not yours"}', "")
    mine = message().model_dump(mode="json") | {"content": None, "content_key": other}

    with pytest.raises(UnworkableError, match="content_key"):
        await room.handler().handle(delivery(json.dumps(mine).encode()), passage())

    assert room.runtime.jobs == []


async def test_inputs_reach_the_runtime_as_base64(room: Room) -> None:
    room.reader.bodies = {"s3://in/a.png": PNG}

    await room.handle(message(content={"init_images": ["s3://in/a.png", "s3://in/a.png"]}))

    encoded = base64.b64encode(PNG).decode()
    assert room.runtime.jobs[0].content == {"init_images": [encoded, encoded]}
    assert room.reader.asked == ["s3://in/a.png"]
    assert "darkroom.agent.inputs" in room.measured()


async def test_inputs_of_loading_nodes_get_the_name_that_the_runtime_gave(room: Room) -> None:
    node = {"class_type": "LoadImage", "inputs": {"image": "s3://in/a.png"}}
    room.reader.bodies = {"s3://in/a.png": PNG}

    await room.handle(message(tasktype="pipeline", content={"1": node}), comfy=True)

    [name] = room.runtime.uploads
    assert room.runtime.jobs[0].content["1"]["inputs"]["image"] == f"folder/{name} (1)"
    assert name.endswith(".png")


@pytest.mark.parametrize(
    ("images", "reason"),
    [
        pytest.param([SIGNED], "init_images[0]: https://host/a.png: the answer", id="missing"),
        pytest.param(["s3://in/large"], "more than 100 bytes", id="too-large"),
        pytest.param(["s3://in/1", "s3://in/2"], "150 bytes in total", id="too-large-together"),
        pytest.param([f"s3://in/{n}" for n in range(3)], "more than 2 inputs", id="too-many"),
        pytest.param(["http://host/a"], "not taken", id="no-reader"),
        pytest.param(["s3://in/text"], "not an image", id="no-image"),
    ],
)
async def test_input_that_cannot_be_had_fails_the_task_before_the_runtime(
    room: Room, images: list[str], reason: str
) -> None:
    room.reader.bodies = {
        "s3://in/large": b"x" * 101,
        "s3://in/1": PNG * 2,
        "s3://in/2": PNG * 2,
        "s3://in/text": b"<html>not an image</html>",
    }
    sent = message(content={"init_images": images})

    await room.handle(sent)

    failure = room.notifier.ends[sent.uid].failure
    assert failure is not None
    assert failure.code == "input_unavailable"
    assert reason in failure.message
    assert room.runtime.jobs == []
    assert room.measured()["darkroom.agent.failures"] == [{"code": "input_unavailable"}]


async def test_secrets_of_a_signed_url_are_never_logged_or_told(
    room: Room, caplog: pytest.LogCaptureFixture, spans: InMemorySpanExporter
) -> None:
    caplog.set_level(logging.DEBUG)
    sent = message(content={"init_images": [SIGNED]})

    await room.handle(sent)

    told = [repr(room.notifier.ends), repr(room.store.objects)]
    told += [repr(vars(record)) for record in caplog.records]
    told += [span.to_json() for span in spans.get_finished_spans()]
    assert len(told) > 4
    assert not any("secret" in text or "user:pw" in text for text in told)


async def test_failure_of_the_runtime_is_a_result(room: Room) -> None:
    async def fail(job: Job, report: Report) -> Generated:
        raise TaskFailedError("it broke", code="runtime_error", answer={"error": "Own"})

    room.runtime.script = fail
    sent = message()

    await room.handle(sent)

    end = room.notifier.ends[sent.uid]
    assert end.failure is not None
    assert (end.failure.code, end.image_url) == ("runtime_error", ())
    assert room.out() == {
        "images": [""],
        "parameters": {
            "id_task": "test-1",
            "status": 0,
            "error_msg": "it broke",
            "reason": {"error": "Own"},
        },
        "info": "",
    }


async def test_failure_of_a_pipeline_has_its_own_form(room: Room) -> None:
    async def fail(job: Job, report: Report) -> Generated:
        raise TaskFailedError("it broke", code="runtime_error", answer={"node_id": "3"})

    room.runtime.script = fail

    await room.handle(message(tasktype="pipeline", content={}), comfy=True)

    assert room.out()["code"] == 500
    assert room.out()["error"]["code"] == "runtime_error"
    assert room.out()["error"]["reason"] == {"node_id": "3"}


@pytest.mark.parametrize(("has_text", "code"), [(False, "no_output"), (True, None)])
async def test_run_without_images_fails_unless_it_gave_text(
    room: Room, has_text: bool, code: str | None
) -> None:
    async def nothing(job: Job, report: Report) -> Generated:
        return Generated(files=(), answer={}, has_text=has_text)

    room.runtime.script = nothing
    sent = message(tasktype="pipeline", content={})

    await room.handle(sent, comfy=True)

    failure = room.notifier.ends[sent.uid].failure
    assert (failure.code if failure else None) == code
    assert room.notifier.ends[sent.uid].image_url == ()


async def test_run_that_takes_too_long_is_interrupted_and_fails(room: Room) -> None:
    room.runtime.script = run_for_ever
    sent = message()

    await room.handle(sent, limit=0.01)

    failure = room.notifier.ends[sent.uid].failure
    assert failure is not None
    assert failure.code == "timeout"
    assert failure.retryable
    assert room.runtime.interrupts == 1


async def test_cancelled_task_is_interrupted_and_stores_nothing(room: Room) -> None:
    room.runtime.script = run_for_ever

    async with asyncio.TaskGroup() as group:
        running = group.create_task(room.handle(message()), name="handle")
        await room.runtime.started.wait()
        running.cancel()

    assert room.runtime.interrupts == 1
    assert room.store.objects == {}
    assert room.notifier.ends == {}


async def test_outages_after_the_run_do_not_repeat_the_run(room: Room) -> None:
    room.store.outages, room.notifier.outages = 2, 2
    sent = message()

    await room.handle(sent)

    assert len(room.runtime.jobs) == 1
    assert room.notifier.ends[sent.uid].failure is None


async def test_outage_that_outlasts_the_budget_gives_the_message_back(room: Room) -> None:
    room.notifier.outages = 1000

    with pytest.raises(TransientError):
        await room.handle(message(), budget=0.01)

    assert room.notifier.ends == {}


async def test_second_attempt_writes_the_same_keys(room: Room) -> None:
    sent = message()
    await room.handle(sent)
    keys = list(room.store.objects)

    await room.handle(sent)

    assert list(room.store.objects) == keys
    assert room.notifier.attempts[sent.uid] == 2


async def test_progress_that_is_not_taken_does_no_harm(room: Room) -> None:
    room.notifier.reports_fail = True

    async def slow(job: Job, report: Report) -> Generated:
        generated = await make_image(job, report)
        for _ in range(5):
            await asyncio.sleep(0)
        return generated

    room.runtime.script = slow
    sent = message()

    await room.handle(sent)

    assert room.notifier.ends[sent.uid].failure is None


async def test_every_point_of_the_way_is_logged(
    room: Room, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    sent = message()

    await room.handle(sent)

    noted = [vars(record) for record in caplog.records if "event" in vars(record)]
    events = [record["event"] for record in noted]
    assert events == ["leased", "generated", "stored", "notified"]
    assert {record["uid"] for record in noted} == {sent.uid}


async def test_spans_continue_the_trace_of_the_message(
    room: Room, spans: InMemorySpanExporter
) -> None:
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    sent = message()

    await room.handler().handle(delivery(sent, traceparent=parent), passage())

    by_name: dict[str, ReadableSpan] = {span.name: span for span in spans.get_finished_spans()}
    assert set(by_name) == {"queue-agent task", "fetch", "run", "store", "finish"}
    root = by_name["queue-agent task"]
    assert root.kind is trace.SpanKind.CONSUMER
    assert root.parent is not None
    assert trace.format_span_id(root.parent.span_id) == "b7ad6b7169203331"
    assert dict(root.attributes or {}) == {
        "uid": sent.uid,
        "runtime": "sdruntime",
        "tasktype": "text-to-image",
        "attempt": 1,
    }


async def test_trace_of_a_failure_has_its_code_and_nothing_of_the_client(
    room: Room, spans: InMemorySpanExporter
) -> None:
    async def fail(job: Job, report: Report) -> Generated:
        raise TaskFailedError("cannot do 'my prompt'", code="runtime_error")

    room.runtime.script = fail

    await room.handle(message())

    finished = spans.get_finished_spans()
    assert not any("my prompt" in span.to_json() for span in finished)
    assert [span.status.description for span in finished][-1] == "runtime_error"


async def test_times_and_sizes_are_measured(room: Room) -> None:
    await room.handle(message())

    measured = room.measured()
    names = {"queue_wait", "generation", "overhead", "uploads", "uploaded", "tasks"}
    assert set(measured) == {f"darkroom.agent.{name}" for name in names}
    assert measured["darkroom.agent.tasks"] == [{"outcome": "completed"}]


async def test_what_the_handler_logs_has_no_prompt(
    room: Room, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    task = Task(message=message(content={"prompt": "my secret"}), attempt=1)
    job = await room.handler().preparer.prepare(task)

    assert "my secret" not in repr(task) + repr(job) + repr(replace(job, attempt=2))
    assert "my secret" not in caplog.text
