"""`IdempotencyKeys` as small items beside the task records; the table's TTL removes them.

They have neither an id nor a runtime, so the indexes of the records do not see them.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from awsio.errors import ConditionFailedError, translated
from contracts.ids import Uid
from router.domain import Claim, Held

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb import DynamoDBClient

KEPT: Final = timedelta(hours=24)


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
