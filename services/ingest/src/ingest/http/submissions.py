"""The routes that take tasks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, TypeVar

from fastapi import FastAPI, Header
from pydantic import WithJsonSchema
from starlette.requests import Request
from starlette.responses import Response

from contracts.ids import Uid
from darkroom.task.v1.task_pb2 import TaskRecord
from ingest import translate_v1alpha1, translate_v1alpha2
from ingest.bodies import Bodies
from ingest.domain import LONGEST_WAIT, Accepted, Idempotency, Submission
from ingest.http import examples, openapi
from ingest.http.body import read_json
from ingest.http.edge import caller_of
from ingest.http.prefer import wait_of
from ingest.http.views import TaskView, V1Alpha1Answer, V1Alpha2Answer
from ingest.ports import Router
from ingest.submit import LONGEST_KEY, idempotency_of, submit
from ingest.watch import Watches

NewUid = Callable[[], Uid]
A = TypeVar("A", V1Alpha1Answer, V1Alpha2Answer)

# Each may come in several lines: a second key is refused, a second preference is read.
Keys = Annotated[
    tuple[str, ...] | None,
    Header(
        alias="Idempotency-Key",
        description=(
            "The same key with the same body gives the first answer again, for 24 hours."
        ),
    ),
    WithJsonSchema(
        {"type": "string", "minLength": 1, "maxLength": LONGEST_KEY, "pattern": "^[ -~]+$"}
    ),
]
Preferences = Annotated[
    tuple[str, ...] | None,
    Header(
        alias="Prefer",
        description=(
            f"`wait=N`: answer when the task has ended, or after N seconds; {LONGEST_WAIT} at"
            " most."
        ),
    ),
    WithJsonSchema({"type": "string"}),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Submissions:
    """Takes one task a call, in either form."""

    router: Router
    watches: Watches
    bodies: Bodies
    make_uid: NewUid

    async def accept(
        self,
        request: Request,
        keys: Sequence[str],
        translate: Callable[[bytes, Uid], Submission],
        fields: Mapping[str, str],
    ) -> tuple[Submission, Accepted]:
        """Read the body under its limit, check it and hand it in; raises what each raises."""
        with self.bodies.room() as take:
            body = await read_json(request, self.bodies.patience, take)
            idempotency = _idempotency(keys, request.scope["path"], body)
            submission = translate(body, self.make_uid())
            caller = caller_of(request.scope)
            accepted = await submit(self.router, submission, caller, fields, idempotency)
            return submission, accepted

    async def wait(
        self, answer: A, preferences: Sequence[str], request: Request, response: Response
    ) -> A:
        """The answer, with the task if it ends while the client would wait."""
        if wait := wait_of(preferences):
            response.headers["Preference-Applied"] = f"wait={wait.total_seconds():.0f}"
            task = await self._outcome(request, answer.uid, wait)
            if task is not None:
                answer.task = TaskView.of(task)
        return answer

    async def _outcome(self, request: Request, uid: str, wait: timedelta) -> TaskRecord | None:
        """The task if it ends in time, while its client is there."""
        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(self.watches.outcome(uid, wait), name=f"wait-{uid}")
            gone = group.create_task(_gone(request), name=f"gone-{uid}")
            await asyncio.wait((waiting, gone), return_when=asyncio.FIRST_COMPLETED)
            waiting.cancel()
            gone.cancel()
        return None if waiting.cancelled() else waiting.result()


def add_submissions(app: FastAPI, submissions: Submissions) -> None:
    """Add the routes of both forms."""

    @app.post(
        "/v1alpha2",
        operation_id="submitV1Alpha2",
        summary="Hand one task in",
        responses=openapi.submission(examples.V1ALPHA2_ANSWER),
        openapi_extra=openapi.json_body(
            translate_v1alpha2.V1Alpha2Request, examples.V1ALPHA2_REQUESTS
        ),
        response_model_exclude_unset=True,
    )
    async def submit_v1alpha2(
        request: Request, response: Response, keys: Keys = None, preferences: Preferences = None
    ) -> V1Alpha2Answer:
        form = translate_v1alpha2
        sent = await submissions.accept(request, keys or (), form.translate, form.FIELDS)
        answer = V1Alpha2Answer.of(*sent)
        return await submissions.wait(answer, preferences or (), request, response)

    @app.post(
        "/v1alpha1",
        operation_id="submitV1Alpha1",
        summary="Hand one task in, in the older form",
        responses=openapi.submission(examples.V1ALPHA1_ANSWER),
        openapi_extra=openapi.json_body(
            translate_v1alpha1.V1Alpha1Request, examples.V1ALPHA1_REQUESTS
        ),
        response_model_exclude_unset=True,
    )
    async def submit_v1alpha1(
        request: Request, response: Response, keys: Keys = None, preferences: Preferences = None
    ) -> V1Alpha1Answer:
        form = translate_v1alpha1
        sent = await submissions.accept(request, keys or (), form.translate, form.FIELDS)
        answer = V1Alpha1Answer.of(*sent)
        return await submissions.wait(answer, preferences or (), request, response)


async def _gone(request: Request) -> None:
    """Return when the client has hung up; its body was read before."""
    await request.receive()


def _idempotency(keys: Sequence[str], path: str, body: bytes) -> Idempotency | None:
    if not keys:
        return None
    key = keys[0] if len(keys) == 1 else ""
    return idempotency_of(key, "Idempotency-Key", path.strip("/").encode(), body)
