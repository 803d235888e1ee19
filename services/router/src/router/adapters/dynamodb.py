"""`IdempotencyKeys` and `Requests` as items beside the task records, which TTL removes.

They have neither an id nor a runtime, so the indexes of the records do not see them.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from awsio.errors import ConditionFailedError, translated
from contracts.ids import Uid
from ledger.items import KEPT as RECORD_KEPT
from router.batches import Batches, BatchLimits, End, batching
from router.domain import Claim, Held
from servicekit.errors import AppError

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb import DynamoDBClient

log = logging.getLogger(__name__)

KEPT: Final = timedelta(hours=24)
# Of BatchWriteItem. Nobody waits for a request, so it may wait for others a little longer.
LIMITS: Final = BatchLimits(
    entries=25, size=4 * 2**20, calls=4, linger=timedelta(milliseconds=50)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DynamoDbKeys:
    """Holds a hash of each key, never the key."""

    client: DynamoDBClient
    table: str

    async def claim(self, claim: Claim, now: datetime) -> Held:
        try:
            # Removal by TTL may come days late, so the time is looked at, too.
            await self._put(
                claim,
                now,
                "attribute_not_exists(uid) OR expires_at <= :now",
                {":now": {"N": str(int(now.timestamp()))}},
            )
        except ConditionFailedError as found:
            return _held(found.item or {})
        return Held(
            uid=claim.uid, fingerprint=claim.fingerprint, claimed_at=now, accepted=False
        )

    async def take_over(self, claim: Claim, held: Held, now: datetime) -> bool:
        values = {":uid": {"S": held.uid}, ":no": {"BOOL": False}}
        try:
            await self._put(claim, now, "held_by = :uid AND accepted = :no", values)
        except ConditionFailedError:
            return False
        return True

    async def accept(self, claim: Claim) -> bool:
        try:
            with translated("dynamodb.update_item"):
                await self.client.update_item(
                    TableName=self.table,
                    Key=_key(claim),
                    UpdateExpression="SET accepted = :yes",
                    ConditionExpression="held_by = :uid",
                    ExpressionAttributeValues={
                        ":yes": {"BOOL": True},
                        ":uid": {"S": claim.uid},
                    },
                )
        except ConditionFailedError:
            return False
        return True

    async def release(self, claim: Claim) -> None:
        try:
            with translated("dynamodb.delete_item"):
                await self.client.delete_item(
                    TableName=self.table,
                    Key=_key(claim),
                    ConditionExpression="held_by = :uid AND accepted = :no",
                    ExpressionAttributeValues={
                        ":uid": {"S": claim.uid},
                        ":no": {"BOOL": False},
                    },
                )
        except ConditionFailedError:
            return  # it was never ours, or no longer is

    async def _put(
        self, claim: Claim, now: datetime, condition: str, values: dict[str, Any]
    ) -> None:
        with translated("dynamodb.put_item"):
            await self.client.put_item(
                TableName=self.table,
                Item={
                    **_key(claim),
                    "held_by": {"S": claim.uid},
                    "fingerprint": {"S": claim.fingerprint},
                    "claimed_at": {"S": now.astimezone(UTC).isoformat()},
                    "accepted": {"BOOL": False},
                    "expires_at": {"N": str(int((now + KEPT).timestamp()))},
                },
                ConditionExpression=condition,
                ExpressionAttributeValues=values,
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class DynamoDbRequests:
    """Writes what comes at about the same time in one call, after the tasks were accepted."""

    client: DynamoDBClient
    table: str
    batches: Batches[dict[str, Any]]

    def keep(self, uid: Uid, body: bytes, created_at: datetime) -> None:
        item = {
            **_request_key(uid),
            "body": {"B": body},
            "expires_at": {"N": str(int((created_at + RECORD_KEPT).timestamp()))},
        }
        self.batches.offer(item, len(body))

    async def of(self, uid: Uid) -> bytes | None:
        with translated("dynamodb.get_item"):
            answer = await self.client.get_item(TableName=self.table, Key=_request_key(uid))
        found = answer.get("Item", {}).get("body", {}).get("B")
        return None if found is None else bytes(found)


@asynccontextmanager
async def dynamodb_requests(
    client: DynamoDBClient, table: str
) -> AsyncIterator[DynamoDbRequests]:
    """Requests in a table; at the end, what waits is written."""

    async def send(items: Sequence[dict[str, Any]]) -> list[End]:
        puts: Any = {table: [{"PutRequest": {"Item": item}} for item in items]}
        try:
            with translated("dynamodb.batch_write_item"):
                answer = await client.batch_write_item(RequestItems=puts)
        except AppError as error:
            log.warning("requests are not kept", exc_info=error, extra=error.details)
            return [None] * len(items)
        if left := answer.get("UnprocessedItems", {}).get(table):
            log.warning("requests are not kept", extra={"count": len(left)})
        return [None] * len(items)

    async with batching(send, LIMITS) as batches:
        yield DynamoDbRequests(client=client, table=table, batches=batches)


def _request_key(uid: Uid) -> dict[str, Any]:
    return {"uid": {"S": f"request#{uid}"}}


def _key(claim: Claim) -> dict[str, Any]:
    digest = hashlib.sha256(claim.key.encode()).hexdigest()
    return {"uid": {"S": f"idempotency#{claim.tenant}#{digest}"}}


def _held(item: dict[str, Any]) -> Held:
    return Held(
        uid=Uid(item["held_by"]["S"]),
        fingerprint=item["fingerprint"]["S"],
        claimed_at=datetime.fromisoformat(item["claimed_at"]["S"]),
        accepted=item["accepted"]["BOOL"],
    )
