"""A runtime that wants a login says so, and is given the one in its URL."""

from __future__ import annotations

import base64

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from test_wrong_shapes import RUNTIMES

from queue_agent.domain import RuntimeLostError
from queue_agent.runtimes.http import runtime_http

LOGIN = f"Basic {base64.b64encode(b'me:p@ss:word').decode()}"


async def answer(request: web.Request) -> web.Response:
    if request.headers.get("Authorization") != LOGIN:
        return web.json_response({"detail": "Incorrect username or password"}, status=401)
    lists = {"/api/v2/models/": {"models": []}, "/api/v2/models/scan_folder": []}
    return web.json_response(lists.get(request.path, {}))


@pytest.mark.parametrize("kind", RUNTIMES)
@pytest.mark.parametrize("login", ["", "me:wrong@", "me:p%40ss%3Aword@"])
async def test_login_of_the_url_is_used_and_asked_for(kind: str, login: str) -> None:
    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", answer)
    async with TestServer(app) as server:
        plain = str(server.make_url("/"))
        async with runtime_http(plain.replace("http://", f"http://{login}")) as http:
            runtime = RUNTIMES[kind](http)
            if "%40" in login:
                await runtime.probe()
                return
            with pytest.raises(RuntimeLostError, match=r"refuses us \(401\): give user"):
                await runtime.probe()
