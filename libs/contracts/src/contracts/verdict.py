"""What an agent does with a delivery; the notifier says so."""

from __future__ import annotations

from enum import Enum, auto


class Verdict(Enum):
    """The names are those of `darkroom.notifier.v1.Verdict`, without `VERDICT_`."""

    PROCEED = auto()
    FINISHED = auto()  # its result is committed, and its callback is sent
    UNKNOWN = auto()  # it was never accepted
    POISONED = auto()  # it has failed too often, and that is committed
