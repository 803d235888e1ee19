"""What keys may take and have used, asked for over gRPC."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from router_fakes import World, task
from router_parts import request, stub

from contracts.cost import Cost
from darkroom.router.v1 import router_pb2
from ledger.record import Result
from servicekit.errors import RejectedError
from servicekit.rpc import translated

if TYPE_CHECKING:
    from darkroom.router.v1.router_pb2_grpc import RouterServiceAsyncStub

__all__ = ["stub"]


async def _used(world: World) -> None:
    """A task of the tenant has ended and is counted."""
    record = await world.submit(task())
    cost = Cost(gpu_ms=1500, micros=500_000, currency="USD")
    await world.ledger.begin(record.uid, world.now)
    result = Result(image_url=("s3://b/1.png",), attempt=1, cost=cost)
    ended, _ = await world.ledger.finish(record.uid, result, world.now)
    assert ended is not None
    await world.ledger.mark_callback_sent(ended, world.now)


@pytest.mark.parametrize(
    "quota",
    [
        router_pb2.Quota(open_tasks=1),
        router_pb2.Quota(daily_images=1),
        router_pb2.Quota(monthly_budget="0.5"),
    ],
)
async def test_each_quota_of_a_request_counts(
    stub: RouterServiceAsyncStub, world: World, quota: router_pb2.Quota
) -> None:
    if quota.open_tasks:
        await stub.SubmitTask(request(quota=quota), timeout=60)
    else:
        await _used(world)

    with pytest.raises(RejectedError) as caught, translated("router.SubmitTask"):
        await stub.SubmitTask(request(quota=quota), timeout=60)
    assert caught.value.code == "quota_exceeded"


@pytest.mark.parametrize(
    ("reader", "tenants"),
    [
        (router_pb2.Reader(tenant="studio"), ["studio"]),
        (router_pb2.Reader(tenant="rival"), []),
        (router_pb2.Reader(), []),
        (router_pb2.Reader(tenant="rival", all_tenants=True), ["studio"]),
    ],
)
async def test_what_was_used_is_told_to_those_who_may_see_it(
    stub: RouterServiceAsyncStub,
    world: World,
    reader: router_pb2.Reader,
    tenants: list[str],
) -> None:
    await _used(world)

    day = world.now.date().isoformat()
    asked = router_pb2.GetUsageRequest(reader=reader, first_day=day, last_day=day)
    answer = await stub.GetUsage(asked, timeout=60)
    assert [one.tenant for one in answer.used] == tenants
    assert all(one.images == 1 and one.cost_micros == 500_000 for one in answer.used)
