"""Progress that only goes forward: a server may begin to count anew, a task does not."""

from __future__ import annotations

from contracts.state import Progress
from queue_agent.ports import Report


def forward(report: Report) -> Report:
    """What calls `report`, except with less than it was told before."""
    furthest = Progress(step=0, total=1)

    def checked(progress: Progress) -> None:
        nonlocal furthest
        if progress.step * furthest.total >= furthest.step * progress.total:
            furthest = progress
            report(progress)

    return checked
