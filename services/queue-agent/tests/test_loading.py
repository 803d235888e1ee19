from __future__ import annotations

from datetime import timedelta

import pytest

from queue_agent.domain import RunInterruptedError, RuntimeLostError
from queue_agent.runtimes.loading import LoadedModels

NONE, COLD = timedelta(), timedelta(minutes=15)


def ran(*models: str) -> LoadedModels:
    loaded = LoadedModels(load_time=COLD)
    with loaded.run(frozenset(models)):
        pass
    return loaded


def more(loaded: LoadedModels, *models: str) -> timedelta:
    return loaded.loading(frozenset(models))


def test_first_run_is_cold_and_the_same_again_is_not() -> None:
    assert more(LoadedModels(load_time=COLD), "a") == COLD
    assert more(ran("a"), "a") == NONE


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [("a", "b", COLD), ("a", "ab", COLD), ("ab", "a", NONE), ("", "a", COLD), ("", "", NONE)],
)
def test_run_with_another_model_is_cold(before: str, after: str, expected: timedelta) -> None:
    assert more(ran(*before), *after) == expected


def test_run_without_a_model_changes_nothing() -> None:
    loaded = ran("a")

    with loaded.run(frozenset()):
        pass

    assert more(loaded, "a") == NONE


def test_run_after_a_lost_runtime_is_cold() -> None:
    loaded = ran("a")

    with pytest.raises(RuntimeLostError), loaded.forgetting_if_lost():
        raise RuntimeLostError("gone")

    assert more(loaded, "a") == COLD


def test_run_that_ends_badly_says_nothing_of_its_models() -> None:
    loaded = ran("a")

    with pytest.raises(RunInterruptedError), loaded.run(frozenset("b")):
        raise RunInterruptedError("by somebody")

    assert (more(loaded, "a"), more(loaded, "b")) == (NONE, COLD)
