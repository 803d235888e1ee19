"""The gRPC edge for operators: wire messages in and out of the use cases."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, Final

from google.protobuf.timestamp_pb2 import Timestamp

from darkroom.router.v1 import operators_pb2, operators_pb2_grpc
from ledger.recent import total
from router.dead_letters import DeadLetters, Listed, Outcome
from router.overview import Overview, RuntimeOverview
from router.wire import read_reader, runtime_to_wire

MOST_DEAD_LETTERS: Final = 200  # in one answer
MOST_NAMED: Final = 100
SHOWN_BYTES: Final = 8 * 1024  # of the body of a dead letter


class OperatorService(operators_pb2_grpc.OperatorServiceServicer):
    """Answers ingest; errors become statuses in servicekit.rpc."""

    def __init__(self, *, overview: Overview, dead_letters: DeadLetters) -> None:
        self._overview = overview
        self._dead_letters = dead_letters

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

    async def ListDeadLetters(  # noqa: N802
        self, request: operators_pb2.ListDeadLettersRequest, context: Any
    ) -> operators_pb2.ListDeadLettersResponse:
        """What was parked."""
        found = await self._dead_letters.look(
            read_reader(request.reader),
            request.runtime,
            min(max(request.limit, 1), MOST_DEAD_LETTERS),
        )
        return operators_pb2.ListDeadLettersResponse(dead_letters=map(_letter, found))

    async def RedriveDeadLetters(  # noqa: N802
        self, request: operators_pb2.RedriveDeadLettersRequest, context: Any
    ) -> operators_pb2.RedriveDeadLettersResponse:
        """Have what was parked done after all."""
        done = await self._dead_letters.redrive(
            read_reader(request.reader), request.runtime, _named(request)
        )
        return operators_pb2.RedriveDeadLettersResponse(results=map(_result, done))

    async def PurgeDeadLetters(  # noqa: N802
        self, request: operators_pb2.PurgeDeadLettersRequest, context: Any
    ) -> operators_pb2.PurgeDeadLettersResponse:
        """Throw away what was parked."""
        done = await self._dead_letters.purge(
            read_reader(request.reader), request.runtime, _named(request)
        )
        return operators_pb2.PurgeDeadLettersResponse(results=map(_result, done))


def _named(
    request: operators_pb2.RedriveDeadLettersRequest | operators_pb2.PurgeDeadLettersRequest,
) -> frozenset[str] | None:
    if not request.HasField("messages"):
        return None
    return frozenset(request.messages.ids[:MOST_NAMED])


def _letter(listed: Listed) -> operators_pb2.DeadLetter:
    letter = listed.about.letter
    return operators_pb2.DeadLetter(
        message_id=letter.message_id,
        runtime=letter.queue,
        uid=listed.about.uid or "",
        id=listed.id,
        since=_stamp(letter.sent_at),
        reason=listed.reason,
        body=letter.body.encode()[:SHOWN_BYTES].decode(errors="ignore"),
    )


def _result(outcome: Outcome) -> operators_pb2.DeadLetterResult:
    return operators_pb2.DeadLetterResult(
        message_id=outcome.message_id,
        outcome=outcome.fate,
        uid=outcome.uid,
        reason=outcome.reason,
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
