"""What must hold of every accepted task, whatever was done to the stack."""

from __future__ import annotations

import asyncio
import io
import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError
from PIL import Image, UnidentifiedImageError

from awsio import clients
from contracts.state import OPEN
from darkroom_bench.fault_load import Told
from ledger.dynamodb import DynamoDbLedger

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client

IN_PARALLEL: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What the checks found."""

    violations: list[str]
    outcomes: dict[str, int]  # status, with the code of a failure -> tasks
    told_again: int  # tasks with more than one callback, all the same
    unaccepted: int  # tasks that ran though no client got a 200 for them
    webhooks: str = ""  # what came of the events, in words


async def check(
    accepted: Sequence[str],
    told: Mapping[str, Sequence[Told]],
    table: str,
    sound: Collection[str] = (),
) -> Findings:
    """Check the records, the callbacks and the objects of all accepted tasks."""
    violations = [f"{uid}: accepted twice" for uid, n in Counter(accepted).items() if n > 1]
    gate = asyncio.Semaphore(IN_PARALLEL)
    async with clients.dynamodb() as dynamodb, clients.s3() as s3:
        ledger = DynamoDbLedger(client=dynamodb, table=table)

        async def one(uid: str) -> None:
            async with gate:
                callbacks = [each.content for each in told.get(uid, ())]
                found = [*await _of_record(ledger, uid, callbacks), *differing(callbacks)]
                if callbacks and uid in sound and not callbacks[0]["result"]:
                    found.append(f"sound, but {_outcome(callbacks[0])}")
                if callbacks:
                    found += await _of_objects(s3, callbacks[0])
                violations.extend(f"{uid}: {problem}" for problem in found)

        async with asyncio.TaskGroup() as group:
            for uid in dict.fromkeys(accepted):
                group.create_task(one(uid), name=f"check-{uid}")
    known = set(accepted)
    return Findings(
        violations=violations,
        outcomes=dict(Counter(_outcome(told[uid][0].content) for uid in known & told.keys())),
        told_again=sum(len(told.get(uid, ())) > 1 for uid in known),
        unaccepted=len(told.keys() - known),
    )


def differing(callbacks: Sequence[Mapping[str, Any]]) -> list[str]:
    """That callbacks of one task are missing, or not all the same."""
    contents = {json.dumps(callback, sort_keys=True) for callback in callbacks}
    if not contents:
        return ["no callback"]
    return [f"{len(contents)} different callbacks"] if len(contents) > 1 else []


def _outcome(callback: Mapping[str, Any]) -> str:
    error = callback["error"]
    return f"{callback['status']} ({error['code']})" if error else str(callback["status"])


async def _of_record(
    ledger: DynamoDbLedger, uid: str, callbacks: Sequence[Mapping[str, Any]]
) -> list[str]:
    record = await ledger.get(uid)  # type: ignore[arg-type]  # uids of the stack's own
    if record is None:
        return ["no record"]
    if record.state in OPEN:
        return [f"its record is {record.state}"]
    status = {callback["status"] for callback in callbacks}
    return [f"record {record.state}, callbacks {status}"] if status - {record.state} else []


async def _of_objects(s3: S3Client, callback: Mapping[str, Any]) -> list[str]:
    problems = []
    urls = [*callback["image_url"], callback["output_url"]]
    if callback["result"] and not callback["image_url"]:
        problems.append("completed without an image")
    for url in filter(None, urls):
        bucket, _, key = url.removeprefix("s3://").partition("/")
        try:
            answer = await s3.get_object(Bucket=bucket, Key=key)
            async with answer["Body"] as body:
                content = await body.read()
        except ClientError as error:
            problems.append(f"{url}: {error}")
            continue
        if not _decodes(content, is_image=url != callback["output_url"]):
            problems.append(f"{url} does not decode")
    return problems


def _decodes(content: bytes, *, is_image: bool) -> bool:
    try:
        if is_image:
            Image.open(io.BytesIO(content)).load()
        else:
            json.loads(content)
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError):  # Pillow raises all
        return False
    return True
