"""A server that answers as AWS was recorded to, for calls that the emulator lacks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qs

from servicekit.listen import HOST

Answers = dict[str, list[tuple[int, Any]]]
"""Status and body of each answer, by call; a body that is text is sent as it is."""


@dataclass
class Recorded:
    """Answers by call, in order, the last one again and again; and what was asked."""

    answers: Answers
    asked: list[tuple[str, Any]] = field(default_factory=list)
    url: str = ""

    def answer(self, call: str, body: Any) -> tuple[int, Any]:
        """The next answer to a call, which is kept."""
        self.asked.append((call, body))
        waiting = self.answers.get(call)
        if not waiting:
            return 404, {"message": f"not recorded: {call}"}
        return waiting.pop(0) if len(waiting) > 1 else waiting[0]

    def calls(self, call: str) -> list[Any]:
        """The bodies of one call."""
        return [body for name, body in self.asked if name == call]


@contextmanager
def recorded(answers: Answers) -> Iterator[Recorded]:
    """Serve answers by `METHOD /path`, or by operation where a request names it."""
    contract = Recorded({call: list(given) for call, given in answers.items()})

    class Handler(BaseHTTPRequestHandler):
        def handle_call(self) -> None:
            body = self.body()
            operation = self.headers.get("X-Amz-Target", "").rpartition(".")[2]
            if "Action" in (body or {}):
                (operation,) = body["Action"]
            call = operation or f"{self.command} {self.path}"
            status, answer = contract.answer(call, body)
            text = answer if isinstance(answer, str) else json.dumps(answer)
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            if isinstance(answer, dict) and "__type" in answer:
                self.send_header("x-amzn-ErrorType", answer["__type"])
            self.send_header("Content-Length", str(len(text.encode())))
            self.end_headers()
            self.wfile.write(text.encode())

        def body(self) -> Any:
            taken = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if not taken:
                return None
            if "form-urlencoded" in self.headers.get("Content-Type", ""):
                return parse_qs(taken.decode())
            known = json.loads(taken)
            # The token against repeated requests is a new one each time.
            known.pop("clientRequestToken", None)
            return known

        do_GET = do_POST = do_PATCH = do_DELETE = do_PUT = handle_call  # noqa: N815  # the base class names them

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer((HOST, 0), Handler)
    # Asked often whether it is to end: a test has a server of its own.
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    contract.url = f"http://{HOST}:{server.server_port}"
    try:
        yield contract
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
