from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from darkroom_cli.embedded.folder import Folder
from darkroom_cli.embedded.processes import Processes, Program, last_line
from darkroom_cli.errors import CommandError


def program(folder: Path, *arguments: str) -> Program:
    marker = folder / "marker"

    async def ready() -> bool:
        return await asyncio.to_thread(marker.exists)

    return Program(
        name="sample",
        module="cli_program",
        arguments=arguments or (str(marker),),
        log=folder / "sample.log",
        ready=ready,
    )


async def test_program_that_dies_is_reported_and_started_again(tmp_path: Path) -> None:
    reports: list[str] = []
    told = asyncio.Event()

    def report(text: str) -> None:
        reports.append(text)
        told.set()

    sample = program(tmp_path)
    with Folder(tmp_path / "lock").locked() as lock:
        processes = Processes(report, lock)
        await processes.start(sample)
        first = processes.pid("sample")
        async with asyncio.timeout(30), asyncio.TaskGroup() as group:
            watch = group.create_task(processes.watch(sample))
            os.kill(first, signal.SIGKILL)
            await told.wait()
            while processes.pid("sample") == first:  # noqa: ASYNC110  # it tells nobody
                await asyncio.sleep(0.01)
            watch.cancel()
        await processes.stop()

    assert "sample ended with status -9, restarted in 0.5 s" in reports[0]


async def test_program_that_cannot_start_is_told_in_its_own_words(tmp_path: Path) -> None:
    with Folder(tmp_path / "lock").locked() as lock:
        processes = Processes(lambda _: None, lock)
        with pytest.raises(CommandError, match="status 1: this program cannot start"):
            await processes.start(program(tmp_path, "--fail"))
        await processes.stop()


async def test_stop_leaves_no_process(tmp_path: Path) -> None:
    with Folder(tmp_path / "lock").locked() as lock:
        processes = Processes(lambda _: None, lock)
        await processes.start(program(tmp_path))
        pid = processes.pid("sample")
        await processes.stop()

    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_last_line_of_a_missing_log_is_said_to_be_missing(tmp_path: Path) -> None:
    assert last_line(tmp_path / "none.log") == "its log cannot be read"
