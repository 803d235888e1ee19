"""`Ledger` on Amazon DynamoDB: one item a submission, two indexes, removal after 30 days."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from awsio.errors import ConditionFailedError, translated
from contracts.callback import Failure
from contracts.ids import Prefix, TaskId, Uid
from contracts.kinds import TaskType
from ledger.port import Page
from ledger.record import Progress, Record, Result, State

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb import DynamoDBClient

BY_ID: Final = "by_id"  # client's id, then uid
BY_RUNTIME: Final = "by_runtime"  # runtime, then uid
KEPT: Final = timedelta(days=30)
# A filter reads before it drops: this bounds what one page may cost.
_QUERIES_A_PAGE = 10

_TIMES = ("created_at", "started_at", "finished_at")


@dataclass(frozen=True, slots=True, kw_only=True)
class DynamoDbLedger:
    """Reads are consistent except through the indexes (`newest`, `page`)."""

    client: DynamoDBClient
    table: str

    async def create(self, record: Record) -> Record:
        try:
            with translated("dynamodb.put_item"):
                await self.client.put_item(
                    TableName=self.table,
                    Item=to_item(record),
                    ConditionExpression="attribute_not_exists(uid)",
                    ReturnValuesOnConditionCheckFailure="ALL_OLD",
                )
        except ConditionFailedError as found:
            return to_record(found.item or {})
        return record

    async def withdraw(self, uid: Uid) -> bool:
        try:
            with translated("dynamodb.delete_item"):
                await self.client.delete_item(
                    TableName=self.table,
                    Key={"uid": {"S": uid}},
                    ConditionExpression=(
                        "attribute_not_exists(uid) OR (#state = :queued AND attempt = :none)"
                    ),
                    ExpressionAttributeNames={"#state": "state"},
                    ExpressionAttributeValues={":queued": {"S": "queued"}, ":none": {"N": "0"}},
                )
        except ConditionFailedError:
            return False
        return True

    async def get(self, uid: Uid) -> Record | None:
        with translated("dynamodb.get_item"):
            answer = await self.client.get_item(
                TableName=self.table, Key={"uid": {"S": uid}}, ConsistentRead=True
            )
        return to_record(answer["Item"]) if "Item" in answer else None

    async def newest(self, task_id: TaskId) -> Record | None:
        with translated("dynamodb.query"):
            answer = await self.client.query(
                TableName=self.table,
                IndexName=BY_ID,
                KeyConditionExpression="#id = :id",
                ExpressionAttributeNames={"#id": "id"},
                ExpressionAttributeValues={":id": {"S": task_id}},
                ScanIndexForward=False,
                Limit=1,
            )
        return to_record(answer["Items"][0]) if answer["Items"] else None

    async def page(
        self, runtime: str, *, state: State | None, limit: int, before: Uid | None
    ) -> Page:
        found: list[Record] = []
        for _ in range(_QUERIES_A_PAGE):
            records, before = await self._query(runtime, state, limit - len(found) + 1, before)
            found += records
            if before is None or len(found) > limit:
                break
        if len(found) > limit:
            return Page(records=tuple(found[:limit]), next_before=found[limit - 1].uid)
        return Page(records=tuple(found), next_before=before)

    async def _query(
        self, runtime: str, state: State | None, limit: int, before: Uid | None
    ) -> tuple[list[Record], Uid | None]:
        names, condition = {"#runtime": "runtime"}, "#runtime = :runtime"
        values: dict[str, Any] = {":runtime": {"S": runtime}}
        extra: dict[str, Any] = {}
        if before:
            condition += " AND uid < :before"
            values[":before"] = {"S": before}
        if state:
            names["#state"] = "state"
            values[":state"] = {"S": state}
            extra["FilterExpression"] = "#state = :state"
        with translated("dynamodb.query"):
            answer = await self.client.query(
                TableName=self.table,
                IndexName=BY_RUNTIME,
                KeyConditionExpression=condition,
                ExpressionAttributeNames=names,
                ExpressionAttributeValues=values,
                ScanIndexForward=False,
                Limit=limit,
                **extra,
            )
        last = answer.get("LastEvaluatedKey")
        return [to_record(item) for item in answer["Items"]], (
            Uid(last["uid"]["S"]) if last else None
        )

    async def begin(self, uid: Uid, now: datetime) -> Record | None:
        return await self._update(
            uid,
            "SET #state = :running, started_at = :now ADD attempt :one REMOVE progress",
            "#state IN (:queued, :running)",
            {
                ":queued": {"S": "queued"},
                ":running": {"S": "running"},
                ":now": {"S": _time(now)},
                ":one": {"N": "1"},
            },
        )

    async def report(self, uid: Uid, attempt: int, progress: Progress) -> None:
        await self._update(
            uid,
            "SET progress = :progress",
            "#state = :running AND attempt = :attempt",
            {
                ":progress": _progress(progress),
                ":running": {"S": "running"},
                ":attempt": {"N": str(attempt)},
            },
        )

    async def finish(
        self, uid: Uid, result: Result, now: datetime
    ) -> tuple[Record | None, bool]:
        values: dict[str, Any] = {
            ":queued": {"S": "queued"},
            ":running": {"S": "running"},
            ":state": {"S": result.state},
            ":now": {"S": _time(now)},
            ":images": {"L": [{"S": url} for url in result.image_url]},
            ":output": {"S": result.output_url},
            ":due": {"BOOL": True},
        }
        change = (
            "SET #state = :state, finished_at = :now, image_url = :images, "
            "output_url = :output, callback_due = :due"
        )
        if result.error:
            change += ", #error = :error"
            values[":error"] = _failure(result.error)
        change += " REMOVE progress"
        try:
            record = await self._change(uid, change, "#state IN (:queued, :running)", values)
        except ConditionFailedError as found:
            return (to_record(found.item) if found.item else None), False
        return record, True

    async def told(self, uid: Uid) -> None:
        await self._update(
            uid, "SET callback_due = :due", "attribute_exists(uid)", {":due": {"BOOL": False}}
        )

    async def _update(
        self, uid: Uid, change: str, condition: str, values: Mapping[str, Any]
    ) -> Record | None:
        """Give the record after the change, or as it is if the condition does not hold."""
        try:
            return await self._change(uid, change, condition, values)
        except ConditionFailedError as found:
            return to_record(found.item) if found.item else None

    async def _change(
        self, uid: Uid, change: str, condition: str, values: Mapping[str, Any]
    ) -> Record:
        known = {"#state": "state", "#error": "error"}
        names = {name: real for name, real in known.items() if name in change + condition}
        extra: dict[str, Any] = {"ExpressionAttributeNames": names} if names else {}
        with translated("dynamodb.update_item"):
            answer = await self.client.update_item(
                TableName=self.table,
                Key={"uid": {"S": uid}},
                UpdateExpression=change,
                ConditionExpression=condition,
                ExpressionAttributeValues=dict(values),
                ReturnValues="ALL_NEW",
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
                **extra,
            )
        return to_record(answer["Attributes"])


def to_item(record: Record) -> dict[str, Any]:
    """Give the item that stores `record`; what is None is left out."""
    item: dict[str, Any] = {
        name: {"S": str(getattr(record, name))}
        for name in (
            "uid", "id", "tenant", "runtime", "tasktype", "bucket", "prefix", "context_json",
            "state",
        )
    }  # fmt: skip
    for name in _TIMES:
        if (moment := getattr(record, name)) is not None:
            item[name] = {"S": _time(moment)}
    item["attempt"] = {"N": str(record.attempt)}
    item["image_url"] = {"L": [{"S": url} for url in record.image_url]}
    item["callback_due"] = {"BOOL": record.callback_due}
    item["expires_at"] = {"N": str(int((record.created_at + KEPT).timestamp()))}
    if record.output_url is not None:
        item["output_url"] = {"S": record.output_url}
    if record.error is not None:
        item["error"] = _failure(record.error)
    if record.progress is not None:
        item["progress"] = _progress(record.progress)
    return item


def to_record(item: Mapping[str, Any]) -> Record:
    """Give the record that an item stores."""
    times = {name: _moment(item[name]["S"]) for name in _TIMES if name in item}
    return Record(
        uid=Uid(item["uid"]["S"]),
        id=TaskId(item["id"]["S"]),
        tenant=item["tenant"]["S"],
        runtime=item["runtime"]["S"],
        tasktype=TaskType(item["tasktype"]["S"]),
        bucket=item["bucket"]["S"],
        prefix=Prefix(item["prefix"]["S"]),
        context_json=item["context_json"]["S"],
        created_at=times["created_at"],
        started_at=times.get("started_at"),
        finished_at=times.get("finished_at"),
        state=State(item["state"]["S"]),
        attempt=int(item["attempt"]["N"]),
        image_url=tuple(url["S"] for url in item["image_url"]["L"]),
        output_url=item["output_url"]["S"] if "output_url" in item else None,
        error=_to_failure(item["error"]["M"]) if "error" in item else None,
        progress=_to_progress(item["progress"]["M"]) if "progress" in item else None,
        callback_due=item["callback_due"]["BOOL"],
    )


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _failure(error: Failure) -> dict[str, Any]:
    return {
        "M": {
            "code": {"S": error.code},
            "message": {"S": error.message},
            "retryable": {"BOOL": error.retryable},
        }
    }


def _to_failure(item: Mapping[str, Any]) -> Failure:
    return Failure(
        code=item["code"]["S"],
        message=item["message"]["S"],
        retryable=item["retryable"]["BOOL"],
    )


def _progress(progress: Progress) -> dict[str, Any]:
    return {"M": {"step": {"N": str(progress.step)}, "total": {"N": str(progress.total)}}}


def _to_progress(item: Mapping[str, Any]) -> Progress:
    return Progress(step=int(item["step"]["N"]), total=int(item["total"]["N"]))
