"""`Notifier` over gRPC."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from google.protobuf.timestamp_pb2 import Timestamp

from contracts.cost import Cost
from contracts.ids import Uid
from contracts.state import Progress
from contracts.verdict import Verdict
from darkroom.notifier.v1 import notifier_pb2 as pb
from darkroom.task.v1.task_pb2 import TaskCost, TaskError
from queue_agent.domain import Begun, Incoming, Stored
from servicekit.errors import TransientError
from servicekit.rpc import translated

if TYPE_CHECKING:
    from darkroom.notifier.v1.notifier_pb2_grpc import NotifierServiceAsyncStub

CALL_BUDGET: Final = timedelta(seconds=10)
REPORT_BUDGET: Final = timedelta(seconds=2)
NOBODY: Final = Uid("0" * 26)  # of no task: ULIDs have the time in them

_VERDICTS: Final = {
    pb.VERDICT_PROCEED: Verdict.PROCEED,
    pb.VERDICT_FINISHED: Verdict.FINISHED,
    pb.VERDICT_UNKNOWN: Verdict.UNKNOWN,
    pb.VERDICT_POISONED: Verdict.POISONED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class GrpcNotifier:
    """Calls the service `notifier` in the name of one agent."""

    stub: NotifierServiceAsyncStub
    agent: str

    async def begin(self, incoming: Incoming, receives: int) -> Begun:
        request = pb.BeginAttemptRequest(
            uid=incoming.message.uid,
            agent=self.agent,
            receives=receives,
            new_task=_new_task(incoming),
            tells_start=True,
        )
        with translated("notifier.begin"):
            answer = await self.stub.BeginAttempt(request, timeout=CALL_BUDGET.total_seconds())
        verdict = _VERDICTS.get(answer.verdict)
        if verdict is None:
            raise TransientError("the notifier gave no verdict", verdict=answer.verdict)
        return Begun(verdict=verdict, attempt=answer.attempt)

    async def report(
        self,
        uid: Uid,
        attempt: int,
        progress: Progress | None,
        started_at: datetime | None = None,
    ) -> bool:
        request = pb.ReportProgressRequest(
            uid=uid, attempt=attempt, started_at=_timestamp(started_at)
        )
        if progress:
            request.step, request.total = progress.step, progress.total
        seconds = REPORT_BUDGET.total_seconds()
        with translated("notifier.report"):
            return (await self.stub.ReportProgress(request, timeout=seconds)).cancelled

    async def release(
        self,
        uid: Uid,
        attempt: int,
        *,
        interrupted: bool,
        reason: str,
        cost: Cost | None = None,
    ) -> None:
        request = pb.ReleaseAttemptRequest(
            uid=uid, attempt=attempt, interrupted=interrupted, reason=reason, cost=_cost(cost)
        )
        with translated("notifier.release"):
            await self.stub.ReleaseAttempt(request, timeout=CALL_BUDGET.total_seconds())

    async def finish(self, uid: Uid, attempt: int, stored: Stored) -> bool:
        failure = stored.failure
        request = pb.FinishTaskRequest(
            uid=uid,
            attempt=attempt,
            image_url=stored.image_url,
            output_url=stored.output_url,
            error=TaskError(**failure.model_dump()) if failure else None,
            cancelled=stored.cancelled,
            warnings=stored.warnings,
            started_at=_timestamp(stored.started_at),
            cost=_cost(stored.cost),
        )
        with translated("notifier.finish"):
            answer = await self.stub.FinishTask(request, timeout=CALL_BUDGET.total_seconds())
        return answer.committed

    async def is_open(self, uid: Uid) -> bool:
        request = pb.CheckTaskRequest(uid=uid)
        with translated("notifier.check"):
            answer = await self.stub.CheckTask(request, timeout=CALL_BUDGET.total_seconds())
        return answer.open

    async def check(self) -> None:
        # A read of a record that is not there, which takes the whole way to the ledger.
        request = pb.ReportProgressRequest(uid=NOBODY)
        seconds = REPORT_BUDGET.total_seconds()
        try:
            with translated("notifier.check"):
                await self.stub.ReportProgress(request, timeout=seconds)
        except TransientError as error:
            raise TransientError("the notifier or its ledger does not answer") from error


def _timestamp(moment: datetime | None) -> Timestamp | None:
    if moment is None:
        return None
    stamp = Timestamp()
    stamp.FromDatetime(moment)
    return stamp


def _cost(cost: Cost | None) -> TaskCost | None:
    if cost is None:
        return None
    return TaskCost(
        gpu_ms=cost.gpu_ms,
        amount_micros=cost.micros,
        currency=cost.currency,
        node_type=cost.node_type,
        capacity=cost.capacity,
    )


def _new_task(incoming: Incoming) -> pb.NewTask | None:
    if incoming.context_json is None:
        return None
    message = incoming.message
    return pb.NewTask(
        id=message.id,
        runtime=message.runtime,
        tasktype=message.tasktype,
        bucket=message.bucket,
        prefix=message.prefix,
        context_json=incoming.context_json,
        accepted_at=_timestamp(message.accepted_at),
    )
