"""A package index of one folder, behind a name and a password."""

from __future__ import annotations

import base64
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote, unquote


@contextmanager
def mirror(folder: Path, login: str) -> Iterator[str]:
    """Serve the packages of `folder` to `name:password`; the value is the index's URL."""
    wanted = "Basic " + base64.b64encode(login.encode()).decode()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            if self.headers["Authorization"] != wanted:
                self.answer(HTTPStatus.UNAUTHORIZED, b"")
            elif self.path.startswith("/simple/"):
                self.answer(HTTPStatus.OK, page(folder, self.path.split("/")[2]))
            else:
                self.answer(HTTPStatus.OK, (folder / unquote(self.path[7:])).read_bytes())

        def answer(self, status: HTTPStatus, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(body)))
            self.send_header("WWW-Authenticate", 'Basic realm="mirror"')
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Stay silent."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://{quote(login, safe=':')}@127.0.0.1:{server.server_port}/simple"
        finally:
            server.shutdown()
            thread.join()


def page(folder: Path, project: str) -> bytes:
    """The links to a project's files, each by its name alone."""
    names = [file.name for file in folder.iterdir() if named(file.name) == project]
    return "".join(f'<a href="/files/{quote(name)}">{name}</a>\n' for name in names).encode()


def named(file: str) -> str:
    """The project of a wheel, as an index spells it."""
    return re.sub(r"[-_.]+", "-", file.partition("-")[0]).lower()
