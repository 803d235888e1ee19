from __future__ import annotations

import pytest
from router_fakes import NOW, READER, World, task

from contracts.state import TaskState
from ledger.record import Result
from servicekit.errors import RejectedError, TransientError

DONE = Result(image_url=("s3://b/1.png",), output_url="s3://b/x.out")


async def test_a_queued_task_is_cancelled_at_once(world: World) -> None:
    record = await world.submit(task())
    cancelled = await world.cancel(record.uid, READER)
    assert (cancelled.state, cancelled.cancel_requested) == (TaskState.CANCELLED, True)
    assert world.notifier.asked == [record.uid]


async def test_a_task_that_waits_at_its_runtime_is_cancelled_at_once(world: World) -> None:
    record = await world.submit(task())
    await world.ledger.begin(record.uid, NOW, staged=True)
    assert (await world.cancel(record.uid, READER)).state is TaskState.CANCELLED


async def test_a_running_task_is_marked_for_its_agent_however_often(world: World) -> None:
    record = await world.submit(task())
    await world.ledger.begin(record.uid, NOW)
    for _ in range(2):
        cancelled = await world.cancel(record.uid, READER)
        assert (cancelled.state, cancelled.cancel_requested) == (TaskState.RUNNING, True)


@pytest.mark.parametrize("result", [DONE, Result(cancelled=True)])
async def test_a_finished_task_cannot_be_taken_back(world: World, result: Result) -> None:
    record = await world.submit(task())
    await world.ledger.finish(record.uid, result, NOW)
    with pytest.raises(RejectedError, match=result.state) as caught:
        await world.cancel(record.uid, READER)
    assert caught.value.code == "already_finished"


@pytest.mark.parametrize("name", ["none", "../x", "01JD0000000000000000000009"])
async def test_what_does_not_exist_cannot_be_taken_back(world: World, name: str) -> None:
    with pytest.raises(RejectedError) as caught:
        await world.cancel(name, READER)
    assert caught.value.code == "task_not_found"


async def test_an_outage_of_the_notifier_leaves_the_mark_and_may_be_repeated(
    world: World,
) -> None:
    record = await world.submit(task())
    world.notifier.down = True
    with pytest.raises(TransientError):
        await world.cancel(record.uid, READER)
    assert world.ledger.records[record.uid].cancel_requested
    world.notifier.down = False
    assert (await world.cancel(record.uid, READER)).state is TaskState.CANCELLED
