"""What the notifier hears of a run while it goes on."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from queue_agent_fakes import FakeNotifier, message

from contracts.state import Progress
from queue_agent.concurrency import run_with
from queue_agent.domain import Task
from queue_agent.task.progress import ProgressReporter

NOW = datetime(2026, 1, 2, tzinfo=UTC)


@pytest.fixture
def notifier() -> FakeNotifier:
    return FakeNotifier()


@pytest.fixture
def reporter(notifier: FakeNotifier) -> ProgressReporter:
    task = Task(message=message(), attempt=2)
    return ProgressReporter(notifier, task, lambda: NOW, interval=timedelta(milliseconds=5))


async def test_what_only_waits_is_not_told_as_started(
    reporter: ProgressReporter, notifier: FakeNotifier
) -> None:
    await run_with(notifier.heard(3), reporter.send())
    assert (notifier.started, reporter.started_at) == ([], None)


async def test_a_start_is_told_until_it_is_heard_and_no_longer(
    reporter: ProgressReporter, notifier: FakeNotifier
) -> None:
    async def outage() -> None:
        notifier.reports_fail = True
        reporter.start()
        await notifier.heard(2)
        assert notifier.started == []
        notifier.reports_fail = False
        await notifier.heard(3)

    await run_with(outage(), reporter.send())

    assert [attempt for _, attempt in notifier.started] == [2]
    assert reporter.started_at == NOW


async def test_the_first_progress_is_told_after_the_start(
    reporter: ProgressReporter, notifier: FakeNotifier
) -> None:
    async def run() -> None:
        reporter.start()
        reporter.report(Progress(step=1, total=4))
        await notifier.heard(1)
        assert (len(notifier.started), notifier.progress) == (1, [])
        await notifier.heard(1)

    await run_with(run(), reporter.send())

    assert (len(notifier.started), notifier.progress) == (1, [Progress(step=1, total=4)])
