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

from darkroom_cli.embedded.sweep import keep_swept
from darkroom_cli.errors import CommandError

READY_SECONDS: Final = 90
PATIENCE_SECONDS: Final = 5  # of a start without a word
STOP_SECONDS: Final = 20
POLL_SECONDS: Final = 0.1
WAIT_POLL_SECONDS: Final = 1.0
FIRST_BACKOFF_SECONDS: Final = 0.5
LAST_BACKOFF_SECONDS: Final = 30.0
LOG_BYTES: Final = 20 * 2**20  # a log that is larger at a start is begun anew

Announce = Callable[[str], None]
Unready = Callable[[], Awaitable[str | None]]  # why it is not ready; None: it is
Record = Callable[[Mapping[str, int]], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """One process of the stack, as it should run."""

    name: str
    module: str = ""  # of ours, run as `python -m module`
    arguments: tuple[str, ...] = ()
    command: tuple[str, ...] = ()  # instead: a program with just the variables it is given
    directory: Path | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    log: Path
    unready: Unready
    waits_for: str = ""  # what it may have to wait for, once it is ready
    waits: Unready | None = None  # why it waits for that
    restarts: int | None = None  # in a row, before it is given up; None: for ever
    settled_seconds: float = LAST_BACKOFF_SECONDS  # alive for so long, it may die anew
    swept: tuple[Path, ...] = ()  # folders whose old files are removed


class Processes:
    """The running processes; stopped last-started first.

    `record` hears of their ids by name at each start of one.
    """

    def __init__(
        self,
        announce: Announce,
        lock: int,
        record: Record | None = None,
        *,
        ready_seconds: float = READY_SECONDS,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        self._announce = announce
        self._lock = lock
        self._record = record
        self._ready_seconds = ready_seconds
        self._patience_seconds = patience_seconds
        self._running: dict[str, asyncio.subprocess.Process] = {}
        self._starting: dict[str, asyncio.subprocess.Process] = {}  # never ready till now

    async def start(self, *programs: Program) -> None:
        """Start programs side by side and return when all are ready; says what takes long.

        Raises `CommandError` with the end of its log when one of them ends, and with what each
        still waits for when they take too long.
        """
        for program in programs:
            self._starting[program.name] = await self._spawn(program)
        waiting = {program.name: "starts" for program in programs}
        try:
            async with asyncio.timeout(self._ready_seconds), asyncio.TaskGroup() as group:
                all_ready = [
                    group.create_task(self._ready(each, waiting), name=f"ready-{each.name}")
                    for each in programs
                ]
                telling = group.create_task(self._tell(waiting), name="tell")
                await asyncio.wait(all_ready)
                telling.cancel()
        except* CommandError as failed:
            raise failed.exceptions[0] from None
        except* TimeoutError:
            raise CommandError(
                f"not ready after {self._ready_seconds:g} s: {_joined(waiting)};"
                f" see the logs in {programs[0].log.parent}"
            ) from None

    async def watch(self, *programs: Program) -> None:
        """Restart what dies, and say what waits and for what, until cancelled."""
        async with asyncio.TaskGroup() as group:
            for program in programs:
                group.create_task(self._keep(program), name=f"keep-{program.name}")
                if program.waits:
                    telling = self._tell_waiting(program.waits_for, program.waits)
                    group.create_task(telling, name=f"waits-{program.name}")
                if program.swept:
                    group.create_task(keep_swept(program.swept), name=f"sweep-{program.name}")

    async def stop(self) -> None:
        """End every process: a signal, then time to finish, then the hard way.

        Those that never got ready have nothing to finish, and are signalled all at once.
        """
        for process in self._starting.values():
            _signal(process)
        for name, process in reversed(list(self._running.items())):
            if process.returncode is None:
                if name not in self._starting:
                    _signal(process)
                try:
                    async with asyncio.timeout(STOP_SECONDS):
                        await process.wait()
                except TimeoutError:
                    self._announce(f"{name} did not stop in {STOP_SECONDS} s and is killed")
                    process.kill()
                    await process.wait()

    def pid(self, name: str) -> int:
        """The process id of one program."""
        return self._running[name].pid

    async def _spawn(self, program: Program) -> asyncio.subprocess.Process:
        with contextlib.suppress(OSError):
            if program.log.stat().st_size > LOG_BYTES:
                program.log.unlink()
        ours = {
            **os.environ,
            # Inside an archive or a sandbox the packages are only on this process's path.
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
            "PYTHONUNBUFFERED": "1",
        }
        command = program.command or (sys.executable, "-m", program.module)
        try:
            with program.log.open("ab") as log:
                process = await asyncio.create_subprocess_exec(
                    *command,
                    *program.arguments,
                    cwd=program.directory,
                    env={**({} if program.command else ours), **program.environment},
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    pass_fds=(self._lock,),
                    start_new_session=True,  # Ctrl-C is for us: we stop the others in order
                )
        except OSError as error:
            raise CommandError(f"cannot start {program.name}: {error.strerror}") from error
        self._running[program.name] = process
        if self._record:
            self._record({name: each.pid for name, each in self._running.items()})
        return process

    async def _ready(self, program: Program, waiting: dict[str, str]) -> None:
        process = self._running[program.name]
        while reason := await program.unready():
            waiting[program.name] = reason
            if process.returncode is not None:
                reason = last_line(program.log)
                raise CommandError(
                    f"{program.name} ended with status {process.returncode}: {reason}"
                )
            await asyncio.sleep(POLL_SECONDS)
        del waiting[program.name], self._starting[program.name]

    async def _tell(self, waiting: dict[str, str]) -> None:
        """Say what is waited for, and again whenever that is something else."""
        told = ""
        while True:
            await asyncio.sleep(self._patience_seconds)
            if waiting and (now := _joined(waiting)) != told:
                self._announce(f"waiting for {now}")
                told = now

    async def _tell_waiting(self, waits_for: str, waits: Unready) -> None:
        """Say why tasks wait, at once and whenever that is something else."""
        told = None
        while True:
            if (reason := await waits()) != told:
                said = f"{reason}; its tasks wait" if reason else "ready"
                self._announce(f"{waits_for}: {said}")
                told = reason
            await asyncio.sleep(WAIT_POLL_SECONDS)

    async def _keep(self, program: Program) -> None:
        loop, backoff, deaths = asyncio.get_running_loop(), FIRST_BACKOFF_SECONDS, 0
        while True:
            started = loop.time()
            status = await self._running[program.name].wait()
            if loop.time() - started > program.settled_seconds:
                backoff, deaths = FIRST_BACKOFF_SECONDS, 0
            deaths += 1
            if program.restarts is not None and deaths > program.restarts:
                self._announce(
                    f"{program.name} ended {deaths} times in a row and is not started again:"
                    f" {last_line(program.log)} (log: {program.log})"
                )
                return
            self._announce(
                f"{program.name} ended with status {status}, restarted in {backoff:g} s"
                f" (log: {program.log})"
            )
            await asyncio.sleep(backoff)
            backoff = min(backoff * 2, LAST_BACKOFF_SECONDS)
            await self._spawn(program)


def last_line(log: Path) -> str:
    """The last line of words in a log, where a process says why it ended."""
    try:
        lines = log.read_text(errors="replace").splitlines()
    except OSError:
        return "its log cannot be read"
    # A group of errors is printed within a frame, whose last line has no words.
    said = [line.strip(" |+-") for line in lines]
    return next((line for line in reversed(said) if line), "its log is empty")


def _signal(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(signal.SIGTERM)


def _joined(waiting: Mapping[str, str]) -> str:
    return ", ".join(f"{name} ({reason})" for name, reason in waiting.items())
