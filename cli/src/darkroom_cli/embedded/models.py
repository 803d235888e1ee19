"""Models of the embedded mode: the sample that is always there, and those a user adds."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Final

from awsio import clients
from awsio.errors import translated
from darkroom_cli.requests import SAMPLE_CHECKPOINT

if TYPE_CHECKING:
    from types_aiobotocore_s3.type_defs import CompletedPartTypeDef

PART_BYTES: Final = 16 * 2**20


async def seed_models(bucket: str) -> None:
    """Put the sample checkpoint where the sample runtimes' configuration says it is."""
    key = f"Stable-diffusion/{SAMPLE_CHECKPOINT}"
    async with clients.s3() as s3:
        with translated("s3.put_object"):
            found = await s3.list_objects_v2(Bucket=bucket, Prefix=key)
            if not found.get("KeyCount"):
                await s3.put_object(Bucket=bucket, Key=key, Body=sample_weights())


def sample_weights() -> bytes:
    """A valid safetensors file with one tensor of one number."""
    header = json.dumps({"sample": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}})
    return struct.pack("<Q", len(header)) + header.encode() + struct.pack("<f", 0.0)


async def add_model(bucket: str, file: Path, kind: str) -> str:
    """Upload a model file in parts and give its key; raises `OSError` and our AWS errors."""
    key = f"{kind}/{file.name}"
    with file.open("rb") as body:
        async with clients.s3() as s3:
            with translated("s3.upload"):
                upload = await s3.create_multipart_upload(Bucket=bucket, Key=key)
                parts: list[CompletedPartTypeDef] = []
                while True:
                    part = body.read(PART_BYTES)
                    if not part and parts:
                        break
                    answer = await s3.upload_part(
                        Bucket=bucket,
                        Key=key,
                        UploadId=upload["UploadId"],
                        PartNumber=len(parts) + 1,
                        Body=part,
                    )
                    parts.append({"ETag": answer["ETag"], "PartNumber": len(parts) + 1})
                await s3.complete_multipart_upload(
                    Bucket=bucket,
                    Key=key,
                    UploadId=upload["UploadId"],
                    MultipartUpload={"Parts": parts},
                )
    return key
