from __future__ import annotations

from datetime import timedelta

import pytest

from queue_agent.domain import RunInterruptedError, RuntimeLostError
from queue_agent.runtimes.stall import StallLimit

STALL, COLD = timedelta(minutes=3), timedelta(minutes=15)


def ran(*models: str) -> StallLimit:
    stall_limit = StallLimit(stall=STALL, cold_stall=COLD)
    with stall_limit.run(frozenset(models)):
        pass
    return stall_limit


def limit(stall_limit: StallLimit, *models: str) -> timedelta:
    return max(STALL, stall_limit.loading(frozenset(models)))


def test_first_run_is_cold_and_the_same_again_is_not() -> None:
    stall_limit = StallLimit(stall=STALL, cold_stall=COLD)

    with stall_limit.run(frozenset("a")) as first:
        pass
    with stall_limit.run(frozenset("a")) as second:
        pass

    assert (first, second) == (COLD, STALL)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [("a", "b", COLD), ("a", "ab", COLD), ("ab", "a", STALL), ("", "a", COLD), ("", "", STALL)],
)
def test_run_with_another_model_is_cold(before: str, after: str, expected: timedelta) -> None:
    assert limit(ran(*before), *after) == expected


def test_run_without_a_model_changes_nothing() -> None:
    stall_limit = ran("a")

    with stall_limit.run(frozenset()):
        pass

    assert limit(stall_limit, "a") == STALL


def test_run_after_a_lost_runtime_is_cold() -> None:
    stall_limit = ran("a")

    with pytest.raises(RuntimeLostError), stall_limit.forgetting_if_lost():
        raise RuntimeLostError("gone")

    assert limit(stall_limit, "a") == COLD


def test_run_that_ends_badly_says_nothing_of_its_models() -> None:
    stall_limit = ran("a")

    with pytest.raises(RunInterruptedError), stall_limit.run(frozenset("b")):
        raise RunInterruptedError("by somebody")

    assert (limit(stall_limit, "a"), limit(stall_limit, "b")) == (STALL, COLD)


def test_cold_limit_is_never_the_shorter_one() -> None:
    stall_limit = StallLimit(stall=COLD, cold_stall=STALL)

    with stall_limit.run(frozenset("a")) as first:
        pass

    assert first == COLD
