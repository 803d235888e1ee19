from __future__ import annotations

import json
import random
from dataclasses import replace
from datetime import timedelta

import pytest
from router_fakes import NOW, OPERATOR, READER, World, task

from awsio import clients
from contracts.ids import new_uid
from contracts.kinds import Extra, Previews, TaskType
from provisioning.resources import provision
from router.adapters.dynamodb import dynamodb_requests
from router.domain import Reader, Submission
from router.requests import LARGEST, PACKED, NoRequests, ReadRequest, packed, unpacked
from servicekit.errors import RejectedError

FULL = task(
    context_json='{"order":7}', timeout=timedelta(seconds=90), inputs=("mask",),
    previews=Previews.KEEP, include=(Extra.COST,), callback_url="https://a.example.com/?t=s",
)  # fmt: skip


async def submitted(world: World, sent: Submission) -> Submission:
    await world.submit(sent)
    record = world.ledger.records[sent.uid]
    world.ledger.records[sent.uid] = replace(record, created_at=NOW - timedelta(days=1))
    return sent


async def test_a_request_is_given_as_v1alpha2_takes_it(world: World) -> None:
    sent = await submitted(world, replace(FULL, callback_url=""))

    for name in (sent.uid, sent.id):
        told = await world.read_request(name, READER)
        assert told["task"]["content"] == {"prompt": "a dog"}
        assert told["task"]["metadata"] == {
            "id": "test-t2i", "runtime": "fixed", "tasktype": "text-to-image",
            "prefix": "output", "context": {"order": 7}, "timeout_seconds": 90,
            "inputs": ["mask"], "previews": "keep", "include": ["cost"],
        }  # fmt: skip


def test_no_files_and_no_context_are_said_as_they_were() -> None:
    body = packed(task(inputs=(), context_json="null"), "fixed")

    assert body is not None
    metadata = unpacked(body)["task"]["metadata"]
    assert (metadata["inputs"], metadata["context"]) == ("none", None)
    assert "timeout_seconds" not in metadata


def test_a_checkpoint_is_where_clients_name_it() -> None:
    content = b'{"prompt":"x","alwayson_scripts":{"controlnet":{"args":[]}}}'
    body = packed(task(content_json=content, checkpoint="a.safetensors"), "dynamic")

    assert body is not None
    assert unpacked(body)["task"]["content"] == {
        "prompt": "x",
        "alwayson_scripts": {
            "controlnet": {"args": []},
            "sd_model_checkpoint": "a.safetensors",
        },
    }


def test_a_url_that_may_have_a_secret_is_not_kept() -> None:
    body = packed(FULL, "fixed")

    assert body is not None
    assert "example.com" not in json.dumps(unpacked(body))


def test_what_is_large_is_kept_if_it_packs_well() -> None:
    chance = random.Random(1)  # noqa: S311  # no secret
    noise = json.dumps({"prompt": chance.randbytes(PACKED).hex()}).encode()
    plain = b'{"prompt":"' + b"x" * (LARGEST - 13) + b'"}'

    assert packed(task(content_json=noise), "fixed") is None
    assert packed(task(content_json=plain), "fixed") is not None
    assert packed(task(content_json=plain + b"   "), "fixed") is None


async def test_a_request_of_another_tenant_is_one_of_no_task(world: World) -> None:
    sent = await submitted(world, task())

    with pytest.raises(RejectedError) as caught:
        await world.read_request(sent.uid, Reader(tenant="rival"))
    assert caught.value.code == "task_not_found"
    assert world.requests.asked == []
    assert (await world.read_request(sent.uid, OPERATOR))["task"]["metadata"]["id"] == sent.id


async def test_a_request_that_is_not_kept_is_refused_with_the_reason(world: World) -> None:
    sent = await submitted(world, task(content_json=b'{"a":"' + b"x" * LARGEST + b'"}'))
    nothing = ReadRequest(look_up=world.look_up, requests=NoRequests(), now=lambda: NOW)

    for read in (world.read_request, nothing):
        with pytest.raises(RejectedError, match="too large") as caught:
            await read(sent.uid, READER)
        assert caught.value.code == "request_not_kept"


async def test_a_request_that_is_about_to_be_written_is_waited_for(world: World) -> None:
    sent = task()
    world.now = (await world.submit(sent)).created_at
    world.requests.late = {sent.uid: world.requests.bodies.pop(sent.uid)}

    told = await world.read_request(sent.uid, READER)

    assert len(world.requests.asked) == 2
    assert told["task"]["content"] == {"prompt": "a dog"}


async def test_what_was_refused_is_not_kept(world: World) -> None:
    with pytest.raises(RejectedError):
        await world.submit(task(tasktype=TaskType.PIPELINE))
    assert world.requests.bodies == {}


async def test_kept_requests_are_written_and_found(aws: str) -> None:
    table = (await provision(f"router-{new_uid().lower()}", [])).table
    uids = [new_uid() for _ in range(40)]
    async with clients.dynamodb() as client:
        async with dynamodb_requests(client, table) as requests:
            for number, uid in enumerate(uids):
                requests.keep(uid, bytes([number]) * 9000, NOW)

        found = [await requests.of(uid) for uid in uids]
        assert found == [bytes([number]) * 9000 for number in range(40)]
        assert await requests.of(new_uid()) is None


async def test_requests_that_cannot_be_written_trouble_nobody(aws: str) -> None:
    async with (
        clients.dynamodb() as client,
        dynamodb_requests(client, "nosuch") as requests,
    ):
        requests.keep(new_uid(), b"x", NOW)
