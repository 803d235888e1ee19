"""`OpenTasks` on DynamoDB: one item a key with a set of uids, beside the task records."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from awsio.errors import ConditionFailedError, translated
from contracts.ids import Uid
from ledger.dynamodb import DynamoDbLedger
from ledger.dynamodb_reads import BY_TENANT
from ledger.open_tasks import Owner

LISTED: Final = "#open"


@dataclass(frozen=True, slots=True, kw_only=True)
class DynamoDbOpenTasks:
    """In the table of a ledger, found by the index of tenants under a name that none has."""

    ledger: DynamoDbLedger

    async def take(self, owner: Owner, uid: Uid, limit: int) -> bool:
        try:
            await self._update(
                owner,
                "SET tenant = :listed ADD #open :uids",
                "attribute_not_exists(#open) OR size(#open) < :limit OR contains(#open, :uid)",
                {
                    ":listed": {"S": LISTED},
                    ":uids": {"SS": [uid]},
                    ":uid": {"S": uid},
                    ":limit": {"N": str(limit)},
                },
            )
        except ConditionFailedError:
            return False
        return True

    async def give_back(self, owner: Owner, uid: Uid) -> None:
        try:
            await self._update(
                owner,
                "DELETE #open :uids",
                "contains(#open, :uid)",
                {":uids": {"SS": [uid]}, ":uid": {"S": uid}},
            )
        except ConditionFailedError:
            return  # it was not counted, or no longer is

    async def of(self, owner: Owner) -> frozenset[Uid]:
        with translated("dynamodb.get_item"):
            answer = await self.ledger.client.get_item(
                TableName=self.ledger.table, Key=_key(owner), ConsistentRead=True
            )
        uids = answer.get("Item", {}).get("open", {}).get("SS", [])
        return frozenset(Uid(uid) for uid in uids)

    async def owners(self) -> tuple[Owner, ...]:
        found = await self.ledger.listed(BY_TENANT, LISTED, "open#")
        return tuple(sorted(Owner(*uid.split("#")[1:]) for uid in found))

    async def _update(
        self, owner: Owner, change: str, condition: str, values: dict[str, Any]
    ) -> None:
        with translated("dynamodb.update_item"):
            await self.ledger.client.update_item(
                TableName=self.ledger.table,
                Key=_key(owner),
                UpdateExpression=change,
                ConditionExpression=condition,
                ExpressionAttributeNames={"#open": "open"},
                ExpressionAttributeValues=values,
            )


def _key(owner: Owner) -> dict[str, Any]:
    return {"uid": {"S": f"open#{owner.tenant}#{owner.key}"}}
