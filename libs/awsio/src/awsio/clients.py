"""Opens AWS clients the same way everywhere: bounded time, few SDK retries.

Region, endpoint, partition and credentials come from the SDK's own settings (`AWS_REGION`,
`AWS_ENDPOINT_URL`, the credentials chain), so the same code runs on AWS and on an emulator.
"""

from __future__ import annotations

import os
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING

from aiobotocore.config import AioConfig
from aiobotocore.session import get_session

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb import DynamoDBClient
    from types_aiobotocore_s3 import S3Client
    from types_aiobotocore_sns import SNSClient
    from types_aiobotocore_sqs import SQSClient

_CONFIG = AioConfig(
    connect_timeout=3,
    read_timeout=30,  # longer than the longest SQS long poll, 20 s
    retries={"mode": "standard", "total_max_attempts": 3},
    max_pool_connections=50,
)


def _region() -> str | None:
    # The SDK for Python reads only AWS_DEFAULT_REGION; the other SDKs and EKS set AWS_REGION.
    return os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")


def sqs() -> AbstractAsyncContextManager[SQSClient]:
    """Give a client for SQS."""
    return get_session().create_client("sqs", region_name=_region(), config=_CONFIG)


def sns() -> AbstractAsyncContextManager[SNSClient]:
    """Give a client for SNS."""
    return get_session().create_client("sns", region_name=_region(), config=_CONFIG)


def s3() -> AbstractAsyncContextManager[S3Client]:
    """Give a client for S3."""
    return get_session().create_client("s3", region_name=_region(), config=_CONFIG)


def dynamodb() -> AbstractAsyncContextManager[DynamoDBClient]:
    """Give a client for DynamoDB."""
    return get_session().create_client("dynamodb", region_name=_region(), config=_CONFIG)
