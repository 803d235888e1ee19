"""The walls between tenants, from outside: every operation is asked with a foreign key."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import grpc
import httpx
import pytest
from harness import KEY_SECONDS, Stack, pipeline, task_service

from contracts.ids import new_uid
from contracts.keys import Key, KeyScope, digest_of, new_key
from darkroom.tasks.v1 import tasks_pb2
from darkroom_cli.embedded.folder import Folder

# What an operation that is not of one task answers to everybody.
FOR_OPERATORS = {
    ("post", "/v1/models"),
    ("get", "/v1/keys"),
    ("get", "/v1/dead-letters"),
    ("post", "/v1/dead-letters/redrive"),
    ("post", "/v1/dead-letters/purge"),
}
OF_NOBODY = {("get", "/v1/runtimes"), ("get", "/v1/models")}
WEBHOOKS = "/v1/webhooks"
SUBMISSIONS = {("post", "/v1alpha1"), ("post", "/v1alpha2")}


@pytest.fixture(scope="module")
def keys(stack: Stack) -> dict[str, str]:
    """A key of each scope, of a tenant, and one of another tenant."""
    folder, made = Folder(stack.folder), {}
    for name, tenant, scope in (
        ("studio-reads", "studio", KeyScope.READ),
        ("studio", "studio", KeyScope.SUBMIT),
        ("rival", "rival", KeyScope.SUBMIT),
    ):
        made[name] = new_key()
        key = Key(name=name, tenant=tenant, scope=scope, sha256=digest_of(made[name].encode()))
        folder.write_keys([*folder.read_keys(), key])
    return made


def client(stack: Stack, key: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        base_url=stack.info["endpoint"], headers={"x-api-key": key}, timeout=120
    )


@pytest.fixture
async def rival(stack: Stack, keys: dict[str, str]) -> AsyncIterator[httpx.AsyncClient]:
    """A client of another tenant, whose key ingest has read."""
    async with client(stack, keys["rival"]) as opened:
        deadline = time.monotonic() + KEY_SECONDS
        while (await opened.get("/v1/runtimes")).status_code == 401:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.1)
        yield opened


@pytest.fixture
async def task(stack: Stack, keys: dict[str, str], rival: httpx.AsyncClient) -> dict[str, Any]:
    """A task of a tenant that has ended, as that tenant sees it."""
    async with client(stack, keys["studio"]) as owner:
        sent = pipeline(f"walls-{new_uid()}", seed=1)
        answer = await owner.post(
            "/v1alpha2", json={"task": sent}, headers={"Prefer": "wait=60"}
        )
        assert answer.status_code == 200, answer.text
        await stack.until(answer.json()["uid"], "completed")
        found = await owner.get(f"/v1/tasks/{answer.json()['uid']}")
    seen: dict[str, Any] = found.json()
    return seen


@pytest.fixture
async def webhook(stack: Stack) -> AsyncIterator[str]:
    """The id of a webhook of the tenant."""
    new = {"url": "http://127.0.0.1:9/", "events": ["failed"], "runtime": "sddynamic"}
    async with stack.client() as admin:
        params = {"tenant": "studio"}
        made = await admin.post("/v1/webhooks", json=new, params=params)
        assert made.status_code == 201, made.text
        yield made.json()["id"]
        await admin.delete(f"/v1/webhooks/{made.json()['id']}", params=params)


async def refused_webhook(rival: httpx.AsyncClient, method: str, url: str) -> None:
    """Neither by itself nor by the name of its tenant is another's webhook there."""
    named = await rival.request(method, url, params={"tenant": "studio"})
    assert (named.status_code, named.json()["code"]) == (403, "forbidden"), (method, url)
    plain = await rival.request(method, url)
    if (method, url) == ("get", "/v1/webhooks"):
        assert plain.json() == {"webhooks": []}
    elif method == "get":
        assert (plain.status_code, plain.json()["code"]) == (404, "webhook_not_found")
    else:
        assert (plain.status_code, plain.json()["code"]) == (403, "forbidden")


async def unknown_task(
    rival: httpx.AsyncClient, method: str, path: str, task: dict[str, Any]
) -> None:
    """By none of its names is another's task there."""
    for name in (task["uid"], task["id"]):
        url = path.replace("{id}", name)
        for query in ({}, {"links": "60"}):
            answer = await rival.request(method, url, params=query)
            assert answer.status_code == 404, (method, url)
            assert answer.json()["code"] == "task_not_found"


async def test_no_operation_of_rest_has_another_tenants_webhook(
    rival: httpx.AsyncClient, webhook: str
) -> None:
    document = (await rival.get("/openapi.json")).json()
    for path, operations in document["paths"].items():
        for method in operations if WEBHOOKS in path else ():
            await refused_webhook(rival, method, path.replace("{id}", webhook))


async def own_usage(rival: httpx.AsyncClient, path: str, _: dict[str, Any]) -> None:
    told = (await rival.get(path, params={"group_by": "tenant"})).json()
    assert {each["name"] for each in told["groups"]} <= {"rival"}


async def own_overview(rival: httpx.AsyncClient, path: str, _: dict[str, Any]) -> None:
    seen = (await rival.get(path)).json()
    hidden = ("queued", "running", "oldest_wait_seconds", "dead_letters")
    assert {each[name] for each in seen["runtimes"] for name in hidden} == {None}
    assert seen["webhook_dead_letters"] is None


