"""When a task passed each point of its way, read from the services' logs."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Final

from pydantic_core import from_json

EVENTS: Final = ("accepted", "queued", "leased", "generated", "stored", "notified")


def timeline(logs: Iterable[Path], uid: str) -> dict[str, datetime]:
    """The first time of each event of one task, in the order of the way."""
    found: dict[str, datetime] = {}
    mark = uid.encode()
    for log in logs:
        with log.open("rb") as lines:
            for line in lines:
                if mark not in line:
                    continue
                try:
                    entry = from_json(line)
                    event, moment = entry["event"], datetime.fromisoformat(entry["time"])
                except (ValueError, KeyError, TypeError):
                    continue
                if entry.get("uid") == uid:
                    found[event] = min(moment, found.get(event, moment))
    return {event: found[event] for event in EVENTS if event in found}
