"""The one device of a sample runtime: who has it, for how long, and how it misbehaves."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

StepListener = Callable[[int], None]
_HOLD_POLL = timedelta(milliseconds=20)


@dataclass(frozen=True, kw_only=True)
class Behaviour:
    """What was asked for on the command line: how slow to be, and which prompts go wrong."""

    image_time: timedelta
    fail_when: str | None = None
    hang_when: str | None = None
    hold_file: Path | None = None
    die_when: str | None = None
    break_file: Path | None = None


# Torch's words for cudaErrorIllegalAddress, after which a process can do no more on its device:
# SD WebUI's issue 14554 has them for one prompt after another until the restart.
_BROKEN = (
    "CUDA error: an illegal memory access was encountered\n"
    "CUDA kernel errors might be asynchronously reported at some other API call, "
    "so the stacktrace below might be incorrect.\n"
)


class Gpu:
    """A device for one job at a time; further jobs wait for it in the order they came."""

    def __init__(self, behaviour: Behaviour, busy_log: Path | None = None) -> None:
        self._behaviour = behaviour
        self._busy_log = busy_log
        self._lock = asyncio.Lock()
        self._wake = asyncio.Event()
        self.interrupted = False
        self.skipped = False
        self._broken = False

    @asynccontextmanager
    async def work(self, job: str) -> AsyncIterator[None]:
        """Wait for the device, forget old interrupts, and log the span it was held."""
        async with self._lock:
            self.interrupted = self.skipped = False
            self._wake.clear()
            start = time.time()
            try:
                yield
            finally:
                self._log_span(job, start)

    def interrupt(self) -> None:
        """End the running job early; with none running nothing happens to the next one."""
        self.interrupted = True
        self._wake.set()

    def skip(self) -> None:
        """End the running iteration early."""
        self.skipped = True
        self._wake.set()

    async def sample(
        self, prompt: str, *, steps: int, images: int = 1, on_step: StepListener
    ) -> float:
        """Take the time of `images` pictures and give the fraction done, 1.0 if not stopped.

        Raises RuntimeError for a prompt that is to fail, and for each one once the device is
        broken. Waits for an interrupt on one that is to hang, and stands still after each step
        while the hold file exists. A prompt that is to kill the server does.
        """
        if self.skipped:
            self.skipped = False
            self._wake.clear()
        self._fail(prompt)
        if self._matches(prompt, self._behaviour.hang_when):
            await self._wake.wait()
        start = asyncio.get_running_loop().time()
        duration = self._behaviour.image_time.total_seconds() * images
        for step in range(steps):
            if await self._stopped_before(start + duration * (step + 1) / steps):
                return step / steps
            on_step(step + 1)
            if await self._held():
                return (step + 1) / steps
        return 1.0

    async def idle_for_an_image(self) -> None:
        """Take the time of one picture, or less after an interrupt."""
        now = asyncio.get_running_loop().time()
        await self._stopped_before(now + self._behaviour.image_time.total_seconds())

    async def _held(self) -> bool:
        """Wait until the hold file is gone; whether a stop came first."""
        hold = self._behaviour.hold_file
        while hold is not None and hold.exists():
            if await self._stopped_before(
                asyncio.get_running_loop().time() + _HOLD_POLL.total_seconds()
            ):
                return True
        return False

    async def _stopped_before(self, deadline: float) -> bool:
        try:
            async with asyncio.timeout_at(deadline):
                await self._wake.wait()
        except TimeoutError:
            return False
        return True

    def _fail(self, prompt: str) -> None:
        if self._matches(prompt, self._behaviour.die_when):
            os.kill(os.getpid(), signal.SIGKILL)  # as the kernel does when memory runs out
        file = self._behaviour.break_file
        if file is not None and file.exists():
            file.unlink()
            self._broken = True
        if self._broken:
            raise RuntimeError(_BROKEN)
        if self._matches(prompt, self._behaviour.fail_when):
            raise RuntimeError(f"told to fail on prompts with {self._behaviour.fail_when!r}")

    @staticmethod
    def _matches(prompt: str, text: str | None) -> bool:
        return text is not None and text in prompt

    def _log_span(self, job: str, start: float) -> None:
        if self._busy_log is None:
            return
        span = {"start": start, "end": time.time(), "id": job}
        with self._busy_log.open("a", encoding="utf-8") as log:
            log.write(json.dumps(span) + "\n")
