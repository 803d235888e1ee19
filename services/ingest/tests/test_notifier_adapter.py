"""The notifier over gRPC, as ingest's streams see it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, aclosing
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import grpc
import pytest
from ingest_fakes import UID, stamp

from contracts.state import TaskState
from darkroom.notifier.v1 import notifier_pb2, notifier_pb2_grpc
from darkroom.task.v1.task_pb2 import TaskRecord
from ingest.adapters.notifier import GrpcNotifier
from ingest.watch import Watches
from servicekit.errors import RejectedError, TransientError
from servicekit.health import Health
from servicekit.listen import free_port
from servicekit.rpc import channel, serving

SECOND = timedelta(seconds=1)


@dataclass
class FakeNotifierService(notifier_pb2_grpc.NotifierServiceServicer):
    """Gives one change; stays then, or says that the task has ended."""

    state: str
    sequence: int
    asked: list[int] = field(default_factory=list)

    async def WatchTask(  # noqa: N802  # the name in the proto
        self, request: notifier_pb2.WatchTaskRequest, context: Any
    ) -> AsyncIterator[notifier_pb2.WatchTaskResponse]:
        if request.uid != UID:
            raise RejectedError("none", code="task_not_found")
        self.asked.append(request.after_sequence)
        record = TaskRecord(uid=UID, state=self.state, created_at=stamp(5))
        yield notifier_pb2.WatchTaskResponse(sequence=self.sequence, task=record)
        if self.state == "running":
            await asyncio.Event().wait()


def serving_notifier(
    address: str, service: FakeNotifierService
) -> AbstractAsyncContextManager[None]:
    def register(server: grpc.aio.Server) -> None:
        notifier_pb2_grpc.add_NotifierServiceServicer_to_server(service, server)

    return serving(address, Health(), (), register, grace=timedelta(0))


async def test_a_watch_outlives_a_restart_of_the_notifier() -> None:
    address = f"127.0.0.1:{free_port()}"
    before = FakeNotifierService("running", 3)  # type: ignore[abstract]  # no other call
    after = FakeNotifierService("completed", 8)  # type: ignore[abstract]  # no other call
    async with channel(address) as opened, asyncio.timeout(60):
        notifier = GrpcNotifier(opened, timeout=60 * SECOND)
        watches = Watches(notifier, limit=1, patience=20 * SECOND)
        async with aclosing(watches.follow(UID, 0)) as changes:
            async with serving_notifier(address, before):
                first = await anext(changes)
            async with serving_notifier(address, after):
                rest = [change async for change in changes]

    assert (first.sequence, first.task.state) == (3, TaskState.RUNNING)
    assert [(c.sequence, c.task.state) for c in rest] == [(8, TaskState.COMPLETED)]
    assert (before.asked, after.asked) == ([0], [3])


async def test_a_watch_of_no_task_is_refused_and_one_that_takes_too_long_is_an_outage() -> None:
    address = f"127.0.0.1:{free_port()}"
    service = FakeNotifierService("running", 3)  # type: ignore[abstract]  # no other call
    async with serving_notifier(address, service), channel(address) as opened:
        notifier = GrpcNotifier(opened, timeout=SECOND / 2)
        with pytest.raises(RejectedError):
            await anext(notifier.watch("01JD0000000000000000000009", 0))
        async with aclosing(notifier.watch(UID, 0)) as changes:
            await anext(changes)
            with pytest.raises(TransientError):
                await anext(changes)
