"""Opens AWS clients the same way everywhere: bounded time, few SDK retries.

Region, endpoint, partition and credentials come from the SDK's own settings (`AWS_REGION`,
`AWS_ENDPOINT_URL`, the credentials chain), so the same code runs on AWS and on an emulator.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

from aiobotocore import __version__
from aiobotocore.config import AioConfig
from aiobotocore.session import AioSession, get_session
from botocore.exceptions import NoRegionError

from servicekit.errors import FatalError

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
    # A fifth of a small call's CPU time: types are checked before, and AWS checks all anew.
    parameter_validation=False,
    # As much again: without a text, one is put together twice for each call.
    user_agent=f"darkroom aiobotocore/{__version__}",
)
# Presigned URLs would otherwise have version 2 in some regions, which the others refuse.
_S3_CONFIG = _CONFIG.merge(AioConfig(signature_version="s3v4"))
# By default they name the global endpoint, which redirects or refuses for most regions.
_REGIONAL_CONFIG = _S3_CONFIG.merge(AioConfig(s3={"addressing_style": "virtual"}))


C = TypeVar("C")


def region() -> str | None:
    """The region that the environment names."""
    # The SDK for Python reads only AWS_DEFAULT_REGION; the other SDKs and EKS set AWS_REGION.
    return os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")


@cache
def _models() -> Any:
    """What reads the descriptions of services: many megabytes, so once a process."""
    return get_session().get_component("data_loader")


def _session() -> AioSession:
    session = get_session()
    session.register_component("data_loader", _models())
    return session


def sqs() -> AbstractAsyncContextManager[SQSClient]:
    """A client for SQS; raises `FatalError` if no region is configured."""
    return _opened(_session().create_client("sqs", region_name=region(), config=_CONFIG))


def sns() -> AbstractAsyncContextManager[SNSClient]:
    """A client for SNS; raises `FatalError` if no region is configured."""
    return _opened(_session().create_client("sns", region_name=region(), config=_CONFIG))


def s3(*, signs_links: bool = False) -> AbstractAsyncContextManager[S3Client]:
    """A client for S3; raises `FatalError` if no region is configured.

    One that signs links names buckets in the host, so their names may not have dots.
    """
    # The host of an emulator has no names for buckets.
    regional = signs_links and "AWS_ENDPOINT_URL" not in os.environ
    config = _REGIONAL_CONFIG if regional else _S3_CONFIG
    return _opened(_session().create_client("s3", region_name=region(), config=config))


def dynamodb() -> AbstractAsyncContextManager[DynamoDBClient]:
    """A client for DynamoDB; raises `FatalError` if no region is configured."""
    return _opened(_session().create_client("dynamodb", region_name=region(), config=_CONFIG))


def secrets() -> AbstractAsyncContextManager[Any]:
    """A client for Secrets Manager; raises `FatalError` if no region is configured."""
    return _opened(_named("secretsmanager"))


def api_gateway() -> AbstractAsyncContextManager[Any]:
    """A client for API Gateway; raises `FatalError` if no region is configured."""
    return _opened(_named("apigateway"))


def _named(service: Any) -> AbstractAsyncContextManager[Any]:
    """A client of a service that is called too seldom for types of its own."""
    created: AbstractAsyncContextManager[Any] = _session().create_client(
        service, region_name=region(), config=_CONFIG
    )
    return created


@asynccontextmanager
async def _opened(client: AbstractAsyncContextManager[C]) -> AsyncIterator[C]:
    async with AsyncExitStack() as stack:
        try:
            opened = await stack.enter_async_context(client)
        except NoRegionError as error:
            raise FatalError("no AWS region is configured: set AWS_REGION") from error
        yield opened
