"""When the turn of a run has come at a server that has a queue of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from queue_agent.domain import RuntimeLostError
from queue_agent.ports import Started


class Turn:
    """Tells `started` when the server begins with a run, as far as the server shows it."""

    def __init__(self, started: Started) -> None:
        self._started = started
        self._waits = False

    def waits(self) -> None:
        """Record that the run was seen to wait for others."""
        self._waits = True

    def begun(self) -> None:
        """Record that the server works on it, or has. Safe to repeat."""
        self._waits = False
        self._started()

    @contextmanager
    def judged_if_lost(self) -> Iterator[None]:
        """Take a run to have begun that loses the server, unless it was last seen to wait."""
        try:
            yield
        except RuntimeLostError:
            if not self._waits:
                self._started()
            raise
