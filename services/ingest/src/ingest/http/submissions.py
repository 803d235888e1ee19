"""The routes that take tasks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from contracts.ids import Uid
from darkroom.task.v1.task_pb2 import TaskRecord
from ingest import translate_v1alpha1, translate_v1alpha2
from ingest.domain import Accepted, Idempotency, Submission
from ingest.http import examples, openapi, views
from ingest.http.body import read_json
from ingest.http.edge import caller_of
from ingest.http.prefer import wait_of
from ingest.ports import Router
from ingest.submit import idempotency_of, submit
from ingest.watch import Watches

NewUid = Callable[[], Uid]
Answer = views.V1Alpha2Answer | views.V1Alpha1Answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Submissions:
    """Takes one task a call, in either form."""

    router: Router
    watches: Watches
    body_timeout: timedelta
    make_uid: NewUid

    async def v1alpha2(self, request: Request) -> Response:
        """Take a task in the present form."""
        sent = await self._accept(
            request, translate_v1alpha2.translate, translate_v1alpha2.FIELDS
        )
        return await self._answer(request, views.V1Alpha2Answer.of(*sent))

    async def v1alpha1(self, request: Request) -> Response:
        """Take a task in the older form."""
        sent = await self._accept(
            request, translate_v1alpha1.translate, translate_v1alpha1.FIELDS
        )
        return await self._answer(request, views.V1Alpha1Answer.of(*sent))

    async def _accept(
        self,
        request: Request,
        translate: Callable[[bytes, Uid], Submission],
        fields: Mapping[str, str],
    ) -> tuple[Submission, Accepted]:
        body = await read_json(request, self.body_timeout)
        idempotency = _idempotency(request, body)
        submission = translate(body, self.make_uid())
        caller = caller_of(request.scope)
        return submission, await submit(self.router, submission, caller, fields, idempotency)

    async def _answer(self, request: Request, answer: Answer) -> Response:
        wait = wait_of(request.headers.getlist("prefer"))
        task = await self._outcome(request, answer.uid, wait) if wait else None
        if task is not None:
            answer.task = views.TaskView.of(task)
        response = answer.response()
        if wait:
            response.headers["Preference-Applied"] = f"wait={wait.total_seconds():.0f}"
        return response

    async def _outcome(self, request: Request, uid: str, wait: timedelta) -> TaskRecord | None:
        """Give the task if it ends in time, while its client is there."""
        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(self.watches.outcome(uid, wait), name=f"wait-{uid}")
            gone = group.create_task(_gone(request), name=f"gone-{uid}")
            await asyncio.wait((waiting, gone), return_when=asyncio.FIRST_COMPLETED)
            waiting.cancel()
            gone.cancel()
        return None if waiting.cancelled() else waiting.result()


def add_submissions(app: FastAPI, submissions: Submissions) -> None:
    """Add the routes."""
    app.add_api_route(
        "/v1alpha2",
        submissions.v1alpha2,
        methods=["POST"],
        operation_id="submitV1Alpha2",
        summary="Hand one task in",
        response_model=views.V1Alpha2Answer,
        responses={
            200: openapi.accepted(examples.V1ALPHA2_ANSWER),
            **openapi.refusals(openapi.SUBMITTING),
        },
        openapi_extra=openapi.submission(
            translate_v1alpha2.V1Alpha2Request, examples.V1ALPHA2_REQUESTS
        ),
    )
    app.add_api_route(
        "/v1alpha1",
        submissions.v1alpha1,
        methods=["POST"],
        operation_id="submitV1Alpha1",
        summary="Hand one task in, in the older form",
        response_model=views.V1Alpha1Answer,
        responses={
            200: openapi.accepted(examples.V1ALPHA1_ANSWER),
            **openapi.refusals(openapi.SUBMITTING),
        },
        openapi_extra=openapi.submission(
            translate_v1alpha1.V1Alpha1Request, examples.V1ALPHA1_REQUESTS
        ),
    )
    for path, endpoint in (
        ("/v1alpha2/", submissions.v1alpha2),
        ("/v1alpha1/", submissions.v1alpha1),
    ):
        app.add_api_route(path, endpoint, methods=["POST"], include_in_schema=False)


async def _gone(request: Request) -> None:
    """Return when the client has hung up; its body was read before."""
    await request.receive()


def _idempotency(request: Request, body: bytes) -> Idempotency | None:
    keys = request.headers.getlist("idempotency-key")
    if not keys:
        return None
    key = keys[0] if len(keys) == 1 else ""
    form = request.url.path.strip("/").encode()
    return idempotency_of(key, "Idempotency-Key", form, body)
