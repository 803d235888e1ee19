"""The gRPC edge for operators: wire messages in and out of the use cases."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from darkroom.router.v1 import operators_pb2, operators_pb2_grpc
from ledger.recent import total
from router.overview import Overview, RuntimeOverview
from router.wire import read_reader, runtime_to_wire


class OperatorService(operators_pb2_grpc.OperatorServiceServicer):
    """Answers ingest; errors become statuses in servicekit.rpc."""

    def __init__(self, *, overview: Overview) -> None:
        self._overview = overview

    async def GetOverview(  # noqa: N802  # gRPC names its methods
        self, request: operators_pb2.GetOverviewRequest, context: Any
    ) -> operators_pb2.GetOverviewResponse:
        """How the runtimes do."""
        reader = read_reader(request.reader)
        return operators_pb2.GetOverviewResponse(
            at=_stamp(datetime.now(UTC)),
            runtimes=[_runtime(each) for each in await self._overview(reader)],
            webhook_dead_letters=await self._overview.webhook_dead_letters(reader),
        )


def _runtime(seen: RuntimeOverview) -> operators_pb2.RuntimeOverview:
    depth, wait = seen.depth, seen.oldest_wait
    return operators_pb2.RuntimeOverview(
        runtime=runtime_to_wire(seen.runtime),
        queued=depth.queued if depth else None,
        running=depth.running if depth else None,
        dead_letters=depth.dead_letters if depth else None,
        oldest_wait_seconds=None if wait is None else wait.total_seconds(),
        last_hour=operators_pb2.Ended(**asdict(total(seen.last_hour))),
        minutes=[minute.tasks for minute in seen.last_hour],
        today=operators_pb2.Ended(**asdict(seen.today), currency=seen.currency),
    )


def _stamp(moment: datetime) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(moment)
    return stamp
