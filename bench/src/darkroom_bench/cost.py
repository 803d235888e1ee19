"""The benchmark `cost`: whether tasks and idle time together cost what the nodes cost."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict
from typing import Annotated, Final

import typer
from rich.console import Console

from contracts.cost import MICROS
from darkroom_bench.command import JsonFile, failures
from darkroom_bench.cost_day import Balance, Day, simulate
from darkroom_bench.figures import Grid

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
out = Console()
MOST: Final = 0.01  # that the sides may differ


@app.command()
def cost(
    *,
    hours: Annotated[float, typer.Option(help="Length of the day.", min=2, max=1000)] = 24,
    tasks: Annotated[int, typer.Option(help="Tasks in it.", min=1, max=10**6)] = 6000,
    seconds: Annotated[
        float, typer.Option(help="Of the GPU for a task, on average.", min=0.01, max=600)
    ] = 12,
    seed: Annotated[int, typer.Option(help="Of the chance in it.")] = 0,
    json_file: JsonFile = None,
) -> None:
    """Simulate a day of an on-demand and a Spot node, and compare its cost from two sides.

    Agents run their own pipeline against the notifier's use case and a ledger in memory; queue,
    bucket and runtime are stand-ins, and the clock jumps. Some tasks fail, are taken back or
    lose their lease, and Spot takes its node three times, once without a notice. Ends with 1 if
    the sides differ by more than 1 %.

    Examples:

    ./pants run bench:cost

    ./pants run bench:cost -- --tasks 20000 --seconds 0.2 --json cost.json
    """
    logging.getLogger("queue_agent").setLevel(logging.ERROR)  # of each lease that is lost
    with failures("cost"):
        balance = simulate(Day(hours=hours, tasks=tasks, seconds=seconds, seed=seed))
        out.print(grid(balance).rich())
        ends = ", ".join(f"{many} {state}" for state, many in sorted(balance.ends.items()))
        out.print(f"Tasks: {ends}; {balance.attempts} attempts.", highlight=False)
        if json_file:
            json_file.write_text(json.dumps(asdict(balance), default=str, indent=2) + "\n")
    raise SystemExit(int(balance.gap > MOST))


def grid(balance: Balance) -> Grid:
    """Both sides, and by what they differ."""
    rows = [
        ("tasks", balance.tasks),
        ("time without work", balance.idle),
        ("together", balance.tasks + balance.idle),
        ("hours of the nodes, at their prices", balance.nodes),
    ]
    shown = [(name, f"{micros / MICROS:.6f}") for name, micros in rows]
    return Grid(
        title="A day of two nodes",
        header=("", "USD"),
        rows=[*shown, ("they differ by", f"{balance.gap * 100:.6f} %")],
    )


def main() -> None:
    """Run the command."""
    app(prog_name="cost")


if __name__ == "__main__":
    main()
