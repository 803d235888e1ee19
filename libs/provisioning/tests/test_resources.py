from __future__ import annotations

import json
from typing import Any

import pytest
from provisioning_fakes import RUNTIMES

from awsio import clients
from awsio.errors import translated
from contracts.ids import new_uid
from provisioning import emulator
from provisioning.resources import Resources, provision, subscribe_queue, topic_listener
from servicekit.errors import FatalError, TransientError
from servicekit.listen import HOST, free_port

# They count what is there, which a second run does not touch.
COUNTERS = {
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesNotVisible",
    "ApproximateNumberOfMessagesDelayed",
    "LastModifiedTimestamp",
}


async def snapshot(made: Resources) -> dict[str, Any]:
    """Describe everything that a run of `provision` could change."""
    found: dict[str, Any] = {}
    async with clients.sns() as sns, clients.sqs() as sqs, clients.dynamodb() as dynamodb:
        webhooks = [made.webhook_queue, made.webhook_dead_letter_queue]
        for url in [*made.queues.values(), *made.dead_letter_queues.values(), *webhooks]:
            answer = await sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])
            attributes = answer["Attributes"].items()
            found[url] = {k: v for k, v in attributes if k not in COUNTERS}
        listed = await sns.list_subscriptions_by_topic(TopicArn=made.task_topic_arn)
        for subscription in listed["Subscriptions"]:
            arn = subscription["SubscriptionArn"]
            answered = await sns.get_subscription_attributes(SubscriptionArn=arn)
            found[arn] = answered["Attributes"]
        described = await dynamodb.describe_table(TableName=made.table)
        found[made.table] = described["Table"]["TableArn"], described["Table"].get("TableId")
    async with clients.s3() as s3:
        for bucket in (made.output_bucket, made.model_bucket):
            await s3.head_bucket(Bucket=bucket)
        rules = await s3.get_bucket_lifecycle_configuration(Bucket=made.claim_bucket)
        found[made.claim_bucket] = rules["Rules"]
    return found


async def publish(topic_arn: str, runtime: str, body: str) -> None:
    async with clients.sns() as sns:
        await sns.publish(
            TopicArn=topic_arn,
            Message=body,
            MessageAttributes={"runtime": {"DataType": "String", "StringValue": runtime}},
        )


async def drained(url: str) -> list[str]:
    """Take everything that is in a queue now."""
    bodies: list[str] = []
    async with clients.sqs() as sqs:
        while True:
            answer = await sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)
            if not answer.get("Messages"):
                return bodies
            for message in answer["Messages"]:
                bodies.append(message["Body"])
                await sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])


async def test_a_second_run_gives_the_same_and_changes_nothing(
    stack: str, made: Resources
) -> None:
    before = await snapshot(made)
    assert await provision(stack, RUNTIMES) == made
    assert await snapshot(made) == before
    assert len([arn for arn in before if ":sns:" in arn]) == len(RUNTIMES)


async def test_a_runtime_that_is_added_later_leaves_the_others_alone(aws: str) -> None:
    name = f"stack-{new_uid().lower()}"
    first = await provision(name, RUNTIMES[:1])
    before = await snapshot(first)
    second = await provision(name, RUNTIMES)
    after = await snapshot(second)
    assert set(second.queues) == {"alpha", "alphabet"}
    assert {key: after[key] for key in before} == before


async def test_a_table_of_an_older_release_gets_the_indexes_that_it_lacks(aws: str) -> None:
    name = f"stack-{new_uid().lower()}"
    table = f"{name}-ledger"
    async with clients.dynamodb() as dynamodb:
        await dynamodb.create_table(
            TableName=table,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": "uid", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "uid", "KeyType": "HASH"}],
        )
        for _ in range(2):
            await provision(name, [])
            described = await dynamodb.describe_table(TableName=table)
            indexes = described["Table"]["GlobalSecondaryIndexes"]
            assert {index["IndexName"] for index in indexes} == {
                "by_tenant",
                "by_tenant_id",
                "by_runtime",
                "due",
            }
            for index in indexes:
                answer = await dynamodb.scan(TableName=table, IndexName=index["IndexName"])
                assert answer["Items"] == []


async def test_a_message_goes_to_the_queue_of_its_runtime_only(made: Resources) -> None:
    for runtime in ("alpha", "alphabet", "unknown"):
        await publish(made.task_topic_arn, runtime, f"for {runtime}")
    assert await drained(made.queues["alpha"]) == ["for alpha"]
    assert await drained(made.queues["alphabet"]) == ["for alphabet"]


