"""`Notifier` over gRPC."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from contracts.ids import Uid
from darkroom.notifier.v1 import notifier_pb2 as pb
from queue_agent.domain import Begun, Progress, Stored, Verdict
from servicekit.errors import TransientError
from servicekit.rpc import translated

if TYPE_CHECKING:
    from darkroom.notifier.v1.notifier_pb2_grpc import NotifierServiceAsyncStub

CALL_BUDGET: Final = timedelta(seconds=10)
REPORT_BUDGET: Final = timedelta(seconds=2)

_VERDICTS: Final = {
    pb.VERDICT_PROCEED: Verdict.PROCEED,
    pb.VERDICT_FINISHED: Verdict.FINISHED,
    pb.VERDICT_UNKNOWN: Verdict.UNKNOWN,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class GrpcNotifier:
    """Calls the service `notifier` in the name of one agent."""

    stub: NotifierServiceAsyncStub
    agent: str

    async def begin(self, uid: Uid) -> Begun:
        request = pb.BeginAttemptRequest(uid=uid, agent=self.agent)
        with translated("notifier.begin"):
            answer = await self.stub.BeginAttempt(request, timeout=CALL_BUDGET.total_seconds())
        verdict = _VERDICTS.get(answer.verdict)
        if verdict is None:
            raise TransientError("the notifier gave no verdict", verdict=answer.verdict)
        return Begun(verdict=verdict, attempt=answer.attempt)

    async def report(self, uid: Uid, attempt: int, progress: Progress) -> None:
        request = pb.ReportProgressRequest(
            uid=uid, attempt=attempt, step=progress.step, total=progress.total
        )
        with translated("notifier.report"):
            await self.stub.ReportProgress(request, timeout=REPORT_BUDGET.total_seconds())

    async def finish(self, uid: Uid, attempt: int, stored: Stored) -> bool:
        failure = stored.failure
        request = pb.FinishTaskRequest(
            uid=uid,
            attempt=attempt,
            image_url=stored.image_url,
            output_url=stored.output_url,
            error=pb.TaskError(**failure.model_dump()) if failure else None,
        )
        with translated("notifier.finish"):
            answer = await self.stub.FinishTask(request, timeout=CALL_BUDGET.total_seconds())
        return answer.committed
