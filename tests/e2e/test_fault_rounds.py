"""A short run of the fault injector: whatever breaks, no accepted task is lost."""

from __future__ import annotations

from pathlib import Path

from darkroom_bench.fault_catalogue import catalogue
from darkroom_bench.fault_rounds import Plan, run_rounds
from darkroom_bench.faults import grid, summary

# One of each family that is over in seconds.
CHOSEN = (
    "SIGKILL of agent of sdruntime at a step",
    "SIGTERM of runtime sdruntime at random",
    "dynamodb: throttled",
    "sns: connection lost after the call",
    "redelivery",
    "runtime out of memory",
    "agents have a full disk",
)


async def test_no_accepted_task_is_lost_or_told_twice_differently(tmp_path: Path) -> None:
    chosen = [fault for fault in catalogue() if fault.name in CHOSEN]
    assert len(chosen) == len(CHOSEN)
    plan = Plan(faults=chosen, rounds=len(chosen), seed=7, tasks=6)

    outcome = await run_rounds(plan, tmp_path, print)

    print(*grid(outcome).rows, *summary(plan, outcome), sep="\n")
    assert outcome.findings.violations == []
    assert {played.fault for played in outcome.rounds} == set(CHOSEN)
    assert all(played.struck is not None for played in outcome.rounds)
    assert all(one.uid for one in outcome.tasks)
    failed = {name for name in outcome.findings.outcomes if name != "completed"}
    assert len(failed) == 1  # the runtime's own error, of the prompts that ask for it
