from __future__ import annotations

from datetime import timedelta

import pytest

from queue_agent.domain import RunInterruptedError, RuntimeLostError
from queue_agent.runtimes.stall import Warmth

STALL, COLD = timedelta(minutes=3), timedelta(minutes=15)


def ran(*models: str) -> Warmth:
    warmth = Warmth(stall=STALL, cold_stall=COLD)
    with warmth.run(frozenset(models)):
        pass
    return warmth


def limit(warmth: Warmth, *models: str) -> timedelta:
    return max(STALL, warmth.loading(frozenset(models)))


def test_first_run_is_cold_and_the_same_again_is_not() -> None:
    warmth = Warmth(stall=STALL, cold_stall=COLD)

    with warmth.run(frozenset("a")) as first:
        pass
    with warmth.run(frozenset("a")) as second:
        pass

    assert (first, second) == (COLD, STALL)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [("a", "b", COLD), ("a", "ab", COLD), ("ab", "a", STALL), ("", "a", COLD), ("", "", STALL)],
)
def test_run_with_another_model_is_cold(before: str, after: str, expected: timedelta) -> None:
    assert limit(ran(*before), *after) == expected


def test_run_without_a_model_changes_nothing() -> None:
    warmth = ran("a")

    with warmth.run(frozenset()):
        pass

    assert limit(warmth, "a") == STALL


def test_run_after_a_lost_runtime_is_cold() -> None:
    warmth = ran("a")

    with pytest.raises(RuntimeLostError), warmth.noticing():
        raise RuntimeLostError("gone")

    assert limit(warmth, "a") == COLD


def test_run_that_ends_badly_says_nothing_of_its_models() -> None:
    warmth = ran("a")

    with pytest.raises(RunInterruptedError), warmth.run(frozenset("b")):
        raise RunInterruptedError("by somebody")

    assert (limit(warmth, "a"), limit(warmth, "b")) == (STALL, COLD)


def test_cold_limit_is_never_the_shorter_one() -> None:
    warmth = Warmth(stall=COLD, cold_stall=STALL)

    with warmth.run(frozenset("a")) as first:
        pass

    assert first == COLD
