"""Processes of the embedded mode: started, watched, restarted, stopped in order."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from darkroom_cli.errors import CommandError

READY_SECONDS: Final = 90
STOP_SECONDS: Final = 20
POLL_SECONDS: Final = 0.1
FIRST_BACKOFF_SECONDS: Final = 0.5
LAST_BACKOFF_SECONDS: Final = 30.0
LOG_BYTES: Final = 20 * 2**20  # a log that is larger at a start is begun anew

Report = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """One process of the stack, as it should run."""

    name: str
    module: str  # run as `python -m module`
    arguments: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    log: Path
    ready: Callable[[], Awaitable[bool]]


class Processes:
    """The running processes; stopped last-started first."""

    def __init__(self, report: Report, lock: int) -> None:
        self._report = report
        self._lock = lock
        self._running: dict[str, asyncio.subprocess.Process] = {}

    async def start(self, *programs: Program) -> None:
        """Start programs side by side and return when all are ready.

        Raises `CommandError` with the end of its log when one of them ends or takes too long.
        """
        for program in programs:
            await self._spawn(program)
        try:
            async with asyncio.timeout(READY_SECONDS), asyncio.TaskGroup() as group:
                for program in programs:
                    group.create_task(self._ready(program), name=f"ready-{program.name}")
        except* CommandError as failed:
            raise failed.exceptions[0] from None
        except* TimeoutError:
            raise CommandError(
                f"not ready after {READY_SECONDS} s; see the logs in {programs[0].log.parent}"
            ) from None

    async def watch(self, *programs: Program) -> None:
        """Restart what dies, until cancelled."""
        async with asyncio.TaskGroup() as group:
            for program in programs:
                group.create_task(self._keep(program), name=f"keep-{program.name}")

    async def stop(self) -> None:
        """End every process: a signal, then time to finish, then the hard way."""
        for name, process in reversed(list(self._running.items())):
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.send_signal(signal.SIGTERM)
                try:
                    async with asyncio.timeout(STOP_SECONDS):
                        await process.wait()
                except TimeoutError:
                    self._report(f"{name} did not stop in {STOP_SECONDS} s and is killed")
                    process.kill()
                    await process.wait()

    def pid(self, name: str) -> int:
        """Give the process id of one program."""
        return self._running[name].pid

    async def _spawn(self, program: Program) -> None:
        with contextlib.suppress(OSError):
            if program.log.stat().st_size > LOG_BYTES:
                program.log.unlink()
        environment = {
            **os.environ,
            # Inside an archive or a sandbox the packages are only on this process's path.
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
            "PYTHONUNBUFFERED": "1",
            **program.environment,
        }
        try:
            with program.log.open("ab") as log:
                self._running[program.name] = await asyncio.create_subprocess_exec(
                    sys.executable,
                    "-m",
                    program.module,
                    *program.arguments,
                    env=environment,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    pass_fds=(self._lock,),
                    start_new_session=True,  # Ctrl-C is for us: we stop the others in order
                )
        except OSError as error:
            raise CommandError(f"cannot start {program.name}: {error.strerror}") from error

    async def _ready(self, program: Program) -> None:
        process = self._running[program.name]
        while not await program.ready():
            if process.returncode is not None:
                reason = last_line(program.log)
                raise CommandError(
                    f"{program.name} ended with status {process.returncode}: {reason}"
                )
            await asyncio.sleep(POLL_SECONDS)

    async def _keep(self, program: Program) -> None:
        loop, backoff = asyncio.get_running_loop(), FIRST_BACKOFF_SECONDS
        while True:
            started = loop.time()
            status = await self._running[program.name].wait()
            if loop.time() - started > LAST_BACKOFF_SECONDS:
                backoff = FIRST_BACKOFF_SECONDS
            self._report(
                f"{program.name} ended with status {status}, restarted in {backoff:g} s"
                f" (log: {program.log})"
            )
            await asyncio.sleep(backoff)
            backoff = min(backoff * 2, LAST_BACKOFF_SECONDS)
            await self._spawn(program)


def last_line(log: Path) -> str:
    """Give the last line of a log, where a process says why it ended."""
    try:
        lines = log.read_text(errors="replace").strip().splitlines()
    except OSError:
        return "its log cannot be read"
    return lines[-1] if lines else "its log is empty"
