"""CPU time of each process of a stack that this process has started."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Final

import psutil

from darkroom_cli.errors import CommandError

SERVICES: Final = ("ingest", "router", "notifier", "model-sync", "queue-agent")
OTHERS: Final = ("sample runtime", "AWS emulator", "this benchmark")

_MODULES: Final = {
    "ingest.main": "ingest",
    "router.main": "router",
    "notifier.main": "notifier",
    "model_sync.main": "model-sync",
    "queue_agent.main": "queue-agent",
    "sample_runtime.main": "sample runtime",
    "ministack": "AWS emulator",
}


def name_of(
    arguments: Sequence[str], environment: Mapping[str, str], runtime: str
) -> str | None:
    """What a process is called in the figures; None if it is not in them.

    Of the queue agents only that of `runtime` is.
    """
    module = next((after for flag, after in pairwise(arguments) if flag == "-m"), "")
    name = _MODULES.get(module)
    if name == "queue-agent" and environment.get("QUEUE_AGENT_RUNTIME_NAME") != runtime:
        return None
    return name


class Meter:
    """Reads the CPU time of the processes that run when it is made, by their names.

    Raises `CommandError` if one of the services is not among them.
    """

    def __init__(self, runtime: str) -> None:
        self._processes = {"this benchmark": psutil.Process()}
        for child in psutil.Process().children(recursive=True):
            try:
                name = name_of(child.cmdline(), child.environ(), runtime)
            except psutil.Error:
                continue  # it has ended; if it was one of ours, it is missed below
            if name:
                self._processes[name] = child
        missing = [name for name in (*SERVICES, *OTHERS) if name not in self._processes]
        if missing:
            raise CommandError(f"no process was found for {', '.join(missing)}")

    def read(self) -> dict[str, float]:
        """User and system seconds of each; raises `CommandError` when one has ended."""
        seconds = {}
        for name, process in self._processes.items():
            try:
                times = process.cpu_times()
            except psutil.Error:
                raise CommandError(f"{name} ended during the benchmark") from None
            seconds[name] = times.user + times.system
        return seconds


def milliseconds_a_task(
    before: Mapping[str, float], after: Mapping[str, float], tasks: int
) -> dict[str, float]:
    """The CPU milliseconds of each process for one task."""
    return {name: (after[name] - before[name]) * 1000 / tasks for name in after}
