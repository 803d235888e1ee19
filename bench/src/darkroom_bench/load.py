"""Tasks handed in so that a constant number of them is in flight."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from awsio.errors import translated
from darkroom_cli.api import Api
from darkroom_cli.errors import CommandError

if TYPE_CHECKING:
    from types_aiobotocore_sqs import SQSClient
    from types_aiobotocore_sqs.type_defs import MessageTypeDef

POLL_SECONDS: Final = 10
BATCH: Final = 10  # the most that SQS gives at once
PATIENCE_SECONDS: Final = 60  # for one callback, besides the tasks before it
CONTENT: Final = {"prompt": "a lighthouse at dusk", "steps": 1, "width": 64, "height": 64}


@dataclass(frozen=True, slots=True, kw_only=True)
class Lap:
    """One task from the moment before its POST to the moment its callback was here."""

    uid: str
    posted: datetime
    received: datetime


@dataclass(frozen=True, slots=True)
class Arrival:
    """A callback and when it was received."""

    callback: dict[str, Any]
    moment: datetime


@dataclass(frozen=True, slots=True)
class Callbacks:
    """Receives what comes to a queue that is subscribed to the result topic."""

    sqs: SQSClient
    queue_url: str
    _expected: dict[str, asyncio.Future[Arrival]] = field(default_factory=dict)

    async def receive(self) -> None:
        """Receive until cancelled; raises `AppError` when the queue cannot be read."""
        async with asyncio.TaskGroup() as group:
            while True:
                with translated("sqs.receive"):
                    answer = await self.sqs.receive_message(
                        QueueUrl=self.queue_url,
                        WaitTimeSeconds=POLL_SECONDS,
                        MaxNumberOfMessages=BATCH,
                    )
                moment = datetime.now(UTC)
                messages = answer.get("Messages", [])
                for message in messages:
                    self._arrived(Arrival(json.loads(message["Body"]), moment))
                if messages:
                    # Beside the next receive: the callbacks in it are not to wait for this.
                    group.create_task(self._delete(messages), name="delete-callbacks")

    @contextmanager
    def expected(self, task_id: str) -> Iterator[asyncio.Future[Arrival]]:
        """What will hold the callback of a task; to be opened before its POST."""
        future = asyncio.get_running_loop().create_future()
        self._expected[task_id] = future
        try:
            yield future
        finally:
            del self._expected[task_id]

    def _arrived(self, arrival: Arrival) -> None:
        waiting = self._expected.get(arrival.callback["id"])
        if waiting is not None and not waiting.done():  # SQS may deliver twice
            waiting.set_result(arrival)

    async def _delete(self, messages: list[MessageTypeDef]) -> None:
        with translated("sqs.delete"):
            await self.sqs.delete_message_batch(
                QueueUrl=self.queue_url,
                Entries=[
                    {"Id": str(number), "ReceiptHandle": message["ReceiptHandle"]}
                    for number, message in enumerate(messages)
                ],
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """Hands tasks for one runtime in at one endpoint."""

    api: Api
    callbacks: Callbacks
    runtime: str
    image_seconds: float

    async def drive(self, name: str, *, in_flight: int, tasks: int) -> list[Lap]:
        """The laps in the order of their submission; ids of the tasks begin with `name`.

        A task is replaced when its callback arrives, so that `in_flight` are on their way.
        Raises `CommandError` for a refused task, a failed one, or a missing callback.
        """
        laps: dict[int, Lap] = {}
        numbers = iter(range(tasks))
        patience = PATIENCE_SECONDS + 2 * in_flight * self.image_seconds

        async def one_after_another() -> None:
            for number in numbers:
                laps[number] = await self._lap(f"{name}-{number}", patience)

        async with asyncio.TaskGroup() as group:
            for lane in range(in_flight):
                group.create_task(one_after_another(), name=f"lane-{lane}")
        return [laps[number] for number in range(tasks)]

    async def _lap(self, task_id: str, patience: float) -> Lap:
        metadata = {"id": task_id, "runtime": self.runtime, "tasktype": "text-to-image"}
        with self.callbacks.expected(task_id) as arriving:
            posted = datetime.now(UTC)
            answer = await self.api.submit(metadata, CONTENT)
            try:
                async with asyncio.timeout(patience):
                    arrival = await arriving
            except TimeoutError:
                raise CommandError(f"no callback for {task_id} in {patience:g} s") from None
        if not arrival.callback["result"]:
            error = arrival.callback["error"]
            raise CommandError(f"{task_id} failed: {error['code']}: {error['message']}")
        return Lap(uid=answer["uid"], posted=posted, received=arrival.moment)
