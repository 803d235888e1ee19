from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from router_fakes import NOW, OPERATOR, READER, World

from contracts.callback import Failure
from contracts.ids import Prefix, TaskId, Uid, claim_key, new_uid
from contracts.kinds import Extra, TaskType
from contracts.original import uid_of_message
from contracts.runtimes import WEBHOOKS
from contracts.state import TaskState
from ledger.record import Record
from router import dead_letters
from router.dead_letters import Fate
from router.domain import DeadLetter
from servicekit.errors import RejectedError

FAILED = Failure(code="poisoned", message="given up", retryable=True)


def record(world: World, **changes: Any) -> Record:
    made = Record(
        uid=new_uid(), id=TaskId("order-7"), tenant="rival", key="bot", runtime="fixed",
        tasktype=TaskType.TEXT_TO_IMAGE, bucket="outputbucket", prefix=Prefix("mine"),
        context_json='{"order":7}', created_at=NOW, include=(Extra.COST,),
    )  # fmt: skip
    made = replace(made, **changes)
    world.ledger.records[made.uid] = made
    return made


def failed(world: World) -> Record:
    return record(world, state=TaskState.FAILED, error=FAILED, finished_at=NOW)


def message(uid: Uid, **changes: Any) -> str:
    body = {
        "uid": uid, "id": "order-7", "runtime": "fixed", "tasktype": "text-to-image",
        "prefix": "mine", "bucket": "outputbucket", "accepted_at": "2026-01-01T00:00:00Z",
        "timeout_seconds": 90, "inputs": ["mask"], "previews": "keep",
        "content": {"prompt": "A dog"},
    }  # fmt: skip
    return json.dumps({name: v for name, v in {**body, **changes}.items() if v is not None})


def park(world: World, body: str, queue: str = "fixed", reason: str = "") -> DeadLetter:
    number = len(world.queues.letters)
    letter = DeadLetter(
        message_id=f"m{number}", queue=queue, body=body, receipt="r", reason=reason,
        sent_at=NOW + timedelta(seconds=number),
    )  # fmt: skip
    world.queues.letters.append(letter)
    return letter


async def test_messages_are_listed_newest_first_with_what_is_known(world: World) -> None:
    task = failed(world)
    park(world, message(task.uid))
    park(world, "garbage", "comfy")
    park(world, message(new_uid()))
    park(world, json.dumps({"kind": "event", "uid": task.uid}), WEBHOOKS, "12 tries")

    found = await world.dead_letters.look(OPERATOR, "", 50)

    assert [(e.about.letter.message_id, e.about.uid, e.id, e.reason) for e in found] == [
        ("m3", task.uid, "order-7", "12 tries"),
        ("m2", found[1].about.uid, "order-7", "its task is not known any more"),
        ("m1", None, "", "it is no task message"),
        ("m0", task.uid, "order-7", "poisoned: given up"),
    ]
    few = await world.dead_letters.look(OPERATOR, "fixed", 1)
    assert [each.about.letter.queue for each in few] == ["fixed"]
    assert world.queues.held == set()


async def test_only_operators_look_redrive_and_purge(world: World) -> None:
    letters = world.dead_letters
    for call in (
        lambda: letters.look(READER, "", 1),
        lambda: letters.redrive(READER, "", None),
        lambda: letters.purge(READER, "", None),
    ):
        with pytest.raises(RejectedError) as caught:
            await call()
        assert caught.value.code == "forbidden"


async def test_a_queue_that_is_not_there_is_told_with_those_that_are(world: World) -> None:
    with pytest.raises(RejectedError, match="there are: fixed, dynamic, comfy, webhooks"):
        await world.dead_letters.purge(OPERATOR, "sdruntime", None)


async def test_a_task_that_has_not_ended_goes_on_as_it_is(world: World) -> None:
    task = record(world)
    letter = park(world, message(task.uid))

    [outcome] = await world.dead_letters.redrive(OPERATOR, "", None)

    assert (outcome.fate, outcome.uid) == (Fate.REDRIVEN, task.uid)
    assert world.queues.sent == [("fixed", letter.body)]
    assert (world.queues.letters, world.topic.published) == ([], [])


