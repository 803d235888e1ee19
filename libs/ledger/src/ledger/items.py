"""Records as DynamoDB items, and back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from contracts.callback import Failure
from contracts.ids import Prefix, TaskId, Uid
from contracts.kinds import Extra, TaskType
from contracts.state import Progress, TaskState
from ledger.record import Record

KEPT: Final = timedelta(days=30)
DUE_SINCE: Final = "due_since"  # present only while the callback is due: key of a sparse index
TENANT_ID: Final = "tenant_id"  # tenant and client's id: key of an index

_TIMES = ("created_at", "started_at", "finished_at")
_COUNTS = ("attempt", "sequence", "receives", "released_attempt", "failures", "interruptions")


def to_item(record: Record) -> dict[str, Any]:
    """The item that stores `record`; what is None is left out."""
    item: dict[str, Any] = {
        name: {"S": str(getattr(record, name))}
        for name in (
            "uid", "id", "tenant", "runtime", "tasktype", "bucket", "prefix", "context_json",
            "state",
        )
    }  # fmt: skip
    for name in _TIMES:
        if (moment := getattr(record, name)) is not None:
            item[name] = {"S": write_time(moment)}
    for name in _COUNTS:
        item[name] = {"N": str(getattr(record, name))}
    item[TENANT_ID] = {"S": write_tenant_id(record.tenant, record.id)}
    item["image_url"] = write_texts(record.image_url)
    item["callback_due"] = {"BOOL": record.callback_due}
    if record.callback_due and record.finished_at:
        item[DUE_SINCE] = {"S": write_time(record.finished_at)}
    item["cancel_requested"] = {"BOOL": record.cancel_requested}
    item["expires_at"] = {"N": str(int((record.created_at + KEPT).timestamp()))}
    optional = {
        "counted": record.counted and {"BOOL": True},
        "key": record.key and {"S": record.key},
        "output_url": record.output_url and {"S": record.output_url},
        "error": record.error and write_failure(record.error),
        "progress": record.progress and write_progress(record.progress),
        "last_reason": record.last_reason and {"S": record.last_reason},
        "adopted": record.adopted and {"BOOL": True},
        "warnings": record.warnings and write_texts(record.warnings),
        "include": record.include and write_texts(record.include),
        "callback_url": record.callback_url and {"S": record.callback_url},
        **_cost(record),
    }
    return item | {name: value for name, value in optional.items() if value}


def _cost(record: Record) -> dict[str, Any]:
    if not record.charged:
        return {}
    return {
        "charged": write_numbers(record.charged),
        "gpu_ms": {"N": str(record.gpu_ms)},
        "cost_micros": record.cost_micros is not None and {"N": str(record.cost_micros)},
        "currency": record.currency and {"S": record.currency},
        "node_type": record.node_type and {"S": record.node_type},
        "capacity": record.capacity and {"S": record.capacity},
    }


def to_record(item: Mapping[str, Any]) -> Record:
    """The record that an item stores."""
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
        state=TaskState(item["state"]["S"]),
        image_url=_read_texts(item["image_url"]),
        output_url=item["output_url"]["S"] if "output_url" in item else None,
        error=_read_failure(item["error"]["M"]) if "error" in item else None,
        progress=_read_progress(item["progress"]["M"]) if "progress" in item else None,
        callback_due=item["callback_due"]["BOOL"],
        # An item of an older release lacks these.
        key=item.get("key", {}).get("S", ""),
        cancel_requested=item.get("cancel_requested", {}).get("BOOL", False),
        adopted="adopted" in item,
        counted="counted" in item,
        last_reason=item.get("last_reason", {}).get("S", ""),
        warnings=_read_texts(item.get("warnings", {"L": []})),
        include=tuple(map(Extra, _read_texts(item.get("include", {"L": []})))),
        callback_url=item.get("callback_url", {}).get("S", ""),
        charged=tuple(int(number["N"]) for number in item.get("charged", {"L": []})["L"]),
        gpu_ms=int(item.get("gpu_ms", {"N": "0"})["N"]),
        cost_micros=int(item["cost_micros"]["N"]) if "cost_micros" in item else None,
        currency=item.get("currency", {}).get("S", ""),
        node_type=item.get("node_type", {}).get("S", ""),
        capacity=item.get("capacity", {}).get("S", ""),
        **{name: int(item[name]["N"]) for name in _COUNTS if name in item},
    )


def write_tenant_id(tenant: str, task_id: TaskId) -> str:
    """What tells the tasks of one tenant and client's id; no id has a `#`."""
    return f"{tenant}#{task_id}"


def write_time(moment: datetime) -> str:
    """A moment as text that sorts by time."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def write_texts(texts: Iterable[str]) -> dict[str, Any]:
    """The attribute that stores a list of texts."""
    return {"L": [{"S": text} for text in texts]}


def write_numbers(numbers: Iterable[int]) -> dict[str, Any]:
    """The attribute that stores a list of numbers."""
    return {"L": [{"N": str(number)} for number in numbers]}


def _read_texts(item: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(text["S"] for text in item["L"])


def write_failure(error: Failure) -> dict[str, Any]:
    """The attribute that stores an error."""
    return {
        "M": {
            "code": {"S": error.code},
            "message": {"S": error.message},
            "retryable": {"BOOL": error.retryable},
        }
    }


def _read_failure(item: Mapping[str, Any]) -> Failure:
    return Failure(
        code=item["code"]["S"],
        message=item["message"]["S"],
        retryable=item["retryable"]["BOOL"],
    )


def write_progress(progress: Progress) -> dict[str, Any]:
    """The attribute that stores a progress."""
    return {"M": {"step": {"N": str(progress.step)}, "total": {"N": str(progress.total)}}}


def _read_progress(item: Mapping[str, Any]) -> Progress:
    return Progress(step=int(item["step"]["N"]), total=int(item["total"]["N"]))
