"""What the fault injector says of webhooks and of open tasks."""

from __future__ import annotations

import random
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from awsio import clients
from contracts.ids import new_uid
from darkroom_bench import fault_hooks
from darkroom_bench.fault_hooks import Receiver, broken_promises, still_counted
from darkroom_bench.fault_load import Told
from ledger.dynamodb import DynamoDbLedger
from ledger.open_tasks import Owner
from ledger.open_tasks_dynamodb import DynamoDbOpenTasks
from provisioning.resources import provision
from testkit.aws import aws

__all__ = ["aws"]

SHARED = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
CALLBACK = {"uid": "a", "status": "completed", "image_url": ["s3://b/k"]}


def event(**changes: Any) -> Told:
    more = {"type": "task.completed", "timestamp": "2026-01-02T03:04:05Z"}
    return Told("", {**CALLBACK, **more, **changes}, 0.0)


def problems(
    heard: dict[str, list[Told]], parked: dict[str, Any], status: str = "completed"
) -> list[str]:
    return broken_promises({"a": "rival"}, {"a": {**CALLBACK, "status": status}}, heard, parked)


def test_an_event_that_is_due_is_delivered_or_in_the_dlq() -> None:
    assert problems({"a": [event(), event()]}, {}) == []
    assert problems({}, {"a": []}) == []
    assert problems({}, {}) == ["a: no event, and none in the DLQ"]
    assert problems({}, {}, status="failed") == []  # which this tenant's webhook does not want


def test_an_event_is_its_callback_and_comes_to_those_who_asked() -> None:
    found = problems({"a": [event(image_url=[])]}, {})
    assert found == ["a: an event that is not its callback"]
    found = problems({"a": [event()]}, {}, status="failed")
    assert found == ["a: an event that nobody asked for"]


@pytest.mark.usefixtures("aws")
async def test_what_counts_as_open_at_the_end_is_named() -> None:
    resources, uid = await provision("hooked", []), new_uid()
    async with clients.dynamodb() as client:
        open_tasks = DynamoDbOpenTasks(
            ledger=DynamoDbLedger(client=client, table=resources.table)
        )
        owner = Owner("rival", "bot")
        await open_tasks.take(owner, uid, 4)
        counted = await still_counted(resources.table, 0)
        assert counted == [f"{uid}: counts as an open task of rival"]

        await open_tasks.give_back(owner, uid)
        assert await still_counted(resources.table, 0) == []


async def test_a_request_that_is_not_signed_is_a_violation(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fault_hooks, "FAILS", -1)
    receiver = Receiver(rng=random.Random(1), secrets={"rival": SHARED})  # noqa: S311
    app = web.Application()
    app.router.add_post("/{tenant}", receiver.handle)
    headers = {"webhook-id": "m", "webhook-timestamp": "1", "webhook-signature": "v1,x"}
    async with (
        TestServer(app) as server,
        aiohttp.ClientSession() as session,
        session.post(server.make_url("/rival"), headers=headers) as answer,
    ):
        assert answer.status == 400

    (forged,) = receiver.forged
    assert "rival" in forged
    assert receiver.kept == {}
