from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
from opentelemetry.sdk.trace import TracerProvider
from router_fakes import RUNTIMES, FakeClaims, World, task

from awsio import clients
from contracts.ids import Uid, new_uid
from contracts.kinds import TaskType
from contracts.message import TaskMessage
from contracts.places import listings_key
from darkroom.modelsync.v1 import modelsync_pb2, modelsync_pb2_grpc
from darkroom.notifier.v1 import notifier_pb2, notifier_pb2_grpc, webhooks_pb2_grpc
from provisioning.resources import Resources, provision
from router.adapters.model_sync import GrpcModels
from router.adapters.notifier import GrpcNotifier
from router.adapters.s3 import S3Claims, S3Files
from router.adapters.sns import sns_task_topic
from router.ports import Claims
from router.submit import Submit
from servicekit.errors import FatalError, RejectedError, TransientError
from servicekit.health import Health
from servicekit.listen import HOST, free_port
from servicekit.rpc import channel, serving

UNKNOWN = Uid("01JD0000000000000000000009")


@pytest.fixture(scope="session")
def made(aws: str) -> Resources:
    """A stack of this session."""
    return asyncio.run(provision(f"router-{new_uid().lower()}", RUNTIMES))


async def received(url: str) -> list[tuple[str, dict[str, str]]]:
    """Take what is in a queue now: bodies and their attributes."""
    async with clients.sqs() as sqs:
        answer = await sqs.receive_message(
            QueueUrl=url, MaxNumberOfMessages=10, MessageAttributeNames=["All"]
        )
        found = []
        for message in answer.get("Messages", []):
            await sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
            attributes = message.get("MessageAttributes", {})
            texts = {name: value["StringValue"] for name, value in attributes.items()}
            found.append((message["Body"], texts))
        return found


@pytest.mark.parametrize("kilobytes", [1, 240, 1024])
async def test_a_task_of_any_size_arrives_in_the_queue_of_its_runtime(
    world: World, made: Resources, kilobytes: int
) -> None:
    body = b'{"prompt":"' + b"x" * (kilobytes * 1024 - 13) + b'"}'
    submitted = task(runtime="comfy", tasktype=TaskType.PIPELINE, content_json=body)
    async with (
        clients.sns() as sns,
        clients.s3() as s3,
        sns_task_topic(sns, made.task_topic_arn, fair_queues=True) as topic,
    ):
        submit = Submit(
            runtimes=RUNTIMES,
            ledger=world.ledger,
            models=world.models,
            topic=topic,
            claims=S3Claims(client=s3, bucket=made.claim_bucket),
            notifier=world.notifier,
            requests=world.requests,
            quotas=world.quotas,
            output_bucket=made.output_bucket,
        )
        await submit(submitted)
        ((text, attributes),) = await received(made.queues["comfy"])
        message = TaskMessage.decode(text)
        if message.content_key:
            claim = await s3.get_object(Bucket=made.claim_bucket, Key=message.content_key)
            assert await claim["Body"].read() == body
        else:
            assert message.content == {"prompt": "x" * (kilobytes * 1024 - 13)}

    assert message.uid == submitted.uid
    assert (attributes["runtime"], attributes["tasktype"]) == ("comfy", "pipeline")
    assert await received(made.queues["fixed"]) == []


