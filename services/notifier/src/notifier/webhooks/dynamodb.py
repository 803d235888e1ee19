"""`Store` as items beside the task records: one of each tenant, and one of each delivery.

What their attribute `tenant` has begins with `#`, which no tenant's name has, so the index by
tenant lists them and nobody's tasks are mixed with them. A tenant without webhooks has no such
attribute: its item is not in the index.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from pydantic import TypeAdapter

from awsio.errors import ConditionFailedError, translated
from contracts.ids import Uid
from ledger.dynamodb_reads import BY_TENANT
from notifier.webhooks.domain import Delivery, Webhook
from notifier.webhooks.ports import Webhooks
from servicekit.errors import TransientError

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb import DynamoDBClient

KEPT: Final = timedelta(days=7)  # of deliveries
_ALL: Final = "#webhooks"
_TRIES: Final = 5
_WEBHOOKS: Final = TypeAdapter(tuple[Webhook, ...])
_DELIVERY: Final = TypeAdapter(Delivery)


@dataclass(frozen=True, slots=True, kw_only=True)
class DynamoDbStore:
    """Reads by key are consistent; what the index lists may lag a moment."""

    client: DynamoDBClient
    table: str

    async def tenants(self) -> frozenset[str]:
        uids = await self._listed(_ALL)
        return frozenset(uid.partition("#")[2] for uid in uids)

    async def of(self, tenant: str) -> Webhooks:
        return _webhooks(await self._get(_tenant_key(tenant)))

    async def change(self, tenant: str, change: Callable[[Webhooks], Webhooks]) -> None:
        for _ in range(_TRIES):
            item = await self._get(_tenant_key(tenant))
            after = change(_webhooks(item))
            version = int(item["version"]["N"]) if item else 0
            new = {
                "uid": {"S": _tenant_key(tenant)},
                "version": {"N": str(version + 1)},
                "webhooks": {"S": _WEBHOOKS.dump_json(after).decode()},
            }
            if after:
                new["tenant"] = {"S": _ALL}
            try:
                with translated("dynamodb.put_item"):
                    await self.client.put_item(
                        TableName=self.table,
                        Item=new,
                        ConditionExpression="attribute_not_exists(uid) OR version = :seen",
                        ExpressionAttributeValues={":seen": {"N": str(version)}},
                    )
            except ConditionFailedError:
                continue
            return
        raise TransientError("others change the webhooks of this tenant, too")

    async def keep(self, delivery: Delivery) -> None:
        expires_at = int((delivery.tried_at + KEPT).timestamp())
        with translated("dynamodb.put_item"):
            await self.client.put_item(
                TableName=self.table,
                Item={
                    "uid": {
                        "S": _delivery_key(delivery.webhook, delivery.uid, delivery.own_url)
                    },
                    "tenant": {"S": _deliveries_of(delivery.webhook)},
                    "delivery": {"S": _DELIVERY.dump_json(delivery).decode()},
                    "expires_at": {"N": str(expires_at)},
                },
            )

    async def delivery(self, webhook: str, uid: Uid, *, own_url: bool) -> Delivery | None:
        item = await self._get(_delivery_key(webhook, uid, own_url))
        return _delivery(item) if item else None

    async def deliveries(self, webhook: str, limit: int) -> Sequence[Delivery]:
        uids = await self._listed(_deliveries_of(webhook), limit)
        if not uids:
            return []
        asked: Any = {
            self.table: {"Keys": [{"uid": {"S": uid}} for uid in uids], "ConsistentRead": True}
        }
        found: dict[str, Delivery] = {}
        for _ in range(_TRIES):
            with translated("dynamodb.batch_get_item"):
                answer = await self.client.batch_get_item(RequestItems=asked)
            items = answer["Responses"].get(self.table, [])
            found |= {item["uid"]["S"]: _delivery(item) for item in items}
            asked = answer.get("UnprocessedKeys")
            if not asked:
                return [found[uid] for uid in uids if uid in found]
        raise TransientError("DynamoDB did not give all deliveries")

    async def _get(self, uid: str) -> dict[str, Any] | None:
        with translated("dynamodb.get_item"):
            answer = await self.client.get_item(
                TableName=self.table, Key={"uid": {"S": uid}}, ConsistentRead=True
            )
        return answer.get("Item")

    async def _listed(self, tenant: str, limit: int | None = None) -> list[str]:
        """The uids that the index has under this name, newest first."""
        found: list[str] = []
        more: Any = {"Limit": limit} if limit else {}
        while True:
            with translated("dynamodb.query"):
                answer = await self.client.query(
                    TableName=self.table,
                    IndexName=BY_TENANT,
                    KeyConditionExpression="tenant = :tenant",
                    ExpressionAttributeValues={":tenant": {"S": tenant}},
                    ProjectionExpression="uid",
                    ScanIndexForward=False,
                    **more,
                )
            found += [item["uid"]["S"] for item in answer["Items"]]
            last = answer.get("LastEvaluatedKey")
            if not last or limit:
                return found
            more["ExclusiveStartKey"] = last


def _tenant_key(tenant: str) -> str:
    return f"webhooks#{tenant}"


def _delivery_key(webhook: str, uid: Uid, own_url: bool) -> str:
    return f"delivery#{webhook}#{uid}" + "#own" * own_url


def _deliveries_of(webhook: str) -> str:
    return f"#deliveries#{webhook}"


def _webhooks(item: dict[str, Any] | None) -> Webhooks:
    return _WEBHOOKS.validate_json(item["webhooks"]["S"]) if item else ()


def _delivery(item: dict[str, Any]) -> Delivery:
    return _DELIVERY.validate_json(item["delivery"]["S"])
