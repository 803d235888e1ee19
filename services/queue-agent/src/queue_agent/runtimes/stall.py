"""How long a run may stand still: longer if the runtime has to load models first. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from queue_agent.domain import RuntimeLostError

NEVER: Final = timedelta.max


@dataclass(slots=True, kw_only=True)
class StallLimit:
    """What a runtime has in its memory, as far as its last run tells.

    A run is cold if it is the first since the runtime started, or asks for a model that the
    run before it did not: gigabytes may have to come from a bucket then, without a sign of
    progress.
    """

    stall: timedelta = NEVER  # without progress: the runtime hangs
    cold_stall: timedelta = timedelta()  # the same in a cold run, if that is longer
    _loaded: frozenset[str] | None = field(default=None, init=False)

    def loading(self, models: frozenset[str]) -> timedelta:
        """How much longer than usual a run with these models may take."""
        return self.cold_stall if self._is_cold(models) else timedelta()

    @contextmanager
    def run(self, models: frozenset[str]) -> Iterator[timedelta]:
        """How long the run in the block may make no progress; what it loaded is remembered."""
        with self.forgetting_if_lost():
            yield max(self.stall, self.loading(models))
        if models or self._loaded is None:
            self._loaded = models

    @contextmanager
    def forgetting_if_lost(self) -> Iterator[None]:
        """Forget what is loaded if the runtime is lost in the block, maybe with its memory."""
        try:
            yield
        except RuntimeLostError:
            self._loaded = None
            raise

    def _is_cold(self, models: frozenset[str]) -> bool:
        return self._loaded is None or not models <= self._loaded
