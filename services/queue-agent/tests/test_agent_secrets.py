"""What a client sent is in no log and no span, whatever fails.

The text is looked at before `servicekit.redaction` has seen it: that is a second line.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from queue_agent_fakes import FakeNotifier, FakeRuntime, FakeStore, delivery, message, state

from egress.addresses import AddressRules
from queue_agent.domain import Delivery
from queue_agent.inputs.fetch import Fetcher, InputLimits
from queue_agent.inputs.find import find_in_body
from queue_agent.inputs.http import http_inputs
from queue_agent.inputs.kinds import Kind
from queue_agent.metrics import Metrics
from queue_agent.ports import ImageRuntime
from queue_agent.runtimes.http import runtime_http
from queue_agent.runtimes.sdwebui.runtime import SdWebuiRuntime
from queue_agent.task import handler as handler_module
from queue_agent.task import prepare, results, run
from queue_agent.task.handler import Handler
from queue_agent.task.incoming import MessageReader
from queue_agent.task.out_document import SdWebuiOut
from queue_agent.task.prepare import Preparer
from queue_agent.task.results import ResultPublisher
from queue_agent.task.run import Runner
from queue_agent.task.run_limits import RunLimits
from servicekit.errors import AppError
from servicekit.listen import free_port

SECRET = "s3cr3t"  # noqa: S105  # what must not be seen
HERE = AddressRules.read(["127.0.0.1/32"])
SECONDS = timedelta(seconds=5)


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    for module in (handler_module, prepare, run, results):
        monkeypatch.setattr(module, "tracer", provider.get_tracer("test"))
    yield exporter
    provider.shutdown()


@pytest.fixture
async def server() -> AsyncIterator[TestServer]:
    async def echo(request: web.Request) -> web.Response:
        return web.Response(status=500, text=f"{request.path_qs} {await request.text()}")

    async def drop(request: web.Request) -> web.Response:
        if request.transport:
            request.transport.abort()
        return web.Response()

    app = web.Application()
    app.router.add_route("*", "/drop/{rest:.*}", drop)
    app.router.add_post("/sdapi/v1/txt2img", echo)
    app.router.add_route("*", "/{rest:.*}", drop)
    started = TestServer(app, host="127.0.0.1")
    async with started:
        yield started


def handler(runtime: ImageRuntime, reader: Any, store: FakeStore, metrics: Metrics) -> Handler:
    notifier, out = FakeNotifier(), SdWebuiOut()
    limits = InputLimits(count=4, bytes_each={Kind.IMAGE: 1000}, bytes_total=1000)
    return Handler(
        reader=MessageReader(runtime_name="sdruntime", bucket="bucket"),
        notifier=notifier,
        preparer=Preparer(
            claims=store,
            fetcher=Fetcher(readers={"http": reader}, limits=limits),
            find_inputs=find_in_body,
            runtime=runtime,
            metrics=metrics,
        ),
        runner=Runner(
            runtime=runtime,
            out=out,
            limits=RunLimits(floor=SECONDS, cap=SECONDS, per_megapixel_step=timedelta()),
        ),
        publisher=ResultPublisher(
            store=store, notifier=notifier, metrics=metrics, budget=timedelta()
        ),
        metrics=metrics,
        clean_up=lambda _: None,
        now=lambda: datetime.now(UTC),
    )


def sent(**content: Any) -> Delivery:
    body = {
        "prompt": f"a dog called {SECRET}",
        "script_args": [{"x-api-key": SECRET}],
        **content,
    }
    return delivery(message(content=body))


def signed(url: str) -> dict[str, Any]:
    return {"init_images": [f"{url}?X-Amz-Signature={SECRET}"]}


@pytest.mark.parametrize(
    "failing",
    [
        "refused input",
        "dropped input",
        "forbidden input",
        "lost",
        "dropped",
        "refused",
        "store",
    ],
)
async def test_failure_shows_nothing_that_the_client_sent(
    failing: str,
    server: TestServer,
    spans: InMemorySpanExporter,
    caplog: pytest.LogCaptureFixture,
    metrics: Metrics,
) -> None:
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.CRITICAL, "aiohttp.access")  # of the server, which is the test's
    there, nowhere = str(server.make_url("/")), f"http://127.0.0.1:{free_port()}/"
    inputs = {
        "refused input": nowhere,
        "dropped input": there,
        "forbidden input": "http://10.0.0.1/a.png",
    }
    content = signed(inputs[failing]) if failing in inputs else {}
    store = FakeStore(outages=9 if failing == "store" else 0)
    async with (
        http_inputs(patience=SECONDS, redirects=1, agent="test", rules=HERE) as reader,
        runtime_http({"lost": nowhere, "dropped": f"{there}drop/"}.get(failing, there)) as http,
    ):
        real = SdWebuiRuntime(http=http, dynamic=False, poll=SECONDS, silence=SECONDS)
        runtime = FakeRuntime() if failing == "store" else real
        try:
            await handler(runtime, reader, store, metrics).handle(sent(**content), state())
        except AppError as error:
            # As the consumer does, with all the errors that this one comes from.
            logging.getLogger("test").warning("failed", exc_info=error, extra=error.details)

    assert spans.get_finished_spans()
    assert SECRET not in caplog.text
    assert not any(SECRET in str(vars(record)) for record in caplog.records)
    assert not any(SECRET in span.to_json() for span in spans.get_finished_spans())
