from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest
from notifier_fakes import DONE, NEVER, NOW, RECORD, UID, World

from awsio import clients
from contracts.ids import Uid, new_uid
from contracts.kinds import RuntimeType
from contracts.message import TaskMessage
from contracts.runtimes import Runtime
from ledger.record import DIRECT, POISONED, Record
from notifier.adapters.sqs import SqsDeadLetters
from notifier.domain import Parked, callback_of
from notifier.parked import LOOK_AGAIN, CloseParked
from provisioning.resources import provision
from servicekit.errors import FatalError

OTHER = Uid("01JD0000000000000000000001")


def message(uid: Uid = UID) -> str:
    return TaskMessage(
        uid=uid,
        id=RECORD.id,
        runtime=RECORD.runtime,
        tasktype=RECORD.tasktype,
        prefix=RECORD.prefix,
        bucket=RECORD.bucket,
        accepted_at=NOW,
        content={},
    ).model_dump_json()


@dataclass
class FakeDeadLetters:
    """Holds bodies, counts looks, or refuses."""

    uids: list[Uid] = field(default_factory=list)
    new: Record | None = None
    name: str = "sdruntime-dlq"
    denied: bool = False
    looks: int = 0
    refused: asyncio.Event = field(default_factory=asyncio.Event)

    async def count(self) -> int:
        if self.denied:
            self.refused.set()
            raise FatalError("AWS refused sqs.get_queue_attributes: AccessDenied")
        return len(self.uids)

    async def look(self) -> AsyncGenerator[Parked, None]:
        self.looks += 1
        for uid in list(self.uids):
            yield Parked(uid=uid, new=self.new)


@dataclass
class Clock:
    """Stands still until it is set."""

    seconds: float = 0.0

    def __call__(self) -> float:
        return self.seconds


def closing(
    world: World,
    *queues: FakeDeadLetters,
    interval: timedelta = NEVER,
    clock: Clock | None = None,
) -> CloseParked:
    return CloseParked(
        queues=queues, settle=world.settle, interval=interval, clock=clock or Clock()
    )


async def test_a_queued_task_whose_message_is_parked_is_poisoned_and_told_once(
    world: World,
) -> None:
    queue = FakeDeadLetters([UID, UID])
    assert await closing(world, queue).look(queue) == 1
    error = world.record.error
    assert error is not None
    assert (error.code, error.retryable) == (POISONED, True)
    assert error.message == (
        "given up: its message is in the dead-letter queue, after 0 attempts, "
        "of which the platform failed 0"
    )
    assert world.callbacks == [callback_of(world.record)]


async def test_the_reason_of_the_last_attempt_is_told(world: World) -> None:
    await world.settle.begin(UID, "agent-1", 1)
    await world.settle.release(UID, 1, interrupted=False, reason="S3 is out of reach")
    queue = FakeDeadLetters([UID])
    await closing(world, queue).look(queue)
    assert world.record.error is not None
    assert world.record.error.message.endswith(
        "after 1 attempts, of which the platform failed 1; the last time: S3 is out of reach"
    )


async def test_a_task_whose_agent_was_lost_is_poisoned_too(world: World) -> None:
    await world.settle.begin(UID, "agent-1", 1)
    queue = FakeDeadLetters([UID])
    assert await closing(world, queue).look(queue) == 1
    assert world.record.poisoned


async def test_a_task_that_was_taken_back_is_cancelled(world: World) -> None:
    await world.ledger.mark_cancelled(UID)
    queue = FakeDeadLetters([UID])
    assert await closing(world, queue).look(queue) == 1
    assert world.callbacks[0].status == "cancelled"


async def test_an_ended_task_and_an_unknown_one_change_nothing(
    world: World,
) -> None:
    await world.settle.finish(UID, DONE)
    before = world.record
    queue = FakeDeadLetters([UID, OTHER])
    assert await closing(world, queue).look(queue) == 0
    assert world.record == before
    assert len(world.callbacks) == 1


