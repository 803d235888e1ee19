"""What a runtime offers, as agents keep it for clients."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from pydantic_core import from_json

from awsio import clients
from contracts.places import LISTINGS_BYTES, listings_key
from queue_agent.aws.s3 import S3ListingStore
from queue_agent.domain import RuntimeLostError
from queue_agent.pod import listings
from queue_agent.pod.listings import KeepListings
from testkit.aws import aws

__all__ = ["aws"]


@dataclass
class Kept:
    """Stops the agent when something is kept."""

    stop: asyncio.Event = field(default_factory=asyncio.Event)
    texts: list[bytes] = field(default_factory=list)

    async def keep(self, text: bytes, digest: str) -> None:
        self.texts.append(text)
        self.stop.set()


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> Kept:
    monkeypatch.setattr(listings, "SOON", listings.SOON / 1000)
    return Kept()


async def test_they_are_taken_when_the_runtime_is_ready(kept: Kept) -> None:
    looks: list[int] = []

    def is_ready() -> bool:
        looks.append(1)
        return len(looks) > 2

    async def take() -> Mapping[str, Any]:
        assert len(looks) > 2
        return {"samplers": [{"name": "Euler"}]}

    async with asyncio.timeout(60):
        await KeepListings(take=take, store=kept, is_ready=is_ready).run_until(kept.stop)

    assert [from_json(gzip.decompress(text)) for text in kept.texts] == [
        {"samplers": [{"name": "Euler"}]}
    ]


async def test_they_are_taken_again_if_the_runtime_goes_meanwhile(kept: Kept) -> None:
    tries: list[int] = []

    async def take() -> Mapping[str, Any]:
        tries.append(1)
        if len(tries) == 1:
            raise RuntimeLostError("gone")
        return {}

    async with asyncio.timeout(60):
        await KeepListings(take=take, store=kept, is_ready=lambda: True).run_until(kept.stop)

    assert (len(tries), len(kept.texts)) == (2, 1)


async def test_what_no_client_could_be_sent_is_not_kept(kept: Kept) -> None:
    stop = asyncio.Event()

    async def take() -> Mapping[str, Any]:
        stop.set()
        # What cannot be packed smaller.
        return {"extensions": [hex(hash((i, "x")))[-9:] for i in range(LISTINGS_BYTES // 4)]}

    async with asyncio.timeout(60):
        await KeepListings(take=take, store=kept, is_ready=lambda: True).run_until(stop)

    assert kept.texts == []


async def test_an_object_is_written_only_if_it_has_changed(aws: str) -> None:
    bucket = "of-listings"
    async with clients.s3() as s3:
        await s3.create_bucket(Bucket=bucket)
        store = S3ListingStore(client=s3, bucket=bucket, runtime="sdruntime")
        times = []
        for text, digest in ((b"a", "1"), (b"a", "1"), (b"b", "2")):
            await store.keep(text, digest)
            found = await s3.get_object(Bucket=bucket, Key=listings_key("sdruntime"))
            times.append((await found["Body"].read(), found["Metadata"]["darkroom-digest"]))
        # Another text of the same digest would not be written.
        await store.keep(b"c", "2")
        last = await s3.get_object(Bucket=bucket, Key=listings_key("sdruntime"))
        assert await last["Body"].read() == b"b"

    assert times == [(b"a", "1"), (b"a", "1"), (b"b", "2")]
