"""What a runtime has in its memory, and how much longer a run may take without it. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta

from queue_agent.domain import RuntimeLostError


@dataclass(slots=True, kw_only=True)
class LoadedModels:
    """What a runtime has in its memory, as far as its last run tells.

    A run is cold if it is the first since the runtime started, or asks for a model that the
    run before it did not: gigabytes may have to come from a bucket then.
    """

    load_time: timedelta = timedelta()  # that a cold run has more
    _loaded: frozenset[str] | None = field(default=None, init=False)

    def loading(self, models: frozenset[str]) -> timedelta:
        """How much longer than usual a run with these models may take."""
        return self.load_time if self._is_cold(models) else timedelta()

    @contextmanager
    def run(self, models: frozenset[str]) -> Iterator[None]:
        """Remember what the run in the block loads, if it ends well."""
        with self.forgetting_if_lost():
            yield
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