async def test_a_task_that_never_had_a_record_gets_one_and_is_told(world: World) -> None:
    new = replace(RECORD, uid=OTHER, tenant=DIRECT)
    queue = FakeDeadLetters([OTHER, OTHER], new=new)
    assert await closing(world, queue).look(queue) == 1
    assert world.ledger.records[OTHER].poisoned
    assert [callback.uid for callback in world.callbacks] == [OTHER]


async def test_messages_are_looked_at_again_when_their_number_changes(world: World) -> None:
    queue, clock = FakeDeadLetters(), Clock()
    close = closing(world, queue, clock=clock)
    await close.look(queue)
    assert queue.looks == 0
    queue.uids.append(UID)
    await close.look(queue)
    await close.look(queue)
    assert queue.looks == 1
    queue.uids.append(OTHER)
    await close.look(queue)
    assert queue.looks == 2


async def test_messages_are_looked_at_again_after_a_while_in_any_case(world: World) -> None:
    queue, clock = FakeDeadLetters([UID]), Clock()
    close = closing(world, queue, clock=clock)
    await close.look(queue)
    queue.uids[0] = OTHER
    world.ledger.records[OTHER] = replace(RECORD, uid=OTHER)
    clock.seconds += LOOK_AGAIN.total_seconds()
    assert await close.look(queue) == 1


async def test_a_look_that_failed_is_repeated_though_the_number_is_the_same(
    world: World,
) -> None:
    queue = FakeDeadLetters([UID])
    close = closing(world, queue)
    world.topic.down = True
    with pytest.raises(Exception, match="SNS is down"):
        await close.look(queue)
    world.topic.down = False
    await close.look(queue)
    assert queue.looks == 2


async def test_a_queue_that_may_not_be_read_keeps_nobody_from_the_others(world: World) -> None:
    denied, other = FakeDeadLetters(denied=True), FakeDeadLetters([UID], name="other")
    stop = asyncio.Event()
    close = closing(world, denied, other, interval=timedelta(milliseconds=1))
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        group.create_task(close.run_until_stopped(stop), name="close-parked")
        await world.topic.accepted.wait()
        assert denied.refused.is_set()
        stop.set()
    assert world.record.poisoned


async def test_sqs_shows_what_is_parked_and_keeps_it_visible(aws: str) -> None:
    runtime = Runtime(name="sdruntime", type=RuntimeType.SDWEBUI)
    made = await provision(f"notifier-{new_uid().lower()}", [runtime])
    async with clients.sqs() as sqs:
        queue = SqsDeadLetters(client=sqs, url=made.dead_letter_queues["sdruntime"])
        uids = {new_uid() for _ in range(11)}
        for body in ("no task", *map(message, uids)):
            await sqs.send_message(QueueUrl=queue.url, MessageBody=body)
        assert queue.name.endswith("-sdruntime-dlq")
        for _ in range(2):
            assert await queue.count() == 12
            found = {parked.uid async for parked in queue.look()}
            assert uids < found
            assert len(found) == 12


@pytest.mark.parametrize("runtime", ["sdruntime", "SdRuntime", "legacy"])
async def test_the_originals_message_is_a_task_of_the_runtime_of_its_queue(
    aws: str, runtime: str
) -> None:
    made = await provision(
        (stack := f"notifier-{new_uid().lower()}"),
        [Runtime(name="sdruntime", type=RuntimeType.SDWEBUI)],
    )
    asked = {"id": "a", "tasktype": "text-to-image", "context": {"n": 1}}
    bodies = [
        {"metadata": {**asked, "runtime": name}, "content": {"prompt": "x"}}
        for name in (runtime, "other")
    ]
    async with clients.sqs() as sqs:
        url = made.dead_letter_queues["sdruntime"]
        queue = SqsDeadLetters(client=sqs, url=url, prefix=stack, bucket="outputbucket")
        for body in bodies:
            await sqs.send_message(QueueUrl=queue.url, MessageBody=json.dumps(body))
        found = [parked async for parked in queue.look()]

    ((uid, new),) = [(one.uid, one.new) for one in found if one.new]
    assert len(found) == 2
    assert (new.uid, new.id, new.runtime, new.tenant) == (uid, "a", "sdruntime", DIRECT)
    assert (new.place.location, new.context_json) == ("s3://outputbucket/output/a", '{"n":1}')
