"""The routes for those who run a stack."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import FastAPI, Query
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from starlette.requests import Request

from contracts.ids import name
from ingest.bodies import Bodies
from ingest.http import openapi
from ingest.http.body import read_model
from ingest.http.edge import caller_of
from ingest.http.operator_views import DeadLetterResultsView, DeadLettersView, OverviewView
from ingest.payload import whole_number
from ingest.ports import Operators

MOST: Final = 200  # messages in one list
SHOWN: Final = 100
EXAMPLE: Final = {"runtime": "sdruntime", "messages": None}

Runtime = Annotated[
    Annotated[str, AfterValidator(lambda text: name(text).lower())],
    Query(description="Only those of this runtime, or of `webhooks`."),
]
Limit = Annotated[
    Annotated[int, Field(ge=1, le=MOST)],
    BeforeValidator(lambda text: whole_number(text, 1, MOST) if text else SHOWN),
    Query(description="At most this many."),
]


class Which(BaseModel):
    """Which messages are meant."""

    model_config = ConfigDict(extra="forbid")

    runtime: Annotated[str, Field(max_length=256)] | None = Field(
        default=None, description="Only those of this runtime, or of `webhooks`."
    )
    messages: (
        Annotated[
            list[Annotated[str, Field(min_length=1, max_length=128)]],
            Field(min_length=1, max_length=100),
        ]
        | None
    ) = Field(description="Their ids; null: all, as many as one call can do.")


def add_operators(app: FastAPI, operators: Operators, bodies: Bodies) -> None:
    """Add the routes that tell how a stack does, and those of its dead letters."""

    @app.get(
        "/v1/overview",
        operation_id="getOverview",
        summary="Tell how each runtime does: its queue, its last hour, and today",
        responses=openapi.refusals(openapi.READING),
    )
    async def get_overview(request: Request) -> OverviewView:
        return OverviewView.of(await operators.overview(caller_of(request.scope)))

    @app.get(
        "/v1/dead-letters",
        operation_id="listDeadLetters",
        summary="List the messages that were parked; a look hides them for a moment",
        responses=openapi.refusals(openapi.OF_TENANT),
    )
    async def list_dead_letters(
        request: Request, runtime: Runtime = "", limit: Limit = SHOWN
    ) -> DeadLettersView:
        caller = caller_of(request.scope)
        return DeadLettersView.of(await operators.dead_letters(caller, runtime, limit))

    @app.post(
        "/v1/dead-letters/redrive",
        operation_id="redriveDeadLetters",
        summary="Have what was parked done after all",
        responses=openapi.refusals(openapi.SUBMITTING),
        openapi_extra=openapi.json_body(Which, {"all of a runtime": EXAMPLE}),
    )
    async def redrive_dead_letters(request: Request) -> DeadLetterResultsView:
        which, caller = await read_model(Which, request, bodies), caller_of(request.scope)
        runtime = (which.runtime or "").lower()
        return DeadLetterResultsView.of(
            await operators.redrive(caller, runtime, which.messages)
        )

    @app.post(
        "/v1/dead-letters/purge",
        operation_id="purgeDeadLetters",
        summary="Throw away what was parked",
        responses=openapi.refusals(openapi.SUBMITTING),
        openapi_extra=openapi.json_body(Which, {"all of a runtime": EXAMPLE}),
    )
    async def purge_dead_letters(request: Request) -> DeadLetterResultsView:
        which, caller = await read_model(Which, request, bodies), caller_of(request.scope)
        runtime = (which.runtime or "").lower()
        return DeadLetterResultsView.of(await operators.purge(caller, runtime, which.messages))