async def test_the_trace_travels_in_the_attributes_of_the_message(
    made: Resources, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracer = TracerProvider().get_tracer("test")
    monkeypatch.setattr("router.adapters.sns.tracer", tracer)
    async with (
        clients.sns() as sns,
        sns_task_topic(sns, made.task_topic_arn, fair_queues=True) as topic,
    ):
        with tracer.start_as_current_span("submit") as span:
            await topic.publish(
                b"{}", runtime="fixed", tasktype=TaskType.TEXT_TO_IMAGE, tenant="studio"
            )

    ((_, attributes),) = await received(made.queues["fixed"])
    trace_id = attributes["traceparent"].split("-")[1]
    assert int(trace_id, 16) == span.get_span_context().trace_id


async def test_messages_of_one_moment_arrive_in_their_own_queues(made: Resources) -> None:
    async with (
        clients.sns() as sns,
        sns_task_topic(sns, made.task_topic_arn, fair_queues=True) as topic,
        asyncio.TaskGroup() as group,
    ):
        for number in range(13):
            runtime = ("comfy", "fixed")[number % 2]
            kind = TaskType.PIPELINE if runtime == "comfy" else TaskType.TEXT_TO_IMAGE
            body = f'{{"n":{number}}}'.encode()
            group.create_task(
                topic.publish(body, runtime=runtime, tasktype=kind, tenant=f"t{number}")
            )

    found = {name: await received(made.queues[name]) for name in ("comfy", "fixed")}
    numbers = {name: {json.loads(body)["n"] for body, _ in got} for name, got in found.items()}
    assert numbers == {"comfy": set(range(0, 13, 2)), "fixed": set(range(1, 13, 2))}


async def test_a_topic_that_does_not_exist_is_fatal(made: Resources) -> None:
    async with (
        clients.sns() as sns,
        sns_task_topic(sns, f"{made.task_topic_arn}-none", fair_queues=True) as topic,
    ):
        with pytest.raises(FatalError, match=r"sns\.publish"):
            await topic.publish(
                b"{}", runtime="fixed", tasktype=TaskType.TEXT_TO_IMAGE, tenant="studio"
            )


@pytest.fixture(params=["fake", "s3"])
async def claims(request: pytest.FixtureRequest, made: Resources) -> AsyncIterator[Claims]:
    """Each keeper of claims that must keep the contract."""
    if request.param == "fake":
        yield FakeClaims()
        return
    async with clients.s3() as s3:
        yield S3Claims(client=s3, bucket=made.claim_bucket)


async def test_a_repeated_call_keeps_the_same_claim(claims: Claims) -> None:
    uid = new_uid()
    key = await claims.put(uid, b'{"a": 1}')
    assert await claims.put(uid, b'{"a": 1}') == key
    assert uid in key
    assert await claims.put(new_uid(), b"{}") != key


class FakeModelSync(modelsync_pb2_grpc.ModelServiceServicer):
    """Knows one good and one bad checkpoint."""

    async def GetModel(  # noqa: N802  # gRPC names its methods
        self, request: modelsync_pb2.GetModelRequest, context: Any
    ) -> modelsync_pb2.GetModelResponse:
        if request.kind != "Stable-diffusion" or request.name not in {"good", "bad"}:
            raise RejectedError("there are: good, bad", code="model_not_found")
        good = request.name == "good"
        problem = "" if good else "it is empty"
        return modelsync_pb2.GetModelResponse(
            model=modelsync_pb2.Model(name=request.name, valid=good, problem=problem)
        )

    async def ListModels(self, request: Any, context: Any) -> Any:  # noqa: N802
        raise NotImplementedError

    async def CreateUpload(self, request: Any, context: Any) -> Any:  # noqa: N802
        raise NotImplementedError


@pytest.fixture
async def models() -> AsyncIterator[GrpcModels]:
    address = f"{HOST}:{free_port()}"
    async with (
        serving(
            address,
            Health(),
            (),
            lambda server: modelsync_pb2_grpc.add_ModelServiceServicer_to_server(
                FakeModelSync(), server
            ),
        ),
        channel(address) as opened,
    ):
        stub = modelsync_pb2_grpc.ModelServiceStub(opened)
        yield GrpcModels(stub=stub, timeout=timedelta(seconds=5))


async def test_a_checkpoint_that_the_bucket_has_is_let_through(models: GrpcModels) -> None:
    await models.require_checkpoint("good")


@pytest.mark.parametrize(
    ("name", "sentence"),
    [("none", "there are: good, bad"), ("bad", "cannot be used: it is empty")],
)
async def test_a_checkpoint_that_cannot_be_used_is_refused_with_the_reason(
    models: GrpcModels, name: str, sentence: str
) -> None:
    with pytest.raises(RejectedError, match=sentence) as caught:
        await models.require_checkpoint(name)
    assert caught.value.code == "model_not_found"


async def test_a_catalogue_that_cannot_be_asked_is_transient() -> None:
    async with channel(f"{HOST}:{free_port()}") as opened:
        stub = modelsync_pb2_grpc.ModelServiceStub(opened)
        with pytest.raises(TransientError):
            await GrpcModels(stub=stub, timeout=timedelta(seconds=5)).require_checkpoint("x")


@pytest.mark.parametrize("tenant", ["studio", "ein Büro", "x" * 300])
async def test_the_tenant_is_the_message_group_of_its_tasks(
    made: Resources, tenant: str
) -> None:
    async with (
        clients.sns() as sns,
        clients.sqs() as sqs,
        sns_task_topic(sns, made.task_topic_arn, fair_queues=True) as topic,
    ):
        await topic.publish(
            b"{}", runtime="dynamic", tasktype=TaskType.TEXT_TO_IMAGE, tenant=tenant
        )
        answer = await sqs.receive_message(
            QueueUrl=made.queues["dynamic"], MessageSystemAttributeNames=["All"]
        )
        (message,) = answer["Messages"]
        await sqs.delete_message(
            QueueUrl=made.queues["dynamic"], ReceiptHandle=message["ReceiptHandle"]
        )
    group = message["Attributes"]["MessageGroupId"]
    assert group == tenant if tenant == "studio" else len(group) == 64


async def test_without_fair_queues_there_is_no_message_group(made: Resources) -> None:
    async with (
        clients.sns() as sns,
        clients.sqs() as sqs,
        sns_task_topic(sns, made.task_topic_arn, fair_queues=False) as topic,
    ):
        await topic.publish(
            b"{}", runtime="dynamic", tasktype=TaskType.TEXT_TO_IMAGE, tenant="studio"
        )
        answer = await sqs.receive_message(
            QueueUrl=made.queues["dynamic"], MessageSystemAttributeNames=["All"]
        )
        (message,) = answer["Messages"]
        await sqs.delete_message(
            QueueUrl=made.queues["dynamic"], ReceiptHandle=message["ReceiptHandle"]
        )
    assert "MessageGroupId" not in message["Attributes"]


async def test_a_link_gives_the_object_without_credentials(made: Resources) -> None:
    async with clients.s3() as s3:
        await s3.put_object(Bucket=made.output_bucket, Key="p/ä b/1.png", Body=b"image")
        link = await S3Files(client=s3, bucket=made.output_bucket).link(
            f"s3://{made.output_bucket}/p/ä b/1.png", 60
        )
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.get(link)
    assert (answer.status_code, answer.content) == (200, b"image")
    assert "X-Amz-Algorithm=AWS4-HMAC-SHA256" in link
    assert "X-Amz-Expires=60" in link


class FakeNotifierService(notifier_pb2_grpc.NotifierServiceServicer):
    """Knows one task."""

    async def SettleCancel(  # noqa: N802  # gRPC names its methods
        self, request: notifier_pb2.SettleCancelRequest, context: Any
    ) -> notifier_pb2.SettleCancelResponse:
        if request.uid == UNKNOWN:
            raise TransientError("the table is away")
        return notifier_pb2.SettleCancelResponse(cancelled=True)


async def test_the_notifier_is_told_and_its_outage_is_transient() -> None:
    address = f"{HOST}:{free_port()}"
    async with (
        serving(
            address,
            Health(),
            (),
            lambda server: notifier_pb2_grpc.add_NotifierServiceServicer_to_server(
                FakeNotifierService(),  # type: ignore[abstract]  # no other call is made
                server,
            ),
        ),
        channel(address) as opened,
    ):
        notifier = GrpcNotifier(
            stub=notifier_pb2_grpc.NotifierServiceStub(opened),
            webhooks=webhooks_pb2_grpc.WebhookServiceStub(opened),
            timeout=timedelta(seconds=5),
        )
        await notifier.settle_cancel(new_uid())
        with pytest.raises(TransientError):
            await notifier.settle_cancel(UNKNOWN)


async def test_a_file_is_read_in_parts(made: Resources) -> None:
    body = bytes(range(256)) * 2048
    async with clients.s3() as s3:
        await s3.put_object(Bucket=made.output_bucket, Key="p/ä b/2.png", Body=body)
        files = S3Files(client=s3, bucket=made.output_bucket)
        parts = [part async for part in files.read(f"s3://{made.output_bucket}/p/ä b/2.png")]
        with pytest.raises(RejectedError, match="removed"):
            await anext(files.read(f"s3://{made.output_bucket}/gone.png"))
    assert b"".join(parts) == body
    assert max(map(len, parts)) <= 256 * 2**10


async def test_listings_are_read_again_only_when_they_have_changed(made: Resources) -> None:
    async with clients.s3() as s3:
        files = S3Files(client=s3, bucket=made.output_bucket)
        with pytest.raises(RejectedError, match="no agent"):
            await files.listings("dynamic", "")
        key = listings_key("dynamic")
        await s3.put_object(Bucket=made.output_bucket, Key=key, Body=b"text")
        etag, text = await files.listings("dynamic", "")
        assert text == b"text"
        assert await files.listings("dynamic", etag) == (etag, b"")
        await s3.put_object(Bucket=made.output_bucket, Key=key, Body=b"other")
        assert (await files.listings("dynamic", etag))[1] == b"other"
