"""What SD WebUI tells about the run in hand. It names no task, and some of it is stale."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sample_runtime.gpu import Gpu


@dataclass
class RunCounters:
    """Counters of the run in hand; `sampling_steps` is the last run's until its first step."""

    gpu: Gpu
    job: str = ""
    job_count: int = 0
    job_number: int = 0
    job_timestamp: str = "0"
    sampling_step: int = 0
    sampling_steps: int = 0
    _started: float = field(default=0.0, repr=False)

    @contextmanager
    def run(self, job: str, job_count: int) -> Iterator[None]:
        """Count a run from its begin to its end, however it ends."""
        self.job, self.job_count, self.job_number = job, job_count, 0
        self.sampling_step = 0
        self.job_timestamp = datetime.now(UTC).strftime("%Y%m%d%H%M%S")
        self._started = time.monotonic()
        try:
            yield
        finally:
            self.job, self.job_count = "", 0

    def step(self, number: int, steps: int) -> None:
        """Note that sampling reached step `number` of `steps`."""
        self.sampling_step, self.sampling_steps = number, steps

    def next_job(self) -> None:
        """Note that one iteration is over."""
        self.job_number += 1
        self.sampling_step = 0

    def as_dict(self) -> dict[str, Any]:
        """The body of `GET progress`; fractions are 0 to 1, times are seconds."""
        done = self._fraction()
        elapsed = time.monotonic() - self._started
        return {
            "progress": done,
            "eta_relative": elapsed / done - elapsed if done else 0.0,
            "state": self._state(),
            "current_image": None,
            "textinfo": None,
        }

    def _fraction(self) -> float:
        if not self.job_count:
            return 0.0
        done = 0.01 + self.job_number / self.job_count
        if self.sampling_steps:
            done += self.sampling_step / self.sampling_steps / self.job_count
        return min(done, 1.0)

    def _state(self) -> dict[str, Any]:
        return {
            "skipped": self.gpu.skipped,
            "interrupted": self.gpu.interrupted,
            "stopping_generation": False,
            "job": self.job,
            "job_count": self.job_count,
            "job_timestamp": self.job_timestamp,
            "job_no": self.job_number,
            "sampling_step": self.sampling_step,
            "sampling_steps": self.sampling_steps,
        }
