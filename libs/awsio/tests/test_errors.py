from __future__ import annotations

import aiohttp
import pytest
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    NoCredentialsError,
    ReadTimeoutError,
)

from awsio.errors import ConditionFailedError, translated
from servicekit.errors import AppError, FatalError, TransientError

SECRET = "item-of-a-client"  # noqa: S105  # stands for what AWS repeats in its messages


def refusal(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": SECRET}}, "Operation")


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("AccessDenied", FatalError),
        ("AccessDeniedException", FatalError),
        ("AuthorizationError", FatalError),
        ("AWS.SimpleQueueService.NonExistentQueue", FatalError),
        ("InvalidClientTokenId", FatalError),
        ("NoSuchBucket", FatalError),
        ("NotFound", FatalError),
        ("ResourceNotFoundException", FatalError),
        ("ProvisionedThroughputExceededException", TransientError),
        ("Throttling", TransientError),
        ("InternalError", TransientError),
        ("ServiceUnavailable", TransientError),
        ("ReceiptHandleIsInvalid", TransientError),
        ("NoSuchKey", TransientError),
        ("AnythingNew", TransientError),
    ],
)
def test_the_code_of_a_refusal_decides_whether_waiting_can_help(
    code: str, kind: type[AppError]
) -> None:
    error = refusal(code)
    with pytest.raises(AppError) as caught, translated("sqs.receive"):
        raise error
    assert type(caught.value) is kind
    assert caught.value.details == {"action": "sqs.receive", "code": code}
    assert caught.value.__cause__ is error
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    "error",
    [
        EndpointConnectionError(endpoint_url="x"),
        ConnectTimeoutError(endpoint_url="x"),
        ReadTimeoutError(endpoint_url="x"),
        TimeoutError(),
        BotoCoreError(),
        aiohttp.ClientPayloadError("not all of it"),
        ConnectionResetError(),
    ],
)
def test_a_service_that_cannot_be_reached_is_transient(error: Exception) -> None:
    with pytest.raises(TransientError, match=r"cannot be reached for s3\.put") as caught:  # noqa: SIM117  # the cause is compared below
        with translated("s3.put"):
            raise error
    assert caught.value.__cause__ is error


def test_missing_credentials_are_fatal() -> None:
    with pytest.raises(FatalError, match="no AWS credentials"), translated("s3.put"):
        raise NoCredentialsError


@pytest.mark.parametrize("item", [{"uid": {"S": "u"}}, None])
def test_a_failed_condition_tells_what_was_found(item: dict[str, object] | None) -> None:
    response: dict[str, object] = {"Error": {"Code": "ConditionalCheckFailedException"}}
    if item is not None:
        response["Item"] = item
    with pytest.raises(ConditionFailedError) as caught, translated("dynamodb.put"):
        raise ClientError(response, "PutItem")  # type: ignore[arg-type]  # a made answer
    assert caught.value.item == item


def test_errors_of_other_kinds_pass_unchanged() -> None:
    with pytest.raises(KeyError), translated("s3.put"):
        raise KeyError("ours")
