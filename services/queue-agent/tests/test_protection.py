from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from queue_agent_fakes import FakePodApi

from queue_agent.metrics import Metrics
from queue_agent.pod.protection import PodProtection
from queue_agent.ports import PodMark
from servicekit.errors import TransientError

NOW, LONG = timedelta(), timedelta(hours=1)


@asynccontextmanager
async def running(protection: PodProtection) -> AsyncIterator[PodProtection]:
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        task = group.create_task(protection.run_until_stopped(), name="protection")
        yield protection
        task.cancel()


async def a_few_turns() -> None:
    """Let the protection see what has changed."""
    for _ in range(10):
        await asyncio.sleep(0)


def a_protection(
    api: FakePodApi,
    metrics: Metrics,
    *,
    deadline: timedelta = LONG,
    pause: timedelta = NOW,
    linger: timedelta = NOW,
    lasting: timedelta = LONG,
) -> PodProtection:
    return PodProtection(
        api=api,
        metrics=metrics,
        deadline=deadline,
        pause=pause,
        linger=linger,
        lasting=lasting,
    )


async def test_what_a_restarted_agent_left_is_taken_away_first(metrics: Metrics) -> None:
    api = FakePodApi()

    async with running(a_protection(api, metrics)):
        assert await api.marks.get() is PodMark.IDLE


async def test_only_changes_are_told(metrics: Metrics) -> None:
    api = FakePodApi()

    async with running(a_protection(api, metrics)) as protection:
        assert await api.marks.get() is PodMark.IDLE
        protection.at_work(True)
        protection.at_work(True)
        assert await api.marks.get() is PodMark.BUSY
        protection.at_work(False)
        assert await api.marks.get() is PodMark.IDLE

    assert api.marks.empty()


async def test_a_gap_between_two_tasks_is_no_idleness(metrics: Metrics) -> None:
    api = FakePodApi()

    async with running(a_protection(api, metrics, linger=LONG)) as protection:
        assert await api.marks.get() is PodMark.IDLE
        protection.at_work(True)
        assert await api.marks.get() is PodMark.BUSY
        for busy in (False, True, False, True):
            protection.at_work(busy)
            await a_few_turns()

    assert api.marks.empty()


async def test_work_that_goes_on_is_lasting_until_it_has_gone(metrics: Metrics) -> None:
    api = FakePodApi()

    async with running(a_protection(api, metrics, lasting=NOW)) as protection:
        assert await api.marks.get() is PodMark.IDLE
        protection.at_work(True)
        assert await api.marks.get() is PodMark.BUSY
        assert await api.marks.get() is PodMark.LASTING
        protection.at_work(False)
        assert await api.marks.get() is PodMark.IDLE

    assert api.marks.empty()


async def test_an_agent_that_ends_takes_its_mark_away(metrics: Metrics) -> None:
    api = FakePodApi()
    protection = a_protection(api, metrics)

    async with running(protection):
        assert await api.marks.get() is PodMark.IDLE
        protection.at_work(True)
        assert await api.marks.get() is PodMark.BUSY
    await protection.take_away()

    assert await api.marks.get() is PodMark.IDLE


async def test_a_failed_mark_is_tried_again_and_logged_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    reader = InMemoryMetricReader()
    metrics = Metrics(MeterProvider(metric_readers=[reader]).get_meter("test"))
    api = FakePodApi(failures=[TransientError("refused")] * 3)

    async with running(a_protection(api, metrics)):
        assert await api.marks.get() is PodMark.IDLE

    assert [r.message for r in caplog.records] == ["the pod cannot be marked"]
    gathered = reader.get_metrics_data()
    assert gathered is not None
    (metric,) = gathered.resource_metrics[0].scope_metrics[0].metrics
    assert metric.name == "darkroom.agent.mark_failures"
    assert [point.value for point in metric.data.data_points] == [3]  # type: ignore[union-attr]  # a sum


async def test_a_cluster_that_does_not_answer_is_given_up_in_time(
    metrics: Metrics, caplog: pytest.LogCaptureFixture
) -> None:
    api = FakePodApi(failures=[None])

    async with running(a_protection(api, metrics, deadline=timedelta(milliseconds=10))):
        assert await api.marks.get() is PodMark.IDLE

    assert [r.message for r in caplog.records] == ["the pod cannot be marked"]
