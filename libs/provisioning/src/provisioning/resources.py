"""Makes everything on AWS that a task passes through; a second run changes nothing.

The embedded mode and the tests use it; on AWS the Ansible roles make the same resources.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from awsio import clients
from awsio.errors import translated
from contracts.runtimes import Runtime
from ledger.dynamodb_reads import BY_RUNTIME, BY_TENANT, BY_TENANT_ID, DUE
from ledger.items import DUE_SINCE, TENANT_ID

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb import DynamoDBClient
    from types_aiobotocore_s3 import S3Client
    from types_aiobotocore_sns import SNSClient
    from types_aiobotocore_sqs import SQSClient

VISIBILITY_SECONDS: Final = 120
MAX_RECEIVES: Final = 10
# The notifier counts tries; waiting costs receives, too. This is for what it cannot handle.
MAX_WEBHOOK_RECEIVES: Final = 1000
RETENTION_SECONDS: Final = 14 * 24 * 3600
CLAIM_DAYS: Final = 15  # a claim outlives the message that points to it


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """Where everything is."""

    task_topic_arn: str
    result_topic_arn: str
    queues: dict[str, str]  # runtime -> URL
    dead_letter_queues: dict[str, str]  # runtime -> URL
    webhook_queue: str  # URL
    webhook_dead_letter_queue: str  # URL
    table: str
    output_bucket: str
    model_bucket: str
    claim_bucket: str


async def provision(
    name: str, runtimes: Iterable[Runtime], *, region: str = "us-east-1"
) -> Resources:
    """Make what is missing of the stack called `name`; safe to repeat.

    Raises `TransientError` when AWS cannot be reached, `FatalError` when it refuses.
    """
    listed = list(runtimes)
    async with (
        clients.sns() as sns,
        clients.sqs() as sqs,
        clients.s3() as s3,
        clients.dynamodb() as dynamodb,
    ):
        task_topic = await _topic(sns, f"{name}-tasks")
        queues, parked = {}, {}
        for runtime in listed:
            url, parked_url = await _queue(sns, sqs, task_topic, name, runtime)
            queues[runtime.name], parked[runtime.name] = url, parked_url
        webhooks, parked_webhooks = await _webhook_queues(sqs, name)
        buckets = {kind: f"{name}-{kind}" for kind in ("output", "claims")}
        buckets["models"] = model_bucket_of(name)
        for bucket in buckets.values():
            await _bucket(s3, bucket, region)
        await _expire(s3, buckets["claims"], CLAIM_DAYS)
        await _table(dynamodb, f"{name}-ledger")
        return Resources(
            task_topic_arn=task_topic,
            result_topic_arn=await _topic(sns, f"{name}-results"),
            queues=queues,
            dead_letter_queues=parked,
            webhook_queue=webhooks,
            webhook_dead_letter_queue=parked_webhooks,
            table=f"{name}-ledger",
            output_bucket=buckets["output"],
            model_bucket=buckets["models"],
            claim_bucket=buckets["claims"],
        )


def model_bucket_of(name: str) -> str:
    """The model bucket of the stack called `name`."""
    return f"{name}-models"


async def subscribe_queue(topic_arn: str, queue_name: str) -> str:
    """Make a queue that gets every message of a topic as it was published; gives its URL."""
    async with clients.sns() as sns, clients.sqs() as sqs:
        url, arn = await _make_queue(sqs, queue_name, {})
        await _allow(sqs, url, arn, topic_arn)
        await _subscribe(sns, topic_arn, arn, {"RawMessageDelivery": "true"})
        return url


@asynccontextmanager
async def topic_listener(
    topic_arn: str, queue_name: str, tags: Mapping[str, str]
) -> AsyncIterator[str]:
    """The URL of a queue that gets every message of a topic as long as the block runs.

    The queue and its subscription are removed at the end, whatever happens in the block.
    """
    async with clients.sns() as sns, clients.sqs() as sqs:
        url, arn = await _make_queue(sqs, queue_name, {}, tags)
        try:
            try:
                await _allow(sqs, url, arn, topic_arn)
                await _subscribe(sns, topic_arn, arn, {"RawMessageDelivery": "true"})
                yield url
            finally:
                await _unsubscribe(sns, topic_arn, arn)
        finally:
            with translated("sqs.delete_queue"):
                await sqs.delete_queue(QueueUrl=url)


async def _topic(sns: SNSClient, name: str) -> str:
    with translated("sns.create_topic"):
        return (await sns.create_topic(Name=name))["TopicArn"]


async def _queue(
    sns: SNSClient, sqs: SQSClient, topic_arn: str, name: str, runtime: Runtime
) -> tuple[str, str]:
    parked_url, parked_arn = await _make_queue(
        sqs, f"{name}-{runtime.name}-dlq", {"MessageRetentionPeriod": str(RETENTION_SECONDS)}
    )
    redrive = {"deadLetterTargetArn": parked_arn, "maxReceiveCount": MAX_RECEIVES}
    url, arn = await _make_queue(
        sqs,
        f"{name}-{runtime.name}",
        {
            "VisibilityTimeout": str(VISIBILITY_SECONDS),
            "MessageRetentionPeriod": str(RETENTION_SECONDS),
            "RedrivePolicy": json.dumps(redrive),
        },
    )
    await _allow(sqs, url, arn, topic_arn)
    await _subscribe(
        sns,
        topic_arn,
        arn,
        {
            "RawMessageDelivery": "true",
            "FilterPolicyScope": "MessageAttributes",
            "FilterPolicy": json.dumps(_filter(runtime)),
        },
    )
    return url, parked_url


async def _webhook_queues(sqs: SQSClient, name: str) -> tuple[str, str]:
    """The queue of webhooks and its dead letters; an underscore, so they are no runtime's."""
    kept = {"MessageRetentionPeriod": str(RETENTION_SECONDS)}
    parked_url, parked_arn = await _make_queue(sqs, f"{name}_webhooks-dlq", kept)
    redrive = {"deadLetterTargetArn": parked_arn, "maxReceiveCount": MAX_WEBHOOK_RECEIVES}
    url, _ = await _make_queue(
        sqs, f"{name}_webhooks", {**kept, "RedrivePolicy": json.dumps(redrive)}
    )
    return url, parked_url


