"""Runs the module of that name, and shows meanwhile how far it is."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from threading import Event, Thread
from typing import Any

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

STEP_PERCENT = 10
LOOK_SECONDS = 1
MIB = 2**20


class ActionModule(ActionBase):  # type: ignore[misc]  # Ansible comes without types
    """`s3_model` as a task."""

    def run(
        self, tmp: str | None = None, task_vars: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """What the module returns."""
        super().run(tmp, task_vars)
        with tempfile.TemporaryDirectory() as folder:
            given = dict(self._task.args)
            file = Path(given.setdefault("progress_file", str(Path(folder) / "progress")))
            done = Event()
            watcher = Thread(target=watch, args=(file, done))
            watcher.start()
            try:
                answer: dict[str, Any] = self._execute_module(
                    module_name="s3_model", module_args=given, task_vars=task_vars
                )
            finally:
                done.set()
                watcher.join()
        return answer


def watch(file: Path, done: Event) -> None:
    """Show each step of a file's way until it is done."""
    shown = 0
    while not done.wait(LOOK_SECONDS):
        try:
            now = json.loads(file.read_text())
        except (OSError, ValueError):
            continue  # not there yet, or half written
        step = int(100 * now["bytes"] / now["of"]) if now["of"] else now["bytes"] // (100 * MIB)
        if step // STEP_PERCENT > shown // STEP_PERCENT:
            shown = step
            Display().display(line(now))


def line(now: dict[str, Any]) -> str:
    """One line on how far it is."""
    taken = now["bytes"] / MIB
    speed = taken / now["seconds"] if now["seconds"] else 0
    if not now["of"]:
        return f"{now['key']}: {taken:.0f} MiB, {speed:.0f} MiB/s"
    whole, percent = now["of"] / MIB, 100 * now["bytes"] / now["of"]
    return f"{now['key']}: {taken:.0f} of {whole:.0f} MiB, {percent:.0f} %, {speed:.0f} MiB/s"