async def own_tasks(rival: httpx.AsyncClient, path: str, task: dict[str, Any]) -> None:
    listed = (await rival.get(path, params={"limit": 100})).json()
    assert task["uid"] not in {each["uid"] for each in listed["tasks"]}
    assert {each["tenant"] for each in listed["tasks"]} <= {"rival"}
    named = await rival.get(path, params={"tenant": "studio"})
    assert (named.status_code, named.json()["code"]) == (403, "forbidden")


# What tells everybody of their own.
OWN = {"/v1/usage": own_usage, "/v1/overview": own_overview, "/v1/tasks": own_tasks}


async def test_no_operation_of_rest_tells_another_tenant_of_a_task(
    rival: httpx.AsyncClient, task: dict[str, Any]
) -> None:
    document = (await rival.get("/openapi.json")).json()
    for path, operations in document["paths"].items():
        for method in operations:
            if WEBHOOKS in path or (method, path) in FOR_OPERATORS:
                continue  # the tests before and after
            if "{id}" in path:
                await unknown_task(rival, method, path, task)
            elif path in OWN:
                await OWN[path](rival, path, task)
            else:
                assert (method, path) in OF_NOBODY | SUBMISSIONS, "not on this list yet"


async def test_what_is_for_operators_is_refused_to_everybody_else(
    rival: httpx.AsyncClient,
) -> None:
    for method, path in FOR_OPERATORS:
        refused = await rival.request(method, path, json={"messages": None})
        assert (refused.status_code, refused.json()["code"]) == (403, "forbidden"), path


async def test_no_api_of_another_server_tells_another_tenant_of_a_task(
    rival: httpx.AsyncClient, task: dict[str, Any]
) -> None:
    (url,) = task["image_url"]
    file = {"filename": url.rpartition("/")[2], "subfolder": task["uid"], "type": "output"}
    for name in (task["uid"], task["id"]):
        assert (await rival.get(f"/history/{name}")).json() == {}
    assert task["id"] not in (await rival.get("/history")).json()
    assert (await rival.get("/view", params=file)).status_code == 404
    assert (await rival.get("/queue")).json() == {"queue_running": [], "queue_pending": []}
    progress = (await rival.get("/runtimes/sdruntime/sdapi/v1/progress")).json()
    assert progress["state"]["job_count"] == 0


async def test_no_method_of_grpc_tells_another_tenant_of_a_task(
    stack: Stack, keys: dict[str, str], rival: httpx.AsyncClient, task: dict[str, Any]
) -> None:
    given: Any = {"metadata": (("x-api-key", keys["rival"]),), "timeout": 120}
    asked = {
        "GetTask": tasks_pb2.GetTaskRequest,
        "CancelTask": tasks_pb2.CancelTaskRequest,
        "WatchTask": tasks_pb2.WatchTaskRequest,
    }
    service = tasks_pb2.DESCRIPTOR.services_by_name["TaskService"]
    assert {method.name for method in service.methods} == {*asked, "SubmitTask", "ListTasks"}
    async with grpc.aio.insecure_channel(stack.info["grpc"]) as channel:
        stub = task_service(channel)
        for method, request in asked.items():
            for name in (task["uid"], task["id"]):
                call = getattr(stub, method)(request(id=name), **given)
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await (call.read() if method == "WatchTask" else call)
                assert caught.value.code() is grpc.StatusCode.NOT_FOUND
        listed = await stub.ListTasks(tasks_pb2.ListTasksRequest(limit=100), **given)
    assert task["uid"] not in {each.uid for each in listed.tasks}


async def test_the_same_id_is_another_task_for_each_tenant(
    rival: httpx.AsyncClient, task: dict[str, Any]
) -> None:
    answer = await rival.post("/v1alpha2", json={"task": pipeline(task["id"], seed=2)})
    theirs = (await rival.get(f"/v1/tasks/{task['id']}")).json()

    assert (theirs["uid"], theirs["tenant"]) == (answer.json()["uid"], "rival")
    assert theirs["uid"] != task["uid"]


async def test_a_key_that_reads_sees_its_tenants_tasks_and_changes_nothing(
    stack: Stack, keys: dict[str, str], task: dict[str, Any]
) -> None:
    async with client(stack, keys["studio-reads"]) as reader:
        seen = await reader.get(f"/v1/tasks/{task['id']}")
        listed = await reader.get("/v1/tasks", params={"limit": 100})
        refused = [
            await reader.delete(f"/v1/tasks/{task['uid']}"),
            await reader.post("/v1alpha2", json={"task": pipeline("no", seed=1)}),
            await reader.post("/v1alpha1", json={}),
        ]

    assert seen.json()["uid"] == task["uid"]
    assert task["uid"] in {each["uid"] for each in listed.json()["tasks"]}
    assert [answer.json()["code"] for answer in refused] == ["forbidden"] * 3


async def test_an_operator_sees_the_tasks_of_every_tenant(
    stack: Stack, task: dict[str, Any]
) -> None:
    assert (await stack.task(task["uid"]))["tenant"] == "studio"
