"""A Kubernetes API over HTTPS on the loopback, for what applies to a cluster and waits for it.

It answers what `helm` and `kubernetes.core` ask: discovery, and reading, writing and deleting
of objects one by one. Not there: watches, server-side apply, subresources, field selectors,
paging.
"""

from __future__ import annotations

import base64
import json
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import yaml

from kubernetes_store import Json, Kind, RefusedError, Store
from kubernetes_wire import decoded
from manifests import KUBERNETES
from servicekit.listen import HOST

_MERGES = {
    "application/merge-patch+json": False,
    "application/strategic-merge-patch+json": True,
}


@dataclass
class KubernetesApi:
    """A running API; hold `lock` to look into `store`."""

    server: str
    authority: Path  # the certificate by which clients know it
    store: Store
    tokens: set[str] = field(default_factory=set)  # that callers have shown
    writes: list[str] = field(default_factory=list)  # "POST /api/v1/namespaces", ...
    lock: threading.RLock = field(default_factory=threading.RLock)

    def kubeconfig(self, path: Path) -> Path:
        """Write a kubeconfig with a plain token and give its path."""
        authority = base64.b64encode(self.authority.read_bytes()).decode()
        cluster = {"server": self.server, "certificate-authority-data": authority}
        parts = {
            "clusters": [{"name": "it", "cluster": cluster}],
            "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
            "users": [{"name": "it", "user": {"token": "plain"}}],
        }
        config = {"apiVersion": "v1", "kind": "Config", "current-context": "it", **parts}
        path.write_text(yaml.safe_dump(config))
        return path


