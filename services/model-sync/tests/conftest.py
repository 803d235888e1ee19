from __future__ import annotations

import asyncio

import pytest
from hypothesis import settings
from model_sync_fakes import FakeModelBucket

from awsio import clients
from contracts.ids import new_uid
from model_sync.catalogue import Catalogue
from testkit.aws import aws

__all__ = ["aws"]

settings.register_profile("model-sync", deadline=None)  # a busy machine is not a defect
settings.load_profile("model-sync")


@pytest.fixture
def bucket() -> FakeModelBucket:
    return FakeModelBucket()


@pytest.fixture
def catalogue(bucket: FakeModelBucket) -> Catalogue:
    return Catalogue(bucket, max_models=100)


@pytest.fixture
def s3_bucket(aws: str) -> str:
    """The name of an empty bucket on the emulator."""
    name = f"models-{new_uid().lower()}"

    async def make() -> None:
        async with clients.s3() as s3:
            await s3.create_bucket(Bucket=name)

    asyncio.run(make())
    return name
