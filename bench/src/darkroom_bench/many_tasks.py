"""Records of many tasks, put into the ledger of a stack at once."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any, Final

from ulid import ULID

from awsio import clients
from contracts.callback import Failure
from contracts.ids import DEFAULT_PREFIX, TaskId, Uid
from contracts.kinds import TaskType
from contracts.state import TaskState
from ledger.items import to_item
from ledger.record import Record

BATCH: Final = 25  # what DynamoDB takes at once
AT_ONCE: Final = 8
TENANTS: Final = ("embedded", "studio", "press")
FAILURE: Final = Failure(
    code="runtime_rejected", message="the sampler is not known to this runtime", retryable=False
)


def records(count: int, runtimes: tuple[str, ...], bucket: str) -> Iterator[Record]:
    """Ended tasks of the last day, the newest last; the same each time but for the moment."""
    chance = random.Random(1)  # noqa: S311  # for looks
    now = datetime.now(UTC) - timedelta(minutes=1)
    for number in range(count):
        created = now - timedelta(days=1) * (count - number) / count
        failed = chance.random() < 0.03  # noqa: PLR2004
        yield Record(
            uid=Uid(str(ULID.from_datetime(created))),
            id=TaskId(f"order-{number:05}"),
            tenant=chance.choice(TENANTS),
            runtime=chance.choice(runtimes),
            tasktype=TaskType.TEXT_TO_IMAGE,
            bucket=bucket,
            prefix=DEFAULT_PREFIX,
            context_json=json.dumps({"order": number}),
            created_at=created,
            key="embedded",
            attempt=1,
            started_at=created + timedelta(seconds=chance.uniform(0.1, 2)),
            finished_at=created + timedelta(seconds=chance.uniform(2, 9)),
            state=TaskState.FAILED if failed else TaskState.COMPLETED,
            error=FAILURE if failed else None,
        )


async def fill(table: str, found: Iterator[Record]) -> None:
    """Put records into a table."""
    room = asyncio.Semaphore(AT_ONCE)
    async with clients.dynamodb() as dynamodb, asyncio.TaskGroup() as group:

        async def put(batch: tuple[Record, ...]) -> None:
            left: Any = {table: [{"PutRequest": {"Item": to_item(record)}} for record in batch]}
            async with room:
                while left:
                    left = (await dynamodb.batch_write_item(RequestItems=left)).get(
                        "UnprocessedItems"
                    )

        while batch := tuple(islice(found, BATCH)):
            group.create_task(put(batch), name="put")
