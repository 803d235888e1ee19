"""The fault injector `faults`: what is lost when parts of Darkroom fail under load."""

from __future__ import annotations

import json
import random
from collections import defaultdict
from dataclasses import asdict
from statistics import median
from typing import Annotated, Final

import psutil
import typer
from rich.console import Console

from darkroom_bench.command import (
    JsonFile,
    MarkdownFile,
    Targets,
    failures,
    notes,
    run,
    say,
)
from darkroom_bench.fault_catalogue import catalogue
from darkroom_bench.fault_rounds import Outcome, Plan, run_rounds
from darkroom_bench.figures import Grid, Marks

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
out = Console()

MARKS: Final = Marks(begin="<!-- faults:begin -->", end="<!-- faults:end -->")


@app.command()
def faults(
    *,
    rounds: Annotated[int, typer.Option(help="Rounds of one fault each.", min=1)] = 300,
    seed: Annotated[
        int | None, typer.Option(help="Of the choice of faults; as shown for a new one.")
    ] = None,
    tasks: Annotated[int, typer.Option(help="Tasks of each round.", min=1)] = 10,
    skip_slow: Annotated[
        bool, typer.Option("--skip-slow", help="Leave out what takes half a minute.")
    ] = False,
    json_file: JsonFile = None,
    markdown_file: MarkdownFile = None,
) -> None:
    """Inject faults under a steady load, then check every accepted task.

    Starts a stack of its own with an AWS emulator behind a proxy and two sample runtimes, and
    stops it. Ends with status 1 if a task was lost, told differently, or left without its
    images. A seed gives the same faults in the same order; when they meet a task, the machine
    decides.

    Examples:

    ./pants run bench:faults -- --rounds 20 --seed 1

    ./pants run bench:faults -- --rounds 300 --markdown docs/reliability.md
    """
    chosen = [each for each in catalogue() if not (skip_slow and each.is_slow)]
    seed = random.SystemRandom().randrange(10**6) if seed is None else seed
    plan = Plan(faults=chosen, rounds=rounds, seed=seed, tasks=tasks)
    with failures("faults"):
        targets = Targets(marks=MARKS, json_file=json_file, markdown_file=markdown_file)
        outcome = run(lambda folder: run_rounds(plan, folder, say), keeps_logs=_went_wrong)
        out.print(grid(outcome).rich())
        for line in summary(plan, outcome):
            out.print(line, highlight=False, soft_wrap=True)
        targets.write(figures=as_json(plan, outcome), section=section(plan, outcome))
    if outcome.findings.violations:
        for violation in outcome.findings.violations:
            notes.print(violation, highlight=False, markup=False, soft_wrap=True)
        raise SystemExit(1)


def grid(outcome: Outcome) -> Grid:
    """A row a fault: how often, and how soon its tasks were done."""
    seconds = defaultdict(list)
    times: dict[str, int] = defaultdict(int)
    for each in outcome.rounds:
        times[each.fault] += 1
        if each.recovered is not None:
            seconds[each.fault].append(each.recovered)
    rows: list[tuple[str, ...]] = [
        (fault, str(number), *_p50_and_max(seconds[fault]))
        for fault, number in sorted(times.items())
    ]
    everything = [value for values in seconds.values() for value in values]
    rows.append(("all", str(len(outcome.rounds)), *_p50_and_max(everything)))
    header = ("fault", "times", "recovered in p50 s", "max s")
    return Grid(title="Faults", header=header, rows=rows)


def summary(plan: Plan, outcome: Outcome) -> list[str]:
    """Say what the run was and what it found."""
    tasks, findings = outcome.tasks, outcome.findings
    accepted = [one for one in tasks if one.uid]
    ends = ", ".join(f"{count} {name}" for name, count in sorted(findings.outcomes.items()))
    return [
        f"{len(outcome.rounds)} rounds in {outcome.seconds / 60:.0f} minutes, seed {plan.seed},"
        f" {psutil.cpu_count()} cores with everything on them.",
        f"{len(accepted)} of {len(tasks)} tasks accepted, {sum(one.refusals for one in tasks)}"
        " refusals were tried again with the same key.",
        f"Results: {ends or 'none'}.",
        f"{findings.told_again} tasks told more than once with the same content;"
        f" {findings.unaccepted} tasks ran that no client got a 200 for.",
        findings.webhooks,
        f"{len(findings.violations)} violations.",
    ]


def section(plan: Plan, outcome: Outcome) -> str:
    """The section of a document, without its marks."""
    listed = "\n".join(f"- {line}" for line in summary(plan, outcome))
    return f"{listed}\n\n{grid(outcome).markdown()}"


def as_json(plan: Plan, outcome: Outcome) -> str:
    """What each round did and what the checks found, for programs."""
    rounds = [{"fault": one.fault, "recovered": one.recovered} for one in outcome.rounds]
    found = {"seed": plan.seed, "seconds": outcome.seconds, **asdict(outcome.findings)}
    return json.dumps({**found, "rounds": rounds}, indent=2)


def _p50_and_max(seconds: list[float]) -> tuple[str, str]:
    if not seconds:
        return ("nothing in flight", "")
    return (f"{median(seconds):.1f}", f"{max(seconds):.1f}")


def _went_wrong(outcome: Outcome) -> bool:
    return bool(outcome.findings.violations)


def main() -> None:
    """Run the command."""
    app(prog_name="faults")


if __name__ == "__main__":
    main()
