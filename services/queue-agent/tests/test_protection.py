from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from queue_agent_fakes import FakePodMarks

from queue_agent.metrics import Measures
from queue_agent.pod.protection import Marker
from servicekit.errors import TransientError

NOW, LONG = timedelta(), timedelta(hours=1)


@asynccontextmanager
async def keeping(marker: Marker) -> AsyncIterator[Marker]:
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        task = group.create_task(marker.keep(), name="marks")
        yield marker
        task.cancel()


async def a_few_turns() -> None:
    """Let the marker see what was noted."""
    for _ in range(10):
        await asyncio.sleep(0)


def a_marker(
    marks: FakePodMarks,
    measures: Measures,
    *,
    deadline: timedelta = LONG,
    pause: timedelta = NOW,
    linger: timedelta = NOW,
) -> Marker:
    return Marker(marks=marks, measures=measures, deadline=deadline, pause=pause, linger=linger)


async def test_what_a_restarted_agent_left_is_taken_away_first(measures: Measures) -> None:
    marks = FakePodMarks()

    async with keeping(a_marker(marks, measures)):
        assert await marks.told.get() is False


async def test_only_changes_are_told(measures: Measures) -> None:
    marks = FakePodMarks()

    async with keeping(a_marker(marks, measures)) as marker:
        assert await marks.told.get() is False
        marker.at_work(True)
        marker.at_work(True)
        assert await marks.told.get() is True
        marker.at_work(False)
        assert await marks.told.get() is False

    assert marks.told.empty()


async def test_a_gap_between_two_tasks_is_no_idleness(measures: Measures) -> None:
    marks = FakePodMarks()

    async with keeping(a_marker(marks, measures, linger=LONG)) as marker:
        assert await marks.told.get() is False
        marker.at_work(True)
        assert await marks.told.get() is True
        for busy in (False, True, False, True):
            marker.at_work(busy)
            await a_few_turns()

    assert marks.told.empty()


async def test_a_failed_mark_is_tried_again_and_logged_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    reader = InMemoryMetricReader()
    measures = Measures(MeterProvider(metric_readers=[reader]).get_meter("test"))
    marks = FakePodMarks(failures=[TransientError("refused")] * 3)

    async with keeping(a_marker(marks, measures)):
        assert await marks.told.get() is False

    assert [r.message for r in caplog.records] == ["the pod cannot be marked"]
    gathered = reader.get_metrics_data()
    assert gathered is not None
    (metric,) = gathered.resource_metrics[0].scope_metrics[0].metrics
    assert metric.name == "darkroom.agent.mark_failures"
    assert [point.value for point in metric.data.data_points] == [3]  # type: ignore[union-attr]  # a sum


async def test_a_cluster_that_does_not_answer_is_given_up_in_time(
    measures: Measures, caplog: pytest.LogCaptureFixture
) -> None:
    marks = FakePodMarks(failures=[None])

    async with keeping(a_marker(marks, measures, deadline=timedelta(milliseconds=10))):
        assert await marks.told.get() is False

    assert [r.message for r in caplog.records] == ["the pod cannot be marked"]