async def test_an_ended_task_is_submitted_again_for_its_tenant_with_all_it_had(
    world: World,
) -> None:
    task = failed(world)
    park(world, message(task.uid))

    [outcome] = await world.dead_letters.redrive(OPERATOR, "fixed", None)

    [(runtime, _, sent)] = world.topic.published
    new = world.ledger.records[Uid(outcome.uid)]
    assert new.uid != task.uid
    assert (new.tenant, new.key, new.id, new.context_json, new.include) == (
        "rival", "bot", "order-7", '{"order":7}', (Extra.COST,)
    )  # fmt: skip
    assert (runtime, sent.uid, sent.prefix, sent.content) == (
        "fixed", new.uid, "mine", {"prompt": "A dog"}
    )  # fmt: skip
    assert (sent.timeout_seconds, sent.inputs, sent.previews) == (90, ("mask",), "keep")
    assert world.queues.letters == []


async def test_a_redrive_whose_end_was_lost_makes_no_second_task(world: World) -> None:
    letter = park(world, message(failed(world).uid))
    [first] = await world.dead_letters.redrive(OPERATOR, "", None)
    world.queues.letters = [letter]  # it was not deleted after all

    [second] = await world.dead_letters.redrive(OPERATOR, "", None)

    assert second.uid == first.uid
    assert len(world.topic.published) == 1


async def test_a_large_body_comes_from_where_it_is_kept(world: World) -> None:
    task = failed(world)
    key = claim_key(task.uid)
    park(world, message(task.uid, content=None, content_key=key))

    [lost] = await world.dead_letters.redrive(OPERATOR, "", None)
    world.claims.bodies[key] = b'{"prompt":"A cat"}'
    [found] = await world.dead_letters.redrive(OPERATOR, "", None)

    assert (lost.fate, lost.reason) == (Fate.KEPT, "it is gone")
    assert found.fate is Fate.REDRIVEN
    assert world.topic.published[0][2].content == {"prompt": "A cat"}


async def test_a_message_of_the_original_is_submitted_as_a_task(world: World) -> None:
    asked = {"id": "a", "runtime": "legacy", "tasktype": "text-to-image"}
    letter = park(world, json.dumps({"metadata": asked, "content": {"prompt": "A dog"}}))
    uid = uid_of_message(letter.message_id, letter.sent_at)
    record(world, uid=uid, state=TaskState.FAILED, error=FAILED, finished_at=NOW)

    [outcome] = await world.dead_letters.redrive(OPERATOR, "", None)

    assert outcome.fate is Fate.REDRIVEN
    assert world.topic.published[0][2].content == {"prompt": "A dog"}


async def test_what_cannot_be_done_stays_and_says_why(world: World) -> None:
    park(world, "garbage")
    park(world, message(new_uid()))
    gone = failed(world)
    park(world, message(gone.uid, runtime="nosuch"))
    world.queues.down = True
    park(world, message(record(world).uid))

    told = await world.dead_letters.redrive(OPERATOR, "", None)

    assert [each.fate for each in told] == [Fate.KEPT] * 4
    assert [each.reason.split(";")[0] for each in told] == [
        "it is no task message",
        "its task is not known any more",
        "runtime 'nosuch' does not exist",
        "the queue is out of reach",
    ]
    assert len(world.queues.letters) == 4


async def test_a_message_of_webhooks_is_sent_again(world: World) -> None:
    letter = park(world, '{"kind":"event"}', WEBHOOKS)

    [outcome] = await world.dead_letters.redrive(OPERATOR, WEBHOOKS, None)

    assert (outcome.fate, outcome.uid) == (Fate.REDRIVEN, "")
    assert world.queues.sent == [(WEBHOOKS, letter.body)]


async def test_only_what_is_named_is_purged(world: World) -> None:
    for body in ("a", "b", "c"):
        park(world, body)

    told = await world.dead_letters.purge(OPERATOR, "", frozenset({"m1", "m9"}))

    assert {each.message_id: each.fate for each in told} == {
        "m1": Fate.PURGED, "m9": Fate.NOT_FOUND
    }  # fmt: skip
    assert [letter.body for letter in world.queues.letters] == ["a", "c"]
    assert len(await world.dead_letters.purge(OPERATOR, "fixed", None)) == 2
    assert world.queues.letters == []


async def test_a_call_ends_when_its_time_is_over(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dead_letters, "BUDGET", timedelta(seconds=-1))
    park(world, "a")

    named = await world.dead_letters.purge(OPERATOR, "", frozenset({"m0"}))

    assert await world.dead_letters.purge(OPERATOR, "", None) == []
    assert [(each.fate, each.reason) for each in named] == [(Fate.KEPT, dead_letters.NO_TIME)]
    assert len(world.queues.letters) == 1
