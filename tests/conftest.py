"""One stack for every test that only uses it, with a collector of its spans."""

from __future__ import annotations

import asyncio
import io
import threading
from collections.abc import Iterator
from concurrent import futures
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import grpc
import pytest
from collector import Spans
from harness import Callbacks, Stack, running_stack
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc
from PIL import Image

from provisioning.resources import subscribe_queue


@pytest.fixture(scope="session")
def spans() -> Iterator[Spans]:
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=4))
    receiver = Spans()
    add = trace_service_pb2_grpc.add_TraceServiceServicer_to_server
    add(receiver, server)  # type: ignore[no-untyped-call]  # the package has no types
    receiver.port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield receiver
    server.stop(None).wait()


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory, spans: Spans) -> Iterator[Stack]:
    extra = {
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"http://127.0.0.1:{spans.port}",
        "OTEL_BSP_SCHEDULE_DELAY": "100",
    }
    folder = tmp_path_factory.mktemp("stack")
    given = ("--sample-seconds", "0.3", "--allow-loopback-inputs")
    with running_stack(folder, *given, extra=extra) as running:
        yield running


@pytest.fixture(scope="session")
def callbacks(stack: Stack) -> Callbacks:
    url = asyncio.run(subscribe_queue(stack.info["result_topic_arn"], "test-callbacks"))
    return Callbacks(queue_url=url)


@pytest.fixture(scope="session")
def picture_url() -> Iterator[str]:
    """The URL of a PNG of 96 x 64 on a server of our own."""
    encoded = io.BytesIO()
    Image.new("RGB", (96, 64), "orange").save(encoded, "PNG")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # the base class names it
            self.send_response(200)
            self.send_header("Content-Type", "image/png")
            self.send_header("Content-Length", str(encoded.tell()))
            self.end_headers()
            self.wfile.write(encoded.getvalue())

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/cat.png"
    server.shutdown()
    server.server_close()
    thread.join()