@contextmanager
def served(store: Store, folder: Path) -> Iterator[KubernetesApi]:
    """Serve a store, with a certificate made in `folder`."""
    key, certificate = folder / "api.key", folder / "api.pem"
    made = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
    subject = ["-subj", "/CN=kubernetes", "-addext", f"subjectAltName=IP:{HOST}"]
    subprocess.run(
        [*made.split(), *subject, "-keyout", str(key), "-out", str(certificate)],
        check=True,
        capture_output=True,
        timeout=600,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server = _Server((HOST, 0), _Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    url = f"https://{HOST}:{server.server_port}"
    api = server.api = KubernetesApi(url, certificate, store)
    thread = threading.Thread(target=server.serve_forever, name="kubernetes-api")
    thread.start()
    try:
        yield api
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Server(ThreadingHTTPServer):
    api: KubernetesApi
    daemon_threads = True


class _Handler(BaseHTTPRequestHandler):
    """Answers one client."""

    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 20  # an answer in one piece, or the client's kernel waits for more
    server: _Server

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing of each request."""

    def _serve(self) -> None:
        api = self.server.api
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        with api.lock:
            try:
                self._know(api)
                answer = self._answer(api.store, body)
                code = 201 if self.command == "POST" else 200
            except RefusedError as error:
                code, answer = error.code, _status(error)
            text = json.dumps(answer).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve  # noqa: N815  # of the base class

    def _know(self, api: KubernetesApi) -> None:
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if not token:
            raise RefusedError(401, "Unauthorized", "Unauthorized")
        api.tokens.add(token)
        if self.command != "GET":
            api.writes.append(f"{self.command} {self.path}")

    def _answer(self, store: Store, body: bytes) -> Json:
        url = urlsplit(self.path)
        query = dict(parse_qsl(url.query))
        parts = url.path.strip("/").split("/")
        told = _discovery(store, parts) if self.command == "GET" else None
        if told is not None:
            return told
        size = 2 if parts[0] == "api" else 3
        version, rest = "/".join(parts[1:size]), parts[size:]
        namespace = ""
        if rest[:1] == ["namespaces"] and len(rest) > 2:
            namespace, rest = rest[1], rest[2:]
        kind = _kind(store, version, rest)
        if len(rest) == 1:
            return self._collection(store, kind, namespace, query, body)
        return self._single(store, (kind, namespace, rest[1]), query, body)

    def _collection(
        self, store: Store, kind: Kind, namespace: str, query: dict[str, str], body: bytes
    ) -> Json:
        if self.command == "POST":
            return store.create(kind, namespace, decoded(body), dry="dryRun" in query)
        if self.command != "GET" or "watch" in query or query.get("fieldSelector"):
            raise RefusedError(405, "MethodNotAllowed", "this is not served here")
        found = store.list(kind, namespace, query.get("labelSelector", ""))
        metadata = {"resourceVersion": str(store.revision)}
        shape = {"apiVersion": kind.version, "kind": f"{kind.name}List", "metadata": metadata}
        return {**shape, "items": found}

    def _single(
        self, store: Store, key: tuple[Kind, str, str], query: dict[str, str], body: bytes
    ) -> Json:
        dry = "dryRun" in query
        match self.command:
            case "GET":
                return store.get(key)
            case "PUT":
                return store.replace(key, decoded(body), dry=dry)
            case "PATCH" if self.headers["Content-Type"] in _MERGES:
                strategic = _MERGES[self.headers["Content-Type"]]
                return store.patch(key, decoded(body), strategic=strategic, dry=dry)
            case "DELETE":
                return store.delete(key, dry=dry)
            case _:
                pass
        raise RefusedError(415, "UnsupportedMediaType", "this kind of patch is not served here")


def _kind(store: Store, version: str, rest: list[str]) -> Kind:
    for kind in store.kinds:
        if kind.version == version and rest[:1] == [kind.plural] and len(rest) <= 2:
            return kind
    raise RefusedError(404, "NotFound", "the server could not find the requested resource")


def _status(error: RefusedError) -> Json:
    return {
        "apiVersion": "v1",
        "kind": "Status",
        "metadata": {},
        "status": "Failure",
        "message": str(error),
        "reason": error.reason,
        "code": error.code,
    }


def _discovery(store: Store, parts: list[str]) -> Json | None:
    """What the API tells of itself, or nothing where the path is one of objects."""
    versions = sorted({kind.version for kind in store.kinds})
    version = "/".join(parts[1:])
    match parts:
        case ["version"]:
            major, minor = KUBERNETES.split(".")
            return {"major": major, "minor": minor, "gitVersion": f"v{KUBERNETES}.0"}
        case ["api"]:
            return {"kind": "APIVersions", "versions": ["v1"]}
        case ["apis"]:
            names = sorted(
                {version.partition("/")[0] for version in versions if "/" in version}
            )
            groups = [_group(name, versions) for name in names]
            return {"apiVersion": "v1", "kind": "APIGroupList", "groups": groups}
        case ["openapi", "v3", *path]:
            return _operations(store.kinds, "/".join(path[1:]))
        case ["api" | "apis", *_] if version in versions:
            return _resources(store.kinds, version)
    return None


def _group(name: str, versions: list[str]) -> Json:
    # By name, stable versions come first here.
    served = [
        {"groupVersion": version, "version": version.partition("/")[2]}
        for version in versions
        if version.startswith(f"{name}/")
    ]
    return {"name": name, "versions": served, "preferredVersion": served[0]}


def _resources(kinds: list[Kind], version: str) -> Json:
    verbs = ["create", "delete", "get", "list", "patch", "update"]
    found = [
        {
            "name": kind.plural,
            "singularName": kind.name.lower(),
            "namespaced": kind.namespaced,
            "kind": kind.name,
            "verbs": verbs,
        }
        for kind in kinds
        if kind.version == version
    ]
    shape = {"apiVersion": "v1", "kind": "APIResourceList", "groupVersion": version}
    return {**shape, "resources": found}


def _operations(kinds: list[Kind], version: str) -> Json:
    """Tell that fields are validated here, so that clients need no schemas."""
    if not version:
        paths = {f"apis/{v}" if "/" in v else f"api/{v}" for v in {k.version for k in kinds}}
        return {"paths": {path: {"serverRelativeURL": f"/openapi/v3/{path}"} for path in paths}}
    asked = {"name": "fieldValidation", "in": "query", "schema": {"type": "string"}}
    group, _, number = version.rpartition("/")
    operations = {}
    for kind in kinds:
        which = {"group": group, "version": number, "kind": kind.name}
        patch = {"parameters": [asked], "x-kubernetes-group-version-kind": which}
        if kind.version == version:
            operations[f"/{kind.plural}/{{name}}"] = {"patch": patch}
    info = {"title": "Kubernetes", "version": KUBERNETES}
    return {"openapi": "3.0.0", "info": info, "paths": operations}
