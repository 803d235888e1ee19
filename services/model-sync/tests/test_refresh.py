from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from datetime import timedelta

import pytest
from model_sync_fakes import FakeModelBucket

from model_sync import refresh
from model_sync.catalogue import Catalogue
from model_sync.refresh import keep_fresh
from servicekit.errors import FatalError
from servicekit.health import Health

SOON = timedelta(milliseconds=1)
KEY = "Stable-diffusion/a.ckpt"


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FIRST_LOOK_PAUSE", "REFUSAL_PAUSE", "LONGEST_PAUSE"):
        monkeypatch.setattr(refresh, name, SOON)


async def until(event: Awaitable[object], catalogue: Catalogue, health: Health) -> None:
    """Keep it fresh until something has happened."""
    fresh = asyncio.ensure_future(keep_fresh(catalogue, health, SOON))
    async with asyncio.timeout(60):
        await event
        await asyncio.sleep(0)
    fresh.cancel()
    with pytest.raises(asyncio.CancelledError):
        await fresh


async def test_the_catalogue_is_kept_fresh_in_spite_of_failures(
    bucket: FakeModelBucket, catalogue: Catalogue
) -> None:
    bucket.objects, bucket.fails, health = {KEY: b"x"}, 2, Health()
    await until(bucket.listed.wait(), catalogue, health)
    assert [model.name for model in catalogue.models] == ["a.ckpt"]
    assert (bucket.looks >= 3, health.reason) == (True, None)


async def test_an_outage_later_on_leaves_it_ready(
    bucket: FakeModelBucket, catalogue: Catalogue
) -> None:
    bucket.objects, health = {KEY: b"x"}, Health()
    await until(bucket.listed.wait(), catalogue, health)
    bucket.fails = 10**6

    async def looked() -> None:
        while bucket.looks < 4:  # noqa: ASYNC110  # a fake needs no more
            await asyncio.sleep(0)

    await until(looked(), catalogue, health)
    assert health.reason is None
    assert [model.name for model in catalogue.models] == ["a.ckpt"]


@pytest.mark.parametrize("was_ready", [True, False])
async def test_a_refusal_is_told_as_the_reason_and_tried_again(
    bucket: FakeModelBucket, catalogue: Catalogue, was_ready: bool
) -> None:
    bucket.objects, health = {KEY: b"x"}, Health()
    if was_ready:
        await until(bucket.listed.wait(), catalogue, health)
    bucket.refused = "AccessDenied"
    await until(bucket.was_refused.wait(), catalogue, health)
    assert health.reason == "AWS refused s3.list_objects: AccessDenied"
    bucket.refused = ""
    bucket.listed.clear()
    await until(bucket.listed.wait(), catalogue, health)
    assert health.reason is None


async def test_a_bucket_that_is_not_there_ends_it(
    bucket: FakeModelBucket, catalogue: Catalogue
) -> None:
    bucket.refused = "NoSuchBucket"
    with pytest.raises(FatalError):
        await keep_fresh(catalogue, Health(), SOON)
