"""Where the AWS SDK's exceptions end; no other room sees a `ClientError`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, cast

import aiohttp
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

from servicekit.errors import FatalError, TransientError

# Waiting cannot mend these: a person has to change a policy, a name or a deployment.
_HOPELESS = frozenset(
    {
        "AccessDenied",
        "AccessDeniedException",
        "AuthorizationError",
        "AWS.SimpleQueueService.NonExistentQueue",
        "InvalidClientTokenId",
        "NoSuchBucket",
        "NotFound",  # SNS: no such topic
        "ResourceNotFoundException",  # DynamoDB: no such table
    }
)


CONFLICT: Final = "TransactionConflict"  # DynamoDB: another write is at the same item


class ConditionFailedError(Exception):
    """A conditional write found something else than it expected; `item` is what it found."""

    def __init__(self, item: dict[str, Any] | None) -> None:
        super().__init__("condition failed")
        self.item = item


def refused(action: str, code: str) -> FatalError | TransientError:
    """The error that a refusal by AWS is: as of a call, so of one entry of a batch."""
    kind = FatalError if code in _HOPELESS else TransientError
    return kind(f"AWS refused {action}: {code}", action=action, code=code)


@contextmanager
def translated(action: str) -> Iterator[None]:
    """Raise `FatalError` for what waiting cannot mend and `TransientError` for the rest.

    A failed condition of DynamoDB is no failure: it is raised as `ConditionFailedError`.
    """
    try:
        yield
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code == "ConditionalCheckFailedException":
            found = cast("dict[str, Any] | None", error.response.get("Item"))
            raise ConditionFailedError(found) from error
        if code == "TransactionCanceledException":
            reasons = {one.get("Code") for one in error.response.get("CancellationReasons", [])}
            if "ConditionalCheckFailed" in reasons:
                raise ConditionFailedError(None) from error
            code = CONFLICT if CONFLICT in reasons else code
        raise refused(action, code) from error
    except NoCredentialsError as error:
        raise FatalError("no AWS credentials are configured", action=action) from error
    except (BotoCoreError, aiohttp.ClientError, ConnectionError, TimeoutError) as error:
        # The SDK lets aiohttp's own errors through while a body is read.
        raise TransientError(
            f"AWS cannot be reached for {action}", action=action, error=type(error).__name__
        ) from error