async def test_a_message_that_is_received_10_times_goes_to_the_dead_letters(
    aws: str, made: Resources
) -> None:
    url, parked = made.queues["alpha"], made.dead_letter_queues["alpha"]
    async with clients.sqs() as sqs:
        await sqs.send_message(QueueUrl=url, MessageBody="poison")
        receives = 0
        while (await sqs.receive_message(QueueUrl=url, VisibilityTimeout=0)).get("Messages"):
            receives += 1
    assert receives == 10
    assert await drained(parked) == ["poison"]


async def test_a_lease_of_a_message_is_120_seconds(made: Resources) -> None:
    async with clients.sqs() as sqs:
        for url in made.queues.values():
            answer = await sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])
            assert answer["Attributes"]["VisibilityTimeout"] == "120"


async def test_only_the_task_topic_may_send_to_a_queue(made: Resources) -> None:
    async with clients.sqs() as sqs:
        answer = await sqs.get_queue_attributes(
            QueueUrl=made.queues["alpha"], AttributeNames=["Policy"]
        )
    (statement,) = json.loads(answer["Attributes"]["Policy"])["Statement"]
    assert statement["Principal"] == {"Service": "sns.amazonaws.com"}
    assert statement["Condition"]["ArnEquals"]["aws:SourceArn"] == made.task_topic_arn


async def test_a_claim_outlives_every_message_that_points_to_it(made: Resources) -> None:
    async with clients.s3() as s3, clients.sqs() as sqs:
        rules = await s3.get_bucket_lifecycle_configuration(Bucket=made.claim_bucket)
        webhooks = [made.webhook_queue, made.webhook_dead_letter_queue]
        for url in [*made.queues.values(), *made.dead_letter_queues.values(), *webhooks]:
            answer = await sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])
            seconds = int(answer["Attributes"]["MessageRetentionPeriod"])
            assert rules["Rules"][0]["Expiration"]["Days"] * 24 * 3600 > seconds


async def test_a_subscribed_queue_gets_what_was_published_as_it_is(made: Resources) -> None:
    name = f"results-{new_uid().lower()}"
    url = await subscribe_queue(made.result_topic_arn, name)
    assert await subscribe_queue(made.result_topic_arn, name) == url
    await publish(made.result_topic_arn, "any", '{"id": "test"}')
    assert await drained(url) == ['{"id": "test"}']


async def test_what_does_not_exist_is_fatal_for_its_user(aws: str, made: Resources) -> None:
    missing_topic = made.task_topic_arn + "-missing"
    async with clients.sns() as sns, clients.sqs() as sqs, clients.s3() as s3:
        with pytest.raises(FatalError), translated("sns.publish"):
            await sns.publish(TopicArn=missing_topic, Message="x")
        with pytest.raises(FatalError), translated("sqs.receive"):
            await sqs.receive_message(QueueUrl=made.queues["alpha"] + "-missing")
        with pytest.raises(FatalError), translated("s3.put"):
            await s3.put_object(Bucket=made.claim_bucket + "-missing", Key="x", Body=b"")
    async with clients.dynamodb() as dynamodb:
        with pytest.raises(FatalError), translated("dynamodb.get"):
            await dynamodb.get_item(TableName=made.table + "-missing", Key={"uid": {"S": "u"}})


async def test_an_endpoint_that_cannot_be_reached_is_transient(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in emulator.CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{HOST}:{free_port()}")
    with pytest.raises(TransientError, match=r"cannot be reached for sns\.create_topic"):
        await provision("stack", RUNTIMES)


async def test_a_listener_hears_a_topic_until_its_block_ends_however(made: Resources) -> None:
    name, topic = f"listener-{new_uid().lower()}", made.result_topic_arn
    async with clients.sns() as sns, clients.sqs() as sqs:

        async def hear() -> None:
            async with topic_listener(topic, name, {"darkroom/stack": "art"}) as url:
                await sns.publish(TopicArn=topic, Message="as it was published")
                assert await drained(url) == ["as it was published"]
                tags = (await sqs.list_queue_tags(QueueUrl=url))["Tags"]
                assert tags == {"darkroom/stack": "art"}
                raise KeyError

        with pytest.raises(KeyError):
            await hear()
        heard = await sns.list_subscriptions_by_topic(TopicArn=topic)
        queues = await sqs.list_queues(QueueNamePrefix=name)
    assert [each for each in heard["Subscriptions"] if name in each["Endpoint"]] == []
    assert queues.get("QueueUrls", []) == []
