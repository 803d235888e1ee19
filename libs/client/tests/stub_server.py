"""A server that answers each path as the test says, one reply after another."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Any

UID = "01M82WD9X0AAAAAAAAAAAAAAAA"


@dataclass(frozen=True)
class Reply:
    """An answer; without a status the connection is closed, with `cut` in the middle."""

    body: Any = None
    status: int | None = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0  # before it
    cut: bool = False

    @property
    def content(self) -> bytes:
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


BREAK = Reply(status=None)


@dataclass(frozen=True)
class Asked:
    """A request that came."""

    what: str
    headers: Mapping[str, str]
    body: bytes


@dataclass
class StubServer:
    """What was asked, and the replies by method and path; the last one is given again."""

    url: str = ""
    replies: dict[str, list[Reply]] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    most_at_once: int = 0
    _open: int = 0
    _lock: Lock = field(default_factory=Lock)

    def on(self, what: str, *replies: Reply) -> None:
        self.replies[what] = list(replies)

    def of(self, what: str) -> list[Asked]:
        return [asked for asked in self.asked if asked.what == what]

    def next_reply(self, what: str) -> Reply:
        with self._lock:
            waiting = self.replies.get(what, [Reply(status=404)])
            return waiting.pop(0) if len(waiting) > 1 else waiting[0]

    @contextmanager
    def counted(self) -> Iterator[None]:
        with self._lock:
            self._open += 1
            self.most_at_once = max(self.most_at_once, self._open)
        try:
            yield
        finally:
            with self._lock:
                self._open -= 1


@contextmanager
def stub_server() -> Iterator[StubServer]:
    made = StubServer()

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            sent = self.rfile.read(int(self.headers.get("content-length", 0)))
            what = f"{self.command} {self.path}"
            headers = {name.lower(): value for name, value in self.headers.items()}
            made.asked.append(Asked(what, headers, sent))
            reply = made.next_reply(what)
            with made.counted():
                time.sleep(reply.seconds)
                self.reply(reply)

        def reply(self, reply: Reply) -> None:
            self.close_connection = True
            if reply.status is None:
                return
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(reply.content) + reply.cut))
            self.end_headers()
            self.wfile.write(reply.content)

        do_GET = do_POST = do_DELETE = do_PUT = answer  # noqa: N815  # the base class names them

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            pass  # a client that has hung up

    listening = Server(("127.0.0.1", 0), Handler)
    thread = Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    made.url = f"http://127.0.0.1:{listening.server_port}"
    try:
        yield made
    finally:
        listening.shutdown()
        listening.server_close()
        thread.join()


def task(**changes: Any) -> dict[str, Any]:
    return {
        "uid": UID,
        "id": "first",
        "runtime": "sdruntime",
        "tasktype": "text-to-image",
        "state": "completed",
        "attempt": 1,
        "context": {"order": 7},
        "created_at": "2026-11-23T00:52:07.583Z",
        "started_at": "2026-11-23T00:52:07.655Z",
        "finished_at": "2026-11-23T00:52:08.731Z",
        "output_location": "s3://out/output/first",
        "image_url": ["s3://out/output/first/first-4b6b-1.png"],
        "output_url": "s3://out/output/first/first-4b6b.out",
        "error": None,
        "progress": None,
        **changes,
    }


def accepted(**changes: Any) -> dict[str, Any]:
    return {"id_task": "first", "id": "first", "uid": UID, "runtime": "sdruntime", **changes}


def problem(code: str, status: int, **more: Any) -> Reply:
    body = {"type": f"urn:darkroom:problem:{code}", "title": "x", "status": status,
            "detail": f"why {code}", "code": code, "errors": [], **more}  # fmt: skip
    return Reply(body, status)
