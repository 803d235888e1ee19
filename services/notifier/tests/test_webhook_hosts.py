"""A host has its places and no more, whatever comes."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from notifier.webhooks.hosts import LINE, Hosts

QUICK, SLOW = timedelta(milliseconds=100), timedelta(seconds=15)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def hosts(clock: Clock) -> Hosts:
    return Hosts(4, clock)


async def answer_once(hosts: Hosts, name: str, took: timedelta = QUICK) -> None:
    assert await hosts.enter(name)
    hosts.leave(name, took, answered=True)


async def test_a_host_that_has_not_answered_has_one_place(hosts: Hosts) -> None:
    assert await hosts.enter("new")
    assert not await hosts.enter("new")
    assert await hosts.enter("other")


async def test_a_host_that_answers_has_its_places_and_a_line(hosts: Hosts) -> None:
    await answer_once(hosts, "a")
    for _ in range(4):
        assert await hosts.enter("a")
    async with asyncio.TaskGroup() as group:
        line = [group.create_task(hosts.enter("a")) for _ in range(4 * LINE)]
        await asyncio.sleep(0)
        assert hosts.is_full("a")
        assert not await hosts.enter("a")
        assert not any(task.done() for task in line)
        for _ in range(4 * LINE):
            hosts.leave("a", QUICK, answered=True)

    assert all(task.result() for task in line)


async def test_who_waits_for_a_host_that_hangs_is_sent_away(hosts: Hosts) -> None:
    await answer_once(hosts, "a")
    for _ in range(4):
        assert await hosts.enter("a")
    async with asyncio.TaskGroup() as group:
        line = [group.create_task(hosts.enter("a")) for _ in range(3)]
        await asyncio.sleep(0)
        hosts.leave("a", SLOW, answered=False)

    assert not any(task.result() for task in line)
    assert not await hosts.enter("a")


async def test_who_finds_no_room_comes_again_as_fast_as_the_host_is(
    hosts: Hosts, clock: Clock
) -> None:
    await answer_once(hosts, "quick", timedelta(seconds=2))
    assert await hosts.enter("slow")
    hosts.leave("slow", SLOW, answered=False)

    assert [hosts.wait("quick").total_seconds() for _ in range(3)] == [0.5, 1, 1.5]
    assert [hosts.wait("slow").total_seconds() for _ in range(3)] == [15, 30, 45]
    clock.now = 40
    assert hosts.wait("quick").total_seconds() == 0.5
    assert hosts.wait("slow").total_seconds() == 20


async def test_hosts_that_are_idle_are_forgotten(clock: Clock) -> None:
    hosts = Hosts(4, clock, remembered=2)
    assert await hosts.enter("busy")
    await answer_once(hosts, "idle")
    await answer_once(hosts, "new")

    assert not await hosts.enter("busy")
    assert await hosts.enter("idle")
    assert not await hosts.enter("idle")  # one place again
