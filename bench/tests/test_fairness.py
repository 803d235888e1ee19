"""A crowd keeps a single task waiting for less than two images, if the queue is fair."""

from __future__ import annotations

import json

import pytest

from darkroom_bench import fair_queue
from darkroom_bench.fair_queue import FairQueue
from darkroom_bench.fairness_run import Crowd, measure


def put(queue: FairQueue, *tenants: str) -> None:
    for tenant in tenants:
        queue.put(json.dumps({"content": {"tenant": tenant}}).encode())


async def handed(queue: FairQueue, count: int = 1) -> list[str]:
    """Whose messages come next; they stay in flight."""
    found = []
    for _ in range(count):
        delivery = await queue.receive()
        assert delivery is not None
        found.append(json.loads(delivery.body)["content"]["tenant"])
    return found


def test_a_single_task_waits_for_less_than_two_images() -> None:
    waits = measure(Crowd(agents=2, queued=60))

    assert 1 < waits.longest < 2


def test_in_a_queue_that_is_not_fair_it_waits_for_all_of_them() -> None:
    assert measure(Crowd(agents=2, queued=60, fair=False)).longest > 25


async def test_who_had_the_recent_time_in_flight_comes_after_others() -> None:
    queue = FairQueue()
    put(queue, "a", "a", "a", "b")

    assert await handed(queue, 4) == ["a", "b", "a", "a"]


async def test_who_has_thirty_in_flight_comes_after_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fair_queue, "_time", lambda: 0.0)
    queue = FairQueue()
    put(queue, *["a"] * 31, "b")
    assert await handed(queue, 30) == ["a"] * 30

    assert await handed(queue, 2) == ["b", "a"]


async def test_of_two_noisy_ones_that_with_fewer_in_flight_is_first() -> None:
    queue = FairQueue()
    for tenant, count in (("a", 30), ("b", 32)):
        put(queue, *[tenant] * count)
        await handed(queue, count)
    put(queue, "b", "a", "c")

    assert await handed(queue, 3) == ["c", "a", "b"]
