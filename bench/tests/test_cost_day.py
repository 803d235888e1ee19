from __future__ import annotations

import asyncio

import pytest

from darkroom_bench.cost_day import Day, simulate
from darkroom_bench.virtual_time import VirtualLoop
from queue_agent.pipeline.account import Account


def test_tasks_and_idle_time_cost_what_the_nodes_cost() -> None:
    balance = simulate(Day(hours=3, tasks=300, seed=1))

    assert balance.gap < 0.001
    assert set(balance.ends) >= {"completed", "failed", "cancelled"}
    assert balance.attempts > sum(balance.ends.values()) - balance.ends.get("queued", 0)
    assert 0 < balance.tasks < balance.idle


def test_time_that_is_charged_to_nobody_is_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    charge = Account.charge
    monkeypatch.setattr(Account, "charge", lambda self, s: charge(self, s) and charge(self, 0))

    assert simulate(Day(hours=3, tasks=300, seed=1)).gap > 0.01


def test_a_day_of_waiting_takes_no_time() -> None:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(asyncio.sleep(86_400))

        assert runner.get_loop().time() == pytest.approx(86_400)


def test_what_waits_for_nothing_is_told() -> None:
    with (
        asyncio.Runner(loop_factory=VirtualLoop) as runner,
        pytest.raises(RuntimeError, match="nothing will happen"),
    ):
        runner.run(asyncio.Event().wait())
