from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest

import router.batches as router_batches
from router.batches import Batches, BatchLimits, End, batching
from servicekit.errors import FatalError, TransientError

NEVER = timedelta(hours=1)


@dataclass
class Topic:
    """Takes batches, each only when it is let, and refuses what it is told to."""

    wrong: dict[str, End] = field(default_factory=dict)
    down: TransientError | FatalError | None = None
    calls: list[list[str]] = field(default_factory=list)
    called: asyncio.Event = field(default_factory=asyncio.Event)
    let: asyncio.Event = field(default_factory=asyncio.Event)

    async def send(self, entries: Sequence[str]) -> list[End]:
        self.calls.append(list(entries))
        self.called.set()
        await self.let.wait()
        if self.down:
            raise self.down
        return [self.wrong.get(entry) for entry in entries]

    async def hold(self, batches: Batches[str], group: asyncio.TaskGroup) -> None:
        """Have one call out, so that others are waited for."""
        group.create_task(batches.put("first", 1))
        await self.called.wait()
        self.called.clear()


def limits(
    *, entries: int = 3, size: int = 100, linger: timedelta = NEVER, calls: int = 9
) -> BatchLimits:
    return BatchLimits(entries=entries, size=size, linger=linger, calls=calls)


def stopped(topic: Topic) -> AbstractAsyncContextManager[Batches[str]]:
    return batching(topic.send, limits())


@asynccontextmanager
async def running(
    topic: Topic, **given: Any
) -> AsyncIterator[tuple[Batches[str], asyncio.TaskGroup]]:
    """Batches and a group for callers, who have their ends before the batches close."""
    async with (
        asyncio.timeout(60),
        batching(topic.send, limits(**given)) as batches,
        asyncio.TaskGroup() as group,
    ):
        yield batches, group


async def ended(batches: Batches[str], *entries: str) -> list[BaseException | None]:
    """Put entries at once and give how each ended."""
    return await asyncio.gather(
        *(batches.put(entry, 1) for entry in entries), return_exceptions=True
    )


async def test_an_entry_alone_does_not_wait_for_others() -> None:
    topic = Topic()
    topic.let.set()
    async with batching(topic.send, limits()) as batches, asyncio.timeout(60):
        await batches.put("a", 1)
        await batches.put("b", 1)

    assert topic.calls == [["a"], ["b"]]


async def test_entries_wait_for_others_while_a_call_is_out_until_the_batch_is_full() -> None:
    topic = Topic()
    async with running(topic) as (batches, group):
        await topic.hold(batches, group)
        for entry in "abcd":
            group.create_task(batches.put(entry, 1))
        await topic.called.wait()
        assert topic.calls == [["first"], ["a", "b", "c"]]
        topic.let.set()
        batches.flush()

    assert topic.calls[2:] == [["d"]]


async def test_a_batch_is_sent_after_its_time_though_it_is_not_full() -> None:
    topic = Topic()
    async with running(topic, linger=timedelta(milliseconds=1)) as (batches, group):
        await topic.hold(batches, group)
        group.create_task(batches.put("late", 1))
        await topic.called.wait()
        topic.let.set()

    assert topic.calls == [["first"], ["late"]]


async def test_a_batch_is_never_larger_than_a_call_may_be() -> None:
    topic = Topic()
    topic.let.set()
    async with running(topic, size=100) as (batches, group):
        for entry, size in (("a", 60), ("b", 40), ("c", 1), ("huge", 500), ("d", 1)):
            group.create_task(batches.put(entry, size))
        await topic.called.wait()
        batches.flush()

    assert topic.calls == [["a", "b"], ["c"], ["huge"], ["d"]]


async def test_a_refused_entry_fails_alone() -> None:
    topic = Topic(wrong={"b": TransientError("full", code="Throttled"), "c": FatalError("no")})
    topic.let.set()
    async with batching(topic.send, limits()) as batches, asyncio.timeout(60):
        ends = await ended(batches, "a", "b", "c")

    assert topic.calls == [["a", "b", "c"]]
    assert [type(end) for end in ends] == [type(None), TransientError, FatalError]
    assert isinstance(ends[1], TransientError)
    assert ends[1].details == {"code": "Throttled"}


async def test_a_failed_call_fails_each_of_its_entries_with_an_error_of_its_own() -> None:
    topic = Topic(down=TransientError("SNS is down"))
    topic.let.set()
    async with batching(topic.send, limits()) as batches, asyncio.timeout(60):
        one, two = await ended(batches, "a", "b")
        topic.down = None
        await batches.put("c", 1)

    assert isinstance(one, TransientError)
    assert isinstance(two, TransientError)
    assert one is not two


async def test_an_entry_whose_caller_has_gone_while_it_waited_is_not_sent() -> None:
    topic = Topic()
    async with running(topic) as (batches, group):
        await topic.hold(batches, group)
        gone = group.create_task(batches.put("gone", 1))
        group.create_task(batches.put("stays", 1))
        await asyncio.sleep(0)
        gone.cancel()
        topic.let.set()
        await asyncio.sleep(0)
        batches.flush()

    assert topic.calls == [["first"], ["stays"]]


async def test_a_deadline_ends_the_wait_of_its_caller_and_nobody_elses() -> None:
    topic = Topic()
    async with batching(topic.send, limits()) as batches, asyncio.timeout(60):
        async with asyncio.TaskGroup() as group:
            other = group.create_task(batches.put("patient", 1))
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.01):
                    await batches.put("hurried", 1)
            topic.let.set()
        assert other.exception() is None


async def test_a_stop_sends_what_waits_and_waits_for_what_is_out() -> None:
    topic = Topic()
    async with asyncio.timeout(60), asyncio.TaskGroup() as group, stopped(topic) as batches:
        await topic.hold(batches, group)
        waiting = group.create_task(batches.put("waits", 1))
        await asyncio.sleep(0)
        topic.let.set()

    assert topic.calls == [["first"], ["waits"]]
    assert waiting.exception() is None
    with pytest.raises(TransientError, match="any more"):
        await batches.put("late", 1)


async def test_calls_that_are_out_are_bounded() -> None:
    topic = Topic()
    async with running(topic, entries=1, calls=2) as (batches, group):
        for entry in "abc":
            group.create_task(batches.put(entry, 1))
        for _ in range(9):
            await asyncio.sleep(0)
        assert topic.calls == [["a"], ["b"]]
        topic.let.set()

    assert topic.calls == [["a"], ["b"], ["c"]]


async def test_what_is_offered_is_sent_and_nobody_waits_for_its_end() -> None:
    topic = Topic(down=TransientError("SNS is down"))
    topic.let.set()
    async with running(topic, linger=timedelta()) as (batches, _):
        batches.offer("one", 1)
        await topic.called.wait()

    assert topic.calls == [["one"]]


async def test_what_is_offered_while_many_calls_wait_is_dropped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(router_batches, "MOST_BEHIND", 1)
    topic = Topic()
    async with running(topic) as (batches, group):
        await topic.hold(batches, group)
        batches.offer("late", 1)
        topic.let.set()

    assert topic.calls == [["first"]]


async def test_what_is_offered_after_the_end_is_dropped() -> None:
    topic = Topic()
    async with stopped(topic) as batches:
        pass
    batches.offer("late", 1)

    assert topic.calls == []
