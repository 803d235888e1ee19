"""What is read of the ledger's table, also by its indexes, which have keys only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Final

from awsio.errors import translated
from contracts.ids import TaskId, Uid
from contracts.state import TaskState
from ledger.items import DUE_SINCE, TENANT_ID, to_record, write_tenant_id, write_time
from ledger.port import OfTenant, Page, Wanted, wants
from ledger.record import Record
from ledger.usage import LISTED, Used, day_of, prefix_of, summed, to_used
from servicekit.errors import TransientError

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb import DynamoDBClient

BY_TENANT: Final = "by_tenant"  # tenant, then uid
BY_TENANT_ID: Final = "by_tenant_id"  # tenant and client's id, then uid
BY_RUNTIME: Final = "by_runtime"  # runtime, then uid
DUE: Final = "due"  # callbacks to send; sparse, so reading it whole is cheap
# A filter reads before it drops: this bounds what one page may cost.
_QUERIES_A_PAGE = 10
_KEYS_A_GET: Final = 100  # of BatchGetItem
_TRIES: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class DynamoDbReads:
    """Reads are consistent, but the indexes may not have the newest uids."""

    client: DynamoDBClient
    table: str

    async def get(self, uid: Uid) -> Record | None:
        with translated("dynamodb.get_item"):
            answer = await self.client.get_item(
                TableName=self.table, Key={"uid": {"S": uid}}, ConsistentRead=True
            )
        return to_record(answer["Item"]) if "Item" in answer else None

    async def newest(self, tenant: str, task_id: TaskId) -> Record | None:
        key = write_tenant_id(tenant, task_id)
        uids, _ = await self._uids(BY_TENANT_ID, TENANT_ID, key, limit=1, before=None)
        return await self.get(uids[0]) if uids else None

    async def page(
        self, wanted: Wanted, *, state: TaskState | None, limit: int, before: Uid | None
    ) -> Page:
        index, value = (
            (BY_TENANT, wanted.tenant)
            if isinstance(wanted, OfTenant)
            else (BY_RUNTIME, wanted.runtime)
        )
        attribute = index.removeprefix("by_")
        found: list[Record] = []
        for _ in range(_QUERIES_A_PAGE):
            # Few have a text in their names.
            needed = _KEYS_A_GET if wanted.text else limit - len(found) + 1
            uids, before = await self._uids(
                index, attribute, value, limit=needed, before=before
            )
            records = await self.many(uids)
            found += [
                record
                for record in records
                if wants(wanted, record) and state in {None, record.state_for_clients}
            ]
            if before is None or len(found) > limit:
                break
        if len(found) > limit:
            return Page(records=tuple(found[:limit]), next_before=found[limit - 1].uid)
        return Page(records=tuple(found), next_before=before)

    async def _uids(
        self, index: str, attribute: str, value: str, *, limit: int, before: Uid | None
    ) -> tuple[list[Uid], Uid | None]:
        """Uids in an index, newest first, and the last one if there may be more."""
        names, condition = {"#key": attribute}, "#key = :value"
        values: dict[str, Any] = {":value": {"S": value}}
        if before:
            condition += " AND uid < :before"
            values[":before"] = {"S": before}
        with translated("dynamodb.query"):
            answer = await self.client.query(
                TableName=self.table,
                IndexName=index,
                KeyConditionExpression=condition,
                ExpressionAttributeNames=names,
                ExpressionAttributeValues=values,
                ProjectionExpression="uid",
                ScanIndexForward=False,
                Limit=limit,
            )
        last = answer.get("LastEvaluatedKey")
        return [Uid(item["uid"]["S"]) for item in answer["Items"]], (
            Uid(last["uid"]["S"]) if last else None
        )

    async def many(self, uids: Sequence[Uid]) -> list[Record]:
        return [to_record(item) for item in await self.items(uids)]

    async def items(self, uids: Sequence[Uid]) -> list[Mapping[str, Any]]:
        """The items of these uids that are there, in their order."""
        found: dict[str, Mapping[str, Any]] = {}
        for batch in batched(uids, _KEYS_A_GET):
            asked: Any = {
                self.table: {
                    "Keys": [{"uid": {"S": uid}} for uid in batch],
                    "ConsistentRead": True,
                }
            }
            for _ in range(_TRIES):
                with translated("dynamodb.batch_get_item"):
                    answer = await self.client.batch_get_item(RequestItems=asked)
                items = answer["Responses"].get(self.table, [])
                found |= {item["uid"]["S"]: item for item in items}
                asked = answer.get("UnprocessedKeys")
                if not asked:
                    break
            else:
                raise TransientError("DynamoDB did not give all records")
        return [found[uid] for uid in uids if uid in found]

    async def used(
        self, first: date, last: date, *, tenant: str = "", key: str = ""
    ) -> tuple[Used, ...]:
        uids = await self.listed(BY_TENANT, LISTED, prefix_of(tenant, key))
        wanted = [uid for uid in uids if first <= day_of(uid) <= last]
        return summed(map(to_used, await self.items(wanted)))

    async def listed(self, index: str, value: str, prefix: str) -> list[Uid]:
        """The uids of an index that begin with a prefix."""
        pages = self.client.get_paginator("query").paginate(
            TableName=self.table,
            IndexName=index,
            KeyConditionExpression="#key = :value AND begins_with(uid, :prefix)",
            ExpressionAttributeNames={"#key": index.removeprefix("by_")},
            ExpressionAttributeValues={":value": {"S": value}, ":prefix": {"S": prefix}},
            ProjectionExpression="uid",
        )
        with translated("dynamodb.query"):
            return [Uid(item["uid"]["S"]) async for page in pages for item in page["Items"]]

    async def waiting_since(self, runtime: str, among: int) -> datetime | None:
        uids, _ = await self._uids(BY_RUNTIME, "runtime", runtime, limit=among, before=None)
        oldest = await self.many(uids[-_KEYS_A_GET:])
        queued = (r.created_at for r in oldest if r.state_for_clients is TaskState.QUEUED)
        return min(queued, default=None)

    async def overdue(self, before: datetime, limit: int) -> tuple[Uid, ...]:
        found: list[Uid] = []
        extra: dict[str, Any] = {}
        while True:
            with translated("dynamodb.scan"):
                answer = await self.client.scan(
                    TableName=self.table,
                    IndexName=DUE,
                    FilterExpression="#due < :before",
                    ExpressionAttributeNames={"#due": DUE_SINCE},
                    ExpressionAttributeValues={":before": {"S": write_time(before)}},
                    **extra,
                )
            found += [Uid(item["uid"]["S"]) for item in answer["Items"]]
            last = answer.get("LastEvaluatedKey")
            if not last or len(found) >= limit:
                return tuple(found[:limit])
            extra = {"ExclusiveStartKey": last}


def batched(uids: Sequence[Uid], size: int) -> Iterator[Sequence[Uid]]:
    """Slices of that size; the last one may be smaller."""
    return (uids[start : start + size] for start in range(0, len(uids), size))
