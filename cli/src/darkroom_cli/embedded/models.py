"""The model of the sample runtimes."""

from __future__ import annotations

import json
import struct
from typing import Final

from awsio import clients
from awsio.errors import translated
from darkroom_cli.requests import SAMPLE_CHECKPOINT

KEY: Final = f"Stable-diffusion/{SAMPLE_CHECKPOINT}"


async def seed_models(bucket: str) -> None:
    """Put the sample checkpoint where the sample runtimes' configuration says it is."""
    async with clients.s3() as s3:
        with translated("s3.put_object"):
            found = await s3.list_objects_v2(Bucket=bucket, Prefix=KEY)
            if not found.get("KeyCount"):
                await s3.put_object(Bucket=bucket, Key=KEY, Body=sample_weights())


async def remove_sample(bucket: str) -> None:
    """Remove the sample checkpoint, which a real server cannot load; a real one stays."""
    async with clients.s3() as s3:
        with translated("s3.delete_object"):
            found = await s3.list_objects_v2(Bucket=bucket, Prefix=KEY)
            if [each["Size"] for each in found.get("Contents", ())] == [len(sample_weights())]:
                await s3.delete_object(Bucket=bucket, Key=KEY)


def sample_weights() -> bytes:
    """A valid safetensors file with one tensor of one number."""
    header = json.dumps({"sample": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}})
    return struct.pack("<Q", len(header)) + header.encode() + struct.pack("<f", 0.0)