def _filter(runtime: Runtime) -> dict[str, Any]:
    """What the queue of a runtime takes; the checkpoint is how the original solution routes."""
    by_name = {"runtime": [runtime.name]}
    if not runtime.model_filename:
        return by_name
    return {"$or": [by_name, {"sd_model_checkpoint": [runtime.model_filename]}]}


async def _make_queue(
    sqs: SQSClient, name: str, attributes: dict[Any, str], tags: Mapping[str, str] | None = None
) -> tuple[str, str]:
    with translated("sqs.create_queue"):
        url = (await sqs.create_queue(QueueName=name, tags=tags or {}))["QueueUrl"]
        # Not at creation: an existing queue with other attributes would be refused there.
        if attributes:
            await sqs.set_queue_attributes(QueueUrl=url, Attributes=attributes)
        answer = await sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
        return url, answer["Attributes"]["QueueArn"]


async def _allow(sqs: SQSClient, url: str, arn: str, topic_arn: str) -> None:
    policy = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Service": "sns.amazonaws.com"},
                "Action": "sqs:SendMessage",
                "Resource": arn,
                "Condition": {"ArnEquals": {"aws:SourceArn": topic_arn}},
            }
        ],
    }
    with translated("sqs.set_queue_attributes"):
        await sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": json.dumps(policy)})


async def _subscribe(
    sns: SNSClient, topic_arn: str, queue_arn: str, attributes: dict[str, str]
) -> None:
    with translated("sns.subscribe"):
        if arns := await _subscriptions(sns, topic_arn, queue_arn):
            for name, value in attributes.items():
                await sns.set_subscription_attributes(
                    SubscriptionArn=arns[0], AttributeName=name, AttributeValue=value
                )
            return
        await sns.subscribe(
            TopicArn=topic_arn, Protocol="sqs", Endpoint=queue_arn, Attributes=attributes
        )


