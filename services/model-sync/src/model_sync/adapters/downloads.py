"""`ModelDownloads` on Amazon S3: parts side by side, by the SDK's transfer manager."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import boto3  # type: ignore[import-untyped]  # comes without types
from boto3.exceptions import RetriesExceededError  # type: ignore[import-untyped]
from boto3.s3.transfer import TransferConfig  # type: ignore[import-untyped]
from botocore.config import Config

from awsio.clients import region
from awsio.errors import translated
from servicekit.errors import TransientError

PART_BYTES = 16 * 1024 * 1024


class S3ModelDownloads:
    """Downloads from one bucket; asks five times in all for a part that breaks off."""

    def __init__(self, bucket: str, *, parallel: int) -> None:
        self._bucket = bucket
        self._transfer = TransferConfig(
            max_concurrency=parallel,
            multipart_threshold=PART_BYTES,
            multipart_chunksize=PART_BYTES,
        )
        config = Config(
            connect_timeout=3,
            read_timeout=30,
            retries={"mode": "standard", "total_max_attempts": 3},
            max_pool_connections=parallel,
            signature_version="s3v4",
        )
        self._client = boto3.client("s3", region_name=region(), config=config)

    def fetch(self, key: str, path: Path, arrived: Callable[[int], None]) -> None:
        action = "s3.get_object"
        with translated(action):
            try:
                self._client.download_file(
                    self._bucket, key, str(path), Callback=arrived, Config=self._transfer
                )
            except RetriesExceededError as error:
                raise TransientError(f"AWS broke off {action}", action=action) from error
