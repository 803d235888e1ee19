from __future__ import annotations

from datetime import datetime, timezone
from decimal import Decimal
from typing import Any

from stub_server import Reply, StubServer


def test_overview_is_typed_and_what_nobody_knows_is_none(
    darkroom: Any, server: StubServer
) -> None:
    hour = {"completed": 1, "failed": 0, "cancelled": 0, "images": 2, "gpu_seconds": 1.5,
            "minutes": [0] * 59 + [1]}  # fmt: skip
    today = {"tasks": 3, "images": 4, "gpu_seconds": 2,
             "cost": {"currency": "USD", "amount": "0.000207"}}  # fmt: skip
    runtime = {"name": "canvas", "type": "sdwebui", "queued": 7, "running": None,
               "oldest_wait_seconds": 12.5, "dead_letters": 0}  # fmt: skip
    told = {"at": "2026-01-02T03:04:05.000Z", "webhook_dead_letters": None}
    seen = {**runtime, "last_hour": hour, "today": today}
    server.on("GET /v1/overview", Reply({**told, "runtimes": [seen, {**seen, "today": {}}]}))

    overview = darkroom.overview()

    assert overview.at == datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)
    canvas, other = overview.runtimes
    assert (canvas.queued, canvas.running, canvas.oldest_wait_seconds) == (7, None, 12.5)
    assert (len(canvas.last_hour.minutes), canvas.last_hour.minutes[-1]) == (60, 1)
    assert canvas.today.cost.amount == Decimal("0.000207")
    assert other.today.tasks == 0
