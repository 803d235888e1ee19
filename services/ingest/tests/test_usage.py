from __future__ import annotations

from datetime import UTC, date, datetime

import pytest
from ingest_fakes import CALLER, World, check_problem, rest

from darkroom.router.v1.router_pb2 import Used

PARTS = [
    Used(
        tenant="studio", key="bot", runtime="comfy", day="2026-11-01", tasks=3, completed=2,
        failed=1, images=5, gpu_ms=4500, cost_micros=750, currency="USD",
    ),
    Used(
        tenant="studio", key="bot", runtime="comfy", day="2026-11-02", tasks=1, cancelled=1,
        gpu_ms=250,
    ),
    Used(
        tenant="studio", key="site", runtime="sd", day="2026-11-02", tasks=1, completed=1,
        images=1,
    ),
]  # fmt: skip


async def test_usage_is_told_in_full(world: World) -> None:
    world.router.used = PARTS
    query = {"from": "2026-11-01", "to": "2026-11-30", "group_by": "key"}
    async with rest(world) as client:
        answer = await client.get("/v1/usage", params=query)

    assert answer.json() == {
        **query,
        "groups": [
            {
                "name": "bot", "tasks": 4, "completed": 2, "failed": 1, "cancelled": 1,
                "images": 5, "gpu_seconds": 4.75,
                "cost": {"currency": "USD", "amount": "0.000750"},
            },
            {
                "name": "site", "tasks": 1, "completed": 1, "failed": 0, "cancelled": 0,
                "images": 1, "gpu_seconds": 0.0, "cost": None,
            },
        ],
    }  # fmt: skip
    asked = {"first": date(2026, 11, 1), "last": date(2026, 11, 30), "caller": CALLER}
    assert world.router.asked == asked


@pytest.mark.parametrize(
    ("by", "names"), [("tenant", ["studio"]), ("runtime", ["comfy", "sd"]), ("", ["studio"])]
)
async def test_usage_is_in_the_groups_that_were_asked_for(
    world: World, by: str, names: list[str]
) -> None:
    world.router.used = PARTS
    async with rest(world) as client:
        answer = await client.get("/v1/usage", params={"group_by": by})
    assert [group["name"] for group in answer.json()["groups"]] == names


async def test_usage_is_of_this_month_unless_days_are_named(world: World) -> None:
    before = datetime.now(UTC).date()
    async with rest(world) as client:
        answer = (await client.get("/v1/usage")).json()
    today = date.fromisoformat(answer["to"])
    assert before <= today <= datetime.now(UTC).date()
    assert date.fromisoformat(answer["from"]) == today.replace(day=1)


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"from": "yesterday"}, "from"),
        ({"to": "2026-02-30"}, "to"),
        ({"group_by": "day"}, "group_by"),
        ({"from": "2026-11-02", "to": "2026-11-01"}, "to"),
        ({"from": "2020-01-01", "to": "2026-11-01"}, "to"),
    ],
)
async def test_wrong_days_and_groups_are_refused_by_name(
    world: World, query: dict[str, str], field: str
) -> None:
    async with rest(world) as client:
        answer = await client.get("/v1/usage", params=query)
    problem = check_problem(answer, 400, "invalid_request")
    assert problem["errors"][0]["field"] == field
