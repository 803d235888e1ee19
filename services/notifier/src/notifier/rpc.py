"""The notifier's gRPC edge: wire messages in and out of the use cases."""

from __future__ import annotations

from typing import Any

from contracts import ids
from contracts.callback import Failure
from darkroom.notifier.v1 import notifier_pb2, notifier_pb2_grpc
from ledger.record import Progress, Result
from notifier.domain import Verdict
from notifier.settle import Settle
from servicekit.errors import FieldError, RejectedError

_VERDICTS = {
    Verdict.PROCEED: notifier_pb2.VERDICT_PROCEED,
    Verdict.FINISHED: notifier_pb2.VERDICT_FINISHED,
    Verdict.UNKNOWN: notifier_pb2.VERDICT_UNKNOWN,
}


class NotifierService(notifier_pb2_grpc.NotifierServiceServicer):
    """Answers queue agents; errors become statuses in servicekit.rpc."""

    def __init__(self, settle: Settle) -> None:
        self._settle = settle

    async def BeginAttempt(  # noqa: N802  # gRPC names its methods
        self, request: notifier_pb2.BeginAttemptRequest, context: Any
    ) -> notifier_pb2.BeginAttemptResponse:
        """Judge a delivery."""
        verdict, attempt = await self._settle.begin(_uid(request.uid), request.agent)
        return notifier_pb2.BeginAttemptResponse(verdict=_VERDICTS[verdict], attempt=attempt)

    async def ReportProgress(  # noqa: N802
        self, request: notifier_pb2.ReportProgressRequest, context: Any
    ) -> notifier_pb2.ReportProgressResponse:
        """Keep the progress of an attempt."""
        progress = Progress(step=max(request.step, 0), total=max(request.total, 1))
        await self._settle.report(_uid(request.uid), request.attempt, progress)
        return notifier_pb2.ReportProgressResponse()

    async def FinishTask(  # noqa: N802
        self, request: notifier_pb2.FinishTaskRequest, context: Any
    ) -> notifier_pb2.FinishTaskResponse:
        """Commit a result and send its callback."""
        error = None
        if request.HasField("error"):
            error = Failure(
                code=request.error.code,
                message=request.error.message,
                retryable=request.error.retryable,
            )
        result = Result(
            image_url=tuple(request.image_url), output_url=request.output_url, error=error
        )
        committed = await self._settle.finish(_uid(request.uid), result)
        return notifier_pb2.FinishTaskResponse(committed=committed)


def _uid(text: str) -> ids.Uid:
    try:
        return ids.uid(text)
    except ValueError as error:
        raise RejectedError(
            f"uid {error}", code="invalid_request", errors=(FieldError("uid", str(error)),)
        ) from error