async def _unsubscribe(sns: SNSClient, topic_arn: str, queue_arn: str) -> None:
    with translated("sns.unsubscribe"):
        for arn in await _subscriptions(sns, topic_arn, queue_arn):
            await sns.unsubscribe(SubscriptionArn=arn)


async def _subscriptions(sns: SNSClient, topic_arn: str, queue_arn: str) -> list[str]:
    pages = sns.get_paginator("list_subscriptions_by_topic").paginate(TopicArn=topic_arn)
    known = [s async for page in pages for s in page["Subscriptions"]]
    return [s["SubscriptionArn"] for s in known if s.get("Endpoint") == queue_arn]


async def _bucket(s3: S3Client, name: str, region: str) -> None:
    with translated("s3.create_bucket"):
        buckets = (await s3.list_buckets())["Buckets"]
        if any(bucket["Name"] == name for bucket in buckets):
            return
        # us-east-1 is the one region that must not be named.
        where: Any = {"LocationConstraint": region}
        extra: Any = {} if region == "us-east-1" else {"CreateBucketConfiguration": where}
        await s3.create_bucket(Bucket=name, **extra)


async def _expire(s3: S3Client, bucket: str, days: int) -> None:
    with translated("s3.put_bucket_lifecycle_configuration"):
        await s3.put_bucket_lifecycle_configuration(
            Bucket=bucket,
            LifecycleConfiguration={
                "Rules": [
                    {
                        "ID": "expire",
                        "Status": "Enabled",
                        "Filter": {"Prefix": ""},
                        "Expiration": {"Days": days},
                    }
                ]
            },
        )


async def _table(dynamodb: DynamoDBClient, name: str) -> None:
    with translated("dynamodb.create_table"):
        if name in (await dynamodb.list_tables())["TableNames"]:
            await _add_indexes(dynamodb, name)
            return
        await dynamodb.create_table(
            TableName=name,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=_attributes({"uid", *_INDEXES.values()}),
            KeySchema=[{"AttributeName": "uid", "KeyType": "HASH"}],
            GlobalSecondaryIndexes=[_index(index) for index in _INDEXES],
        )
        await _settled(dynamodb, name)
        await dynamodb.update_time_to_live(
            TableName=name,
            TimeToLiveSpecification={"Enabled": True, "AttributeName": "expires_at"},
        )


async def _add_indexes(dynamodb: DynamoDBClient, name: str) -> None:
    """Add the indexes that a table of an older release lacks, one at a time as AWS wants it."""
    described = (await dynamodb.describe_table(TableName=name))["Table"]
    known = {index["IndexName"] for index in described.get("GlobalSecondaryIndexes", [])}
    attributes = {each["AttributeName"] for each in described["AttributeDefinitions"]}
    for index in _INDEXES.keys() - known:
        attributes.add(_INDEXES[index])
        await dynamodb.update_table(
            TableName=name,
            AttributeDefinitions=_attributes(attributes),
            GlobalSecondaryIndexUpdates=[{"Create": _index(index)}],
        )
        await _settled(dynamodb, name)


async def _settled(dynamodb: DynamoDBClient, name: str) -> None:
    waiter = dynamodb.get_waiter("table_exists")
    async with asyncio.timeout(60):
        await waiter.wait(TableName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 60})


def _attributes(names: Iterable[str]) -> Any:
    return [{"AttributeName": name, "AttributeType": "S"} for name in sorted(names)]


# Each with its hash key.
_INDEXES: Final = {
    BY_TENANT: "tenant",
    BY_TENANT_ID: TENANT_ID,
    BY_RUNTIME: "runtime",
    # Spread over the partitions by time; it is read whole, and holds next to nothing.
    DUE: DUE_SINCE,
}


def _index(name: str) -> Any:
    keys = [{"AttributeName": _INDEXES[name], "KeyType": "HASH"}]
    if name != DUE:
        keys.append({"AttributeName": "uid", "KeyType": "RANGE"})
    # What changes of a task is not written to an index of keys.
    projection = {"ProjectionType": "KEYS_ONLY"}
    return {"IndexName": name, "KeySchema": keys, "Projection": projection}
