"""How often the progress of one task may be written."""

from __future__ import annotations

from collections import OrderedDict
from datetime import datetime, timedelta

from contracts.ids import Uid


class ProgressLimiter:
    """Remembers when the tasks of late were written, a bounded number of them."""

    def __init__(self, interval: timedelta, remembered: int = 10_000) -> None:
        self._interval = interval
        self._remembered = remembered
        self._written: OrderedDict[Uid, datetime] = OrderedDict()

    def allows(self, uid: Uid, now: datetime) -> bool:
        """Whether a write may happen now; if so it counts."""
        before = self._written.get(uid)
        if before is not None and now - before < self._interval:
            return False
        self._written[uid] = now
        self._written.move_to_end(uid)
        if len(self._written) > self._remembered:
            self._written.popitem(last=False)
        return True
