"""An AWS that knows one conversation: for calls that the emulator lacks."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from servicekit.ports import HOST


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """A request, and what AWS answers; `body` is what a request that changes must say."""

    request: str  # method and path with its query
    answer: dict[str, Any]
    body: dict[str, Any] | None = None


@dataclass
class Conversation:
    """What was asked, in order."""

    exchanges: Sequence[Exchange]
    asked: list[tuple[str, dict[str, Any] | None]] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def answer(self, request: str, body: dict[str, Any] | None) -> dict[str, Any] | None:
        """Give the answer to the next request, or None if another one was expected."""
        self.asked.append((request, body))
        index = len(self.asked) - 1
        expected = self.exchanges[index] if index < len(self.exchanges) else None
        if expected is None or (expected.request, expected.body) != (request, body):
            self.wrong.append(f"got {request} {body}, expected {expected}")
            return None
        return expected.answer

    @property
    def complete(self) -> bool:
        """Tell whether all that was expected was asked, and nothing else."""
        return not self.wrong and len(self.asked) == len(self.exchanges)


@contextmanager
def answering(conversation: Conversation) -> Iterator[str]:
    """Give the URL of an AWS that has this conversation."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # the name is the base class's
            self._answer(None)

        def do_POST(self) -> None:  # the name is the base class's
            length = int(self.headers.get("Content-Length", 0))
            self._answer(json.loads(self.rfile.read(length)))

        def _answer(self, body: dict[str, Any] | None) -> None:
            # The token against repeated requests is a new one each time.
            known = (
                {k: v for k, v in body.items() if k != "clientRequestToken"} if body else None
            )
            answer = conversation.answer(f"{self.command} {self.path}", known)
            text = json.dumps({"message": "not in the recording"} if answer is None else answer)
            self.send_response(400 if answer is None else 200)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, format: str, *_: Any) -> None:  # the base class's
            return

    server = ThreadingHTTPServer((HOST, 0), Handler)
    thread = threading.Thread(target=server.serve_forever, name="recorded-aws")
    thread.start()
    try:
        yield f"http://{HOST}:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
