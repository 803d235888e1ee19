"""The bound of open tasks, over two ingests, and when processes die while tasks are taken."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from harness import KEY_SECONDS, TASK_SECONDS, Stack, running_stack, text_to_image

from awsio import clients
from contracts.ids import Uid
from contracts.keys import Key, Quota, digest_of, new_key
from darkroom_cli.embedded.folder import Folder
from ledger.dynamodb import DynamoDbLedger
from ledger.open_tasks import Owner
from ledger.open_tasks_dynamodb import DynamoDbOpenTasks
from servicekit.listen import free_port

LIMIT = 50
SUBMISSIONS = 200


@pytest.fixture(scope="module")
def counted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack that looks for what a crash has left all the time."""
    folder: Path = tmp_path_factory.mktemp("counted")
    soon = {"NOTIFIER_SWEEP_INTERVAL": "PT1S", "NOTIFIER_SWEEP_AGE": "PT30S"}
    with running_stack(folder, extra=soon) as running:
        yield running


@contextmanager
def second_ingest(stack: Stack) -> Iterator[str]:
    """The endpoint of another ingest of the same stack."""
    first = stack.find("ingest.main")
    http, grpc, ops = free_port(), free_port(), free_port()
    environment = {
        **first.environ(),
        "INGEST_HTTP_PORT": str(http),
        "INGEST_GRPC_PORT": str(grpc),
        "INGEST_OPS_PORT": str(ops),
    }
    log = (stack.folder / "second-ingest.log").open("w")
    process = subprocess.Popen(first.cmdline(), env=environment, stdout=log, stderr=log)
    try:
        yield f"http://127.0.0.1:{http}"
    finally:
        process.terminate()
        process.wait(timeout=120)
        log.close()


def key_of(stack: Stack, name: str) -> str:
    """A key of a tenant of its own that may have so many open tasks."""
    secret, folder = new_key(), Folder(stack.folder)
    key = Key(
        name=name,
        tenant=name,
        sha256=digest_of(secret.encode()),
        rate_per_second=1e6,
        burst=10**6,
        quota=Quota(open_tasks=LIMIT),
    )
    folder.write_keys([*folder.read_keys(), key])
    return secret


async def knows(client: httpx.AsyncClient) -> None:
    """Wait until an ingest is there and knows the key of the client."""
    deadline = time.monotonic() + KEY_SECONDS
    while time.monotonic() < deadline:
        try:
            if (await client.get("/v1/runtimes")).is_success:
                return
        except httpx.HTTPError:
            pass  # it is not there yet
        await asyncio.sleep(0.1)
    raise AssertionError("the key is not known")


async def open_of(stack: Stack, name: str) -> tuple[frozenset[Uid], frozenset[Uid]]:
    """What is counted of a key, and the tasks of its tenant that are open."""
    table = stack.find("router.main").environ()["ROUTER_TABLE"]
    async with clients.dynamodb() as dynamodb:
        ledger = DynamoDbLedger(client=dynamodb, table=table)
        held = await DynamoDbOpenTasks(ledger=ledger).of(Owner(name, name))
        uids = await ledger.listed("by_tenant", name, "0")
        records = await ledger.many(uids)
    return held, frozenset(record.uid for record in records if not record.terminal)


async def settled(stack: Stack, name: str, *, none: bool = False) -> frozenset[Uid]:
    """Wait until just the open tasks are counted, or until none is open; gives them."""
    deadline = time.monotonic() + TASK_SECONDS
    while True:
        held, are_open = await open_of(stack, name)
        if held == are_open and not (none and held):
            return held
        assert time.monotonic() < deadline, f"counted: {len(held)}, open: {len(are_open)}"
        await asyncio.sleep(0.5)


async def submit_all(clients_: list[httpx.AsyncClient]) -> list[httpx.Response | BaseException]:
    async def submit(number: int) -> httpx.Response:
        client = clients_[number % len(clients_)]
        return await client.post("/v1alpha2", json={"task": text_to_image(f"q-{number}")})

    return await asyncio.gather(
        *(submit(number) for number in range(SUBMISSIONS)), return_exceptions=True
    )


def client(endpoint: str, key: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=endpoint, headers={"x-api-key": key}, timeout=120)


async def test_no_more_than_the_limit_are_taken_by_two_ingests_at_once(counted: Stack) -> None:
    key = key_of(counted, "racing")
    with counted.held(), second_ingest(counted) as endpoint:
        async with client(counted.info["endpoint"], key) as one, client(endpoint, key) as two:
            await asyncio.gather(knows(one), knows(two))
            answers = await submit_all([one, two])
        responses = [answer for answer in answers if isinstance(answer, httpx.Response)]

        assert Counter(response.status_code for response in responses) == {
            200: LIMIT,
            429: SUBMISSIONS - LIMIT,
        }
        for response in responses:
            if response.status_code == 429:
                told: dict[str, Any] = response.json()
                assert (told["code"], told["quota"]) == ("quota_exceeded", "open_tasks")
                assert (told["limit"], told["used"]) == (str(LIMIT), str(LIMIT))
                assert int(response.headers["retry-after"]) > 0
        accepted = {each.json()["uid"] for each in responses if each.status_code == 200}
        assert await settled(counted, "racing") == accepted

    for uid in accepted:
        async with client(counted.info["endpoint"], key) as owner:
            await owner.delete(f"/v1/tasks/{uid}")
    await settled(counted, "racing", none=True)


async def test_what_dying_processes_leave_is_swept(counted: Stack) -> None:
    key = key_of(counted, "dying")

    async def kill() -> None:
        for service in ("ingest.main", "router.main"):
            await asyncio.sleep(0.3)
            counted.find(service).send_signal(signal.SIGKILL)

    with counted.held():
        async with client(counted.info["endpoint"], key) as owner:
            await knows(owner)
            answers, _ = await asyncio.gather(submit_all([owner]), kill())
            await knows(owner)
            held = await settled(counted, "dying")

            accepted = {
                answer.json()["uid"]
                for answer in answers
                if isinstance(answer, httpx.Response) and answer.status_code == 200
            }
            assert accepted <= held
            assert len(held) <= LIMIT
            for uid in held:
                await owner.delete(f"/v1/tasks/{uid}")
    await settled(counted, "dying", none=True)
